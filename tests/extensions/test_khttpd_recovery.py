"""A fault in kHTTPd or beneath it: fatal natively, an interruption in a nook."""

import random

import capstone
import pytest
from web_clients import PAGES, Web, web

import nooks_lab as nl
from nooks_lab.faults import census, text_fault
from nooks_lab.faults.text_fault import NoSuchFault, inject
from nooks_lab.kernel.kernel import Panic
from nooks_lab.kernel.traps import TAINT_DIE
from nooks_lab.lab import Lab
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.workloads.web_load import WebLoad

STORE = b"\xc7\x05\x10\x00\x00\x00\x0d\xf0\xad\x0b"
ROUNDS, WANTED = 36, 24


def tainted(lab: Lab) -> bool:
    return bool(lab.kernel.memory.u32(lab.kernel.variable("tainted")) & TAINT_DIE)


def test_natively_a_fault_kills_one_thread_after_the_other():
    with web(nooks=False) as site:
        inject(site.lab, "khttpd")
        for left in (1, 0):
            site.get("/")
            site.run(0.05)
            assert len(site.lab.kernel.sched.threads) == left
        assert tainted(site.lab)
        assert "EIP is at khttpd_close [khttpd]" in site.lab.dmesg()
        assert site.finish(site.connect(), seconds=2).raw == b""


def test_natively_a_fault_in_the_drivers_interrupt_handler_is_a_panic():
    with web(nooks=False) as site:
        inject(site.lab, "e1000")
        with pytest.raises(Panic, match="killing interrupt handler"):
            site.get("/")


def test_natively_rmmod_does_not_wait_for_threads_that_an_oops_has_killed():
    with web(nooks=False) as site:
        inject(site.lab, "khttpd")
        site.get("/")
        site.run(0.05)
        assert len(site.lab.kernel.sched.threads) == 1
        site.lab.kernel.rmmod("khttpd")
        assert "khttpd" not in site.lab.kernel.modules.loaded


@pytest.mark.parametrize("extension", list(text_fault.FUNCTIONS))
def test_in_a_nook_the_next_fetch_works(extension):
    with web(nooks=True) as site:
        fault = inject(site.lab, extension)
        assert fault.function in str(site.lab.kernel.symbols.find(fault.address))
        site.get("/page.txt")
        site.run(0.1)
        assert site.get("/page.txt").body == PAGES["/page.txt"].data
        (recovery,) = site.lab.nooks.recoveries
        assert (recovery.extension, recovery.ok, recovery.leaked) == (extension, True, 0)
        assert not tainted(site.lab)


def test_threads_of_a_failed_nook_end_and_their_connections_with_them():
    with web(nooks=True) as site:
        waiting = [site.connect() for _ in range(6)]
        site.run(0.05)
        before = set(site.lab.kernel.sched.threads)
        inject(site.lab, "khttpd")
        site.get("/")
        site.run(0.1)
        assert not before & set(site.lab.kernel.sched.threads)
        assert len(site.lab.kernel.sched.threads) == len(before) == 2
        assert all(site.finish(each).raw == b"" for each in waiting)
        assert site.get("/").status == 200


def test_recovery_asked_for_while_requests_are_under_way():
    with web(nooks=True) as site:
        connections = [site.connect() for _ in range(10)]
        for connection in connections:
            connection.send(b"GET /large HTTP/1.0\r\n\r\n")
        site.run(0.001)
        site.lab.nooks.recover("khttpd")
        site.run(0.2)
        for connection in connections:
            answer = site.finish(connection)
            assert PAGES["/large"].data.startswith(answer.body)
        assert site.get("/large").body == PAGES["/large"].data
        assert site.lab.nooks.recoveries[-1].leaked == 0


def test_a_fault_for_nobody_is_the_users_error():
    with web(nooks=True) as site:
        with pytest.raises(NoSuchFault, match="no fault for 'vfat'; there are faults for: khttpd, e1000"):
            inject(site.lab, "vfat")
        site.lab.kernel.rmmod("khttpd")
        with pytest.raises(NoSuchFault, match="khttpd is not loaded at the moment"):
            inject(site.lab, "khttpd")


