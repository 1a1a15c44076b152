"""``nooks-lab serve``: real clients of the host fetch pages that machine code makes in a nook."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nooks_lab.cli.main import main
from nooks_lab.serve import Service, SystemDied

TIMEOUT = 60


class Running:
    """A service that a thread of its own drives."""

    def __init__(self, *, nooks: bool = True, fault: str = "khttpd") -> None:
        self.said: list[str] = []
        self._ready, self._stop = threading.Event(), threading.Event()
        self.death: SystemDied | None = None
        self.problem: BaseException | None = None
        self.thread = threading.Thread(target=self._serve, args=(nooks, fault))
        self.thread.start()
        self._ready.wait(TIMEOUT)

    def _serve(self, nooks: bool, fault: str) -> None:
        try:
            with Service(0, nooks=nooks, fault=fault, say=self.said.append) as self.service:
                self.port = self.service.bridge.port
                self._ready.set()
                while not self._stop.is_set():
                    self.service.step()
        except SystemDied as death:
            self.death = death
        except BaseException as problem:
            self.problem = problem
            raise
        finally:
            self._ready.set()

    def stop(self) -> None:
        self._stop.set()
        self.thread.join(TIMEOUT)
        assert self.problem is None

    def get(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()


@contextmanager
def running(**options: object) -> Iterator[Running]:
    service = Running(**options)
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture(scope="module")
def nook() -> Iterator[Running]:
    with running() as service:
        yield service


def test_pythons_http_client_fetches_a_page(nook):
    status, header, body = nook.get("/")
    assert status == 200
    assert header["Server"] == "kHTTPd/1.0"
    assert int(header["Content-Length"]) == len(body)
    assert b"in a nook" in body
    assert nook.get("/", "HEAD")[2] == b""
    assert nook.get("/gone")[0] == 404
    status, header, _ = nook.get("/", "PUT")
    assert (status, header["Allow"]) == (405, "GET, HEAD")


def test_curl_fetches_a_page(nook):
    curl = shutil.which("curl")
    assert curl, "this test needs curl: apt-get install curl"
    url = f"http://127.0.0.1:{nook.port}/"
    done = subprocess.run([curl, "-sS", "-D", "-", url], capture_output=True, timeout=TIMEOUT, check=True)
    assert done.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    assert done.stdout.endswith(nook.get("/")[2])


def test_many_clients_at_once(nook):
    wanted, bodies = nook.get("/")[2], []
    threads = [threading.Thread(target=lambda: bodies.append(nook.get("/")[2])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert bodies == [wanted] * 20


def test_a_client_may_send_slowly_or_vanish(nook):
    with socket.create_connection(("127.0.0.1", nook.port), TIMEOUT) as slow:
        for byte in b"GET /favicon.ico HTTP/1.0\r\n\r\n":
            slow.send(bytes((byte,)))
        answer = b""
        while chunk := slow.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.0 200")
    assert b"GIF89a" in answer
    for half in (b"", b"GET /", b"GET / HTTP/1.0\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", nook.port), TIMEOUT) as vanishing:
            vanishing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            vanishing.send(half)
    assert nook.get("/")[0] == 200


def test_the_counters_count(nook):
    before = json.loads(nook.get("/_counters.json")[2])
    nook.get("/")
    after = json.loads(nook.get("/_counters.json")[2])
    assert after["khttpd_requests"] >= before["khttpd_requests"] + 2
    assert after["xpcs"] > before["xpcs"] + 10
    assert after["simulated_seconds"] > before["simulated_seconds"]
    page = nook.get("/_counters")[2].decode()
    assert f"<td>faults</td><td>{after['faults']}</td>" in page


def test_a_url_injects_a_fault_and_the_page_goes_on(nook):
    before = json.loads(nook.get("/_counters.json")[2])
    assert nook.get("/_fault")[0] == 200
    assert nook.get("/")[0] == 200
    after = json.loads(nook.get("/_counters.json")[2])
    assert after["faults"] == before["faults"] + 1
    assert after["recoveries"] == before["recoveries"] + 1
    assert nook.said[-2] == "fault injected: the first instruction of khttpd_close in khttpd"
    assert re.match(
        r"khttpd failed \(page fault: write to 00000010 .*\): recovered in 0\.\d\d ms", nook.said[-1]
    )


def test_a_fault_in_the_driver_beneath_is_survived_too():
    with running(fault="e1000") as service:
        assert service.get("/_fault")[0] == 200
        assert service.get("/")[0] == 200
        assert service.said[-1].startswith("e1000 failed (page fault: write to 00000010 at e1000_intr")


@pytest.mark.parametrize(("fault", "end"), [("khttpd", "oops"), ("e1000", "panic")])
def test_natively_the_fault_is_the_end(fault, end):
    with running(nooks=False, fault=fault) as service:
        assert b"natively, without Nooks" in service.get("/")[2]
        assert service.get("/_fault")[0] == 200
        service.thread.join(TIMEOUT)
    assert service.death is not None
    assert str(service.death).startswith(end)
    assert "Code: c7 05 10 00 00 00" in service.death.last_words
    with pytest.raises(OSError, match="refused"):
        service.get("/")


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; gives the process and the URL that it prints."""
    program = [
        sys.executable,
        "-c",
        "from nooks_lab.cli.main import main; main()",
        "serve",
        "--port",
        "0",
        *arguments,
    ]
    process = subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line + (process.stderr.read() if process.stderr else "")
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def fetch(url: str, path: str = "") -> int:
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=TIMEOUT)
    connection.request("GET", f"/{path}")
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


def test_the_command_says_its_url_and_ends_with_ctrl_c():
    with command() as (process, url):
        assert fetch(url) == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, err) == (0, "")
        assert out == "1 connections, 0 faults injected, 0 recoveries\n"


def test_the_command_tells_a_native_death():
    with command("--native", "--fault", "e1000") as (process, url):
        assert fetch(url, "_fault") == 200
        out, err = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, err) == (1, "")
        assert "Kernel panic: Aiee, killing interrupt handler!" in out
        assert (
            f"The simulated system is dead (panic: Aiee, killing interrupt handler!), and nobody serves {url}"
            in out
        )


def test_a_fault_for_nobody_and_a_port_that_is_taken_are_the_users_errors(capsys):
    with pytest.raises(SystemExit) as end:
        main(["serve", "--port", "0", "--fault", "foo"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "nooks-lab: there is no fault for 'foo'; there are faults for: khttpd, e1000\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(SystemExit) as end:
            main(["serve", "--port", str(taken.getsockname()[1])])
        assert end.value.code == 2
        assert "ddress already in use" in capsys.readouterr().err
