"""kHTTPd's machine code answers: the same natively and in a nook."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_clients import PAGES, Web, web

from nooks_lab.faults import census
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.kernel.sysctl import SysctlError
from nooks_lab.web_server import Page, PageError

STATUSES = (200, 400, 404, 405, 408, 414, 505)


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def site(request) -> Iterator[Web]:
    with web(nooks=request.param) as running:
        yield running


@pytest.fixture
def clean(site) -> Iterator[None]:
    """After the test, the kernel holds what it held before."""
    site.get("/")
    site.settle()
    before = census.take(site.lab)
    yield
    site.settle()
    assert not any(census.take(site.lab).more_than(before).values())
    assert not site.lab.kernel.inet.tcp.table.connections()


def test_a_page_comes_with_its_head(site, clean):
    answer = site.get("/page.txt")
    assert answer.raw.startswith(b"HTTP/1.0 200 OK\r\n")
    assert answer.body == PAGES["/page.txt"].data
    header = answer.header
    assert header.pop("Date").endswith(" GMT")
    assert header.pop("Last-Modified").startswith("Sun, 06 Oct 2002 10:00:")
    assert header == {
        "Server": "kHTTPd/1.0",
        "Content-Type": "text/plain",
        "Content-Length": "1024",
        "Connection": "close",
    }
    assert not answer.error


@pytest.mark.parametrize("name", ["/", "/empty", "/large", "/dir/deep.txt"])
def test_every_byte_of_a_page_arrives(site, clean, name):
    assert site.get(name).body == PAGES[name].data


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/dir/", "/dir/index.html"),
        ("/dir//deep.txt", "/dir/deep.txt"),
        ("/./dir/./deep.txt", "/dir/deep.txt"),
        ("/dir/../page.txt", "/page.txt"),
        ("/dir/x/../../page.txt", "/page.txt"),
        ("/%70age%2Etxt", "/page.txt"),
        ("/dir/%2e%2e/page.txt", "/page.txt"),
        ("/dir%2fdeep.txt", "/dir/deep.txt"),
        ("/page.txt?query=/../..", "/page.txt"),
        ("/page.txt#part", "/page.txt"),
        ("/a%3fc%25.txt", "/a?c%.txt"),
        ("http://10.0.0.2/page.txt", "/page.txt"),
        ("http://10.0.0.2", "/"),
    ],
)
def test_a_uri_is_taken_apart(site, uri, name):
    answer = site.get(uri)
    assert (answer.status, answer.body) == (200, PAGES[name].data)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /gone HTTP/1.0\r\n\r\n", 404),
        (b"GET /dir HTTP/1.0\r\n\r\n", 404),
        (b"GET /../etc/passwd HTTP/1.0\r\n\r\n", 400),
        (b"GET /dir/../../page.txt HTTP/1.0\r\n\r\n", 400),
        (b"GET /%2e%2e/page.txt HTTP/1.0\r\n\r\n", 400),
        (b"GET /..%2fpage.txt HTTP/1.0\r\n\r\n", 400),
        (b"GET /page%00.txt HTTP/1.0\r\n\r\n", 400),
        (b"GET /page%zz HTTP/1.0\r\n\r\n", 400),
        (b"GET /page% HTTP/1.0\r\n\r\n", 400),
        (b"GET page.txt HTTP/1.0\r\n\r\n", 400),
        (b"GET /page.txt\r\n\r\n", 400),
        (b"GET /page.txt HTTP/1\r\n\r\n", 400),
        (b"GET  /page.txt HTTP/1.0\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"G(T / HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n: no name\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nX: \x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHostile: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 400),
        (b"\xff\xfe\xfd /\x80 HTTP/1.0\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 505),
        (b"POST /page.txt HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody", 405),
        (b"DELETE /page.txt HTTP/1.0\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /" + b"a" * 256 + b" HTTP/1.0\r\n\r\n", 414),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.0\r\n\r\n", 414),
        (b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 2000 + b"\r\n", 400),
        (b"GET / HT", 400),
    ],
)
def test_what_is_no_good_request_is_told_so(site, clean, raw, status):
    answer = site.ask(raw, end=True)
    assert answer.status == status
    assert int(answer.header["Content-Length"]) == len(answer.body)
    assert ("Allow" in answer.header) == (status == 405)
    assert not answer.error


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.0\n\n",
        b"\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhOsT: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n folded: line\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\nGET /second HTTP/1.0\r\n\r\n",
    ],
)
def test_a_tolerable_request_is_answered(site, clean, raw):
    answer = site.ask(raw)
    assert (answer.status, answer.body) == (200, PAGES["/"].data)


def test_head_brings_the_head_alone(site):
    head, get = site.ask(b"HEAD /large HTTP/1.0\r\n\r\n"), site.get("/large")
    assert head.body == b""
    assert head.header["Content-Length"] == get.header["Content-Length"] == str(len(PAGES["/large"].data))
    assert site.ask(b"HEAD /gone HTTP/1.0\r\n\r\n").body == b""


def test_the_version_of_the_answer_is_the_requests(site):
    assert site.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").raw.startswith(b"HTTP/1.1 200")
    assert site.ask(b"GET / HTTP/1.0\r\n\r\n").raw.startswith(b"HTTP/1.0 200")


def test_the_date_goes_on(site):
    def seconds() -> int:
        hours, minutes, rest = site.get("/").header["Date"].split(" ")[4].split(":")
        return (int(hours) * 60 + int(minutes)) * 60 + int(rest)

    before = seconds()
    site.run(3, 0.05)
    assert 3 <= seconds() - before <= 4


def test_a_request_may_come_byte_by_byte(site, clean):
    connection = site.connect()
    for byte in b"GET /page.txt HTTP/1.0\r\n\r\n":
        connection.send(bytes((byte,)))
        site.run(0.002)
    assert site.finish(connection).body == PAGES["/page.txt"].data


def test_a_half_sent_request_times_out(site, clean):
    before = site.server.statistics()["timeouts"]
    answer = site.ask(b"GET / HTTP/1.0\r\nX: ")
    assert answer.status == 408
    assert site.server.statistics()["timeouts"] == before + 1


def test_a_silent_peer_holds_up_nobody(site, clean):
    silent = [site.connect() for _ in range(8)]
    site.run(0.05)
    assert site.get("/").status == 200
    assert [site.finish(each).status for each in silent] == [408] * 8


def test_a_peer_that_does_not_read_times_out(site, clean):
    before = site.server.statistics()["timeouts"]
    reader = site.connect()
    reader.limit = 1000
    reader.send(b"GET /large HTTP/1.0\r\n\r\n")
    site.run(0.2)
    assert reader.available == 1000
    assert site.get("/").status == 200
    site.run(6, 0.02)
    assert site.server.statistics()["timeouts"] == before + 1
    reader.abort()


def test_a_slow_reader_gets_it_all(site, clean):
    reader, received = site.connect(), b""
    reader.limit = 700
    reader.send(b"GET /large HTTP/1.0\r\n\r\n")
    while not reader.ended:
        site.run(0.005)
        received += reader.read(300)
    received += reader.read()
    reader.end()
    site.finish(reader)
    assert received.partition(b"\r\n\r\n")[2] == PAGES["/large"].data


def test_a_peer_that_resets_in_the_middle_is_forgotten(site, clean):
    for moment in range(6):
        connection = site.connect()
        site.run(0.001 * moment)
        connection.send(b"GET /large HTTP/1.0\r\n\r\n")
        site.run(0.001)
        connection.abort()
    assert site.get("/").status == 200


def test_many_connections_at_once(site, clean):
    connections = []
    for number in range(90):
        connections.append(site.connect())
        name = list(PAGES)[number % 3]
        connections[-1].send(f"GET {name} HTTP/1.0\r\n\r\n".encode())
    answers = [site.finish(each) for each in connections]
    assert all(answer.body == PAGES[list(PAGES)[number % 3]].data for number, answer in enumerate(answers))


def test_a_page_is_replaced_while_it_is_read(site, clean):
    connection = site.connect()
    connection.send(b"GET /large HTTP/1.0\r\n\r\n")
    site.run(0.0005)
    old = site.server.pages["/large"]
    site.server.publish("/large", Page("text/plain", b"new"))
    assert site.finish(connection).body in (old.data, b"new")
    assert site.get("/large").body == b"new"
    site.server.publish("/large", old)


def test_a_line_with_a_name_alone_takes_a_page_out(site):
    kernel = site.lab.kernel
    site.server.publish("/short-lived", Page("text/plain", b"x"))
    assert site.get("/short-lived").status == 200
    kernel.in_task("sysctl", lambda: kernel.sysctl.write("net/khttpd/page", b"/short-lived"))
    assert site.get("/short-lived").status == 404
    del site.server.pages["/short-lived"]


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"relative text/plain\nx", b"/" + b"a" * 300 + b" text/plain\n", b"/a " + b"t" * 80]
)
def test_a_bad_line_publishes_nothing(site, clean, line):
    kernel = site.lab.kernel

    def body() -> int:
        try:
            kernel.sysctl.write("net/khttpd/page", line)
        except SysctlError as error:
            return error.errno or 0
        return 0

    assert kernel.in_task("sysctl", body) == 22


@pytest.mark.parametrize(
    ("name", "page", "words"),
    [
        ("relative", Page("text/html", b""), "no path"),
        ("/with space", Page("text/html", b""), "no path"),
        ("/x", Page("", b""), "media type"),
        ("/x", Page("text/html", bytes(61440)), "61040 fit"),
    ],
)
def test_a_page_that_does_not_fit_is_the_users_error(site, name, page, words):
    with pytest.raises(PageError, match=words):
        site.server.publish(name, page)


def test_variables_are_read_and_written(site):
    kernel = site.lab.kernel

    def read() -> bytes:
        return kernel.sysctl.read("net/khttpd/timeout")

    def write() -> None:
        kernel.sysctl.write("net/khttpd/timeout", b"7\n")

    def missing() -> str:
        try:
            kernel.sysctl.read("net/khttpd/page")
        except SysctlError as error:
            return str(error)
        return ""

    assert kernel.in_task("cat", read) == b"5\n"
    kernel.in_task("echo", write)
    assert kernel.in_task("cat", read) == b"7\n"
    kernel.in_task("echo", lambda: kernel.sysctl.write("net/khttpd/timeout", b"5"))
    assert "not for reading" in kernel.in_task("cat", missing)


def test_files_beneath_the_document_root(site):
    files, kernel = site.lab.kernel.fs.files, site.lab.kernel
    data = bytes(range(251)) * 150

    def write() -> None:
        files.mkdir("/mnt/sub")
        for name, content in (("/mnt/file.bin", data), ("/mnt/sub/index.html", b"sub\n")):
            fd = files.open(name, 0o101)
            files.write(fd, content)
            files.close(fd)

    def remove() -> None:
        files.unlink("/mnt/file.bin")
        files.unlink("/mnt/sub/index.html")
        files.rmdir("/mnt/sub")

    def fetch() -> None:
        answer = site.get("/file.bin")
        assert (answer.status, answer.body) == (200, data)
        assert answer.header["Content-Type"] == "application/octet-stream"
        assert site.get("/sub/").body == b"sub\n"
        assert site.ask(b"HEAD /sub/index.html HTTP/1.0\r\n\r\n").header["Content-Length"] == "4"
        assert [site.get(name).status for name in ("/none", "/file.bin/x")] == [404] * 2
        # Memory comes first.
        assert site.get("/page.txt").body == PAGES["/page.txt"].data
        site.settle()

    kernel.in_task("cp", write)
    kernel.rmmod("khttpd")
    site.server.start({"docroot": "/mnt"})
    # What stays in the caches of names and pages comes with the first round.
    fetch()
    before = census.take(site.lab)
    fetch()
    assert not any(census.take(site.lab).more_than(before).values())
    kernel.rmmod("khttpd")
    kernel.in_task("rm", remove)
    site.server.start()


def test_unloading_with_connections_open(site):
    kernel = site.lab.kernel
    site.settle()
    before = census.take(site.lab)
    open_ones = [site.connect() for _ in range(5)]
    open_ones[0].send(b"GET /large HTTP/1.0\r\n\r\n")
    open_ones[1].send(b"GET /la")
    site.run(0.02)
    kernel.rmmod("khttpd")
    answers = [site.finish(each) for each in open_ones]
    assert all(each.closed for each in open_ones)
    assert answers[2].raw == b""
    refused = site.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert refused.error == "connection refused"
    site.server.start()
    site.settle()
    assert not any(census.take(site.lab).more_than(before).values())
    assert site.get("/").status == 200


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"port": 0}, "2 threads on port 0 are out of range"),
        ({"threads": 17}, "17 threads on port 80 are out of range"),
        ({"timeout": 0}, "must be positive"),
    ],
)
def test_bad_parameters_are_refused(site, parameters, said):
    kernel = site.lab.kernel
    kernel.rmmod("khttpd")
    site.settle()
    before = census.take(site.lab)
    with pytest.raises(ModuleError, match="error 22"):
        site.lab.insmod("khttpd", parameters)
    assert said in site.lab.dmesg()
    assert not any(census.take(site.lab).more_than(before).values())
    site.server.start()


def test_a_port_that_is_taken_is_told(site):
    kernel = site.lab.kernel
    kernel.rmmod("khttpd")
    site.settle()

    def take_port() -> object:
        socket = kernel.inet.tcp_socket()
        socket.bind(80)
        return socket

    socket = kernel.in_task("other", take_port)
    before = census.take(site.lab)
    with pytest.raises(ModuleError, match="error 98"):
        site.lab.insmod("khttpd")
    assert "port 80 cannot be served: error 98" in site.lab.dmesg()
    assert not any(census.take(site.lab).more_than(before).values())
    kernel.in_task("other", socket.close)
    site.server.start()


def test_logging_is_off_unless_asked_for(site):
    kernel = site.lab.kernel
    before = site.lab.dmesg()
    site.get("/page.txt")
    assert site.lab.dmesg() == before
    kernel.in_task("echo", lambda: kernel.sysctl.write("net/khttpd/logging", b"1"))
    site.get("/page.txt")
    kernel.in_task("echo", lambda: kernel.sysctl.write("net/khttpd/logging", b"0"))
    assert site.lab.dmesg().removeprefix(before) == 'kHTTPd: 10.0.0.1 "/page.txt" 200 1024\n'


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            b"GET |HEAD |/page.txt|/|..|%| HTTP/1.1| HTTP/1.0|Host: x|:|\n|\r\n|\r\n\r\n|\0".split(b"|")
        ),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(pieces=PIECES)
def test_whatever_is_sent_is_answered_or_refused(site, pieces):
    answer = site.ask(b"".join(pieces), end=True)
    if answer.raw:
        assert answer.status in STATUSES
        if not answer.error:
            assert int(answer.header["Content-Length"]) >= len(answer.body)
    assert site.get("/page.txt").body == PAGES["/page.txt"].data
    if site.lab.nooks is not None:
        assert not site.lab.nooks.recoveries