@pytest.mark.parametrize("mixed", [False, True], ids=["simple", "mixed"])
def test_the_workload_ends_the_same_natively_and_in_a_nook(mixed):
    digests = set()
    for nooks in (False, True):
        load = WebLoad(seed=5, requests=60, mixed=mixed)
        with nl.boot(nooks=nooks, devices=load.devices) as lab:
            load.set_up(lab)
            result = load.run(lab)
            load.rest(lab)
            assert result.ok, result.wrong
            assert result.counts["pages"] == 60
            assert result.counts["retries"] == 0
            digests.add(result.digest)
    assert len(digests) == 1


def instructions(lab: Lab, function: str) -> list[int]:
    """Return where in a function the store may stand: at an instruction, and no branch goes into its middle.

    A branch there would run the rest of it as other instructions, an endless loop perhaps, which Nooks does not stop.
    """
    image = lab.kernel.modules.loaded["khttpd"].image
    start, size = image.symbols[function], image.sizes[function]
    code = lab.kernel.memory.read(start, size)
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    listing = list(decoder.disasm(code, start))
    targets = {int(at.op_str, 16) for at in listing if at.mnemonic[0] == "j" and at.op_str.startswith("0x")}
    last = start + size - len(STORE)
    return [
        at.address
        for at in listing
        if at.address <= last and not targets & set(range(at.address + 1, at.address + len(STORE)))
    ]


class Striking:
    """Lets a fault strike in the middle of a workload: at a seeded instruction, after a seeded number of steps."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab, self.run = lab, lab.run
        dice = random.Random(seed)
        self.after = dice.randrange(2, 12)
        self.extension = dice.choice(["khttpd", "khttpd", "e1000"])
        self.at = dice.random()

    def __enter__(self) -> None:
        self.lab.run = self._run  # the instance's own, for this round

    def __exit__(self, *_: object) -> None:
        self.lab.run = self.run

    def _run(self, seconds: float) -> None:
        self.after -= 1
        if not self.after:
            if self.extension == "e1000":
                inject(self.lab, "e1000")
            else:
                places = instructions(self.lab, "khttpd_main")
                self.lab.kernel.memory.write(places[int(self.at * len(places))], STORE)
        self.run(seconds)


def test_recoveries_under_load_one_after_the_other_leave_nothing_behind():
    load = WebLoad(seed=3, requests=16, clients=8, mixed=True)
    with nl.boot(nooks=True, devices=load.devices) as lab:
        load.set_up(lab)
        wanted = load.run(lab).digest
        for extension in text_fault.FUNCTIONS:
            # The first recovery sets up what stays: wrappers, stacks, page tables.
            inject(lab, extension)
            assert load.run(lab).ok
            load.rest(lab)
        before = census.take(lab)
        for seed in range(ROUNDS):
            # A store that nothing has run into stays, and waits for the next round.
            with Striking(lab, seed):
                result = load.run(lab)
                load.rest(lab)
            assert result.ok, (seed, result.wrong)
            assert result.digest == wanted
            assert not any(census.take(lab).more_than(before).values()), seed
            assert not validate(lab.nooks)
            if len(lab.nooks.recoveries) >= WANTED:
                break
        recoveries = lab.nooks.recoveries[len(text_fault.FUNCTIONS) :]
        assert len(recoveries) >= 20
        assert all(recovery.ok and not recovery.leaked for recovery in recoveries)
        assert {recovery.extension for recovery in recoveries} == {"khttpd", "e1000"}


def test_a_thousand_connections_leave_nothing_behind():
    load = WebLoad(seed=8, requests=1000, clients=40)
    with nl.boot(devices=load.devices) as lab:
        site = Web(lab)
        site.server.publish("/index.html", load.pages["/index.html"])
        load.requests = 50
        load.run(lab)
        load.rest(lab)
        before = census.take(lab)
        load.requests = 1000
        result = load.run(lab)
        load.rest(lab)
        assert result.ok, result.wrong
        assert result.counts == {"pages": 1000, "bytes": 1024000, "connections": 1000, "retries": 0}
        assert not any(census.take(lab).more_than(before).values())
        assert not lab.kernel.inet.tcp.table.connections()
        assert len(lab.kernel.inet.tcp.table.listeners()) == 1
