"""The checks of the page-walk exercise, step 5: the CPU runs the real e1000 driver on a student's walk."""

import hashlib
import random
from collections.abc import Iterator

import nooks_lab as nl
from nooks_lab.cards import MAC
from nooks_lab.grading.problems.facts import Fact, WrongAnswer, report, show_word, stubs_named
from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import CR0_WP, RW, A, D, PageFault, PageWalker, Walker

PEER_MAC = bytes.fromhex("00d0b7112233")

_LINK_SECONDS, _FRAME_SECONDS = 0.02, 0.001
_EXPERIMENTAL = b"\x88\xb5"
"""An Ethernet type for experiments (IEEE 802), so that no protocol of the kernel takes the frames."""

# poke(address, value):  mov eax,[esp+4]; mov edx,[esp+8]; mov [eax],edx; ret
_POKE = bytes.fromhex("8b442404 8b542408 8910 c3")
# peek(address):         mov eax,[esp+4]; mov eax,[eax]; ret
_PEEK = bytes.fromhex("8b442404 8b00 c3")

_Answers = Iterator[tuple[str, str]]


class _Named:
    """A student's walk for the CPU to call; if it is still a stub or returns nothing, the check says so."""

    def __init__(self, walker: Walker) -> None:
        self._walker = walker

    def walk(self, words: memoryview, cr3: int, cr0: int, address: int, write: bool) -> int:
        with stubs_named():
            entry = self._walker.walk(words, cr3, cr0, address, write)
        # A student's code is not type-checked.
        if entry is None:
            raise WrongAnswer("the walk returned None: is a return missing?")
        return entry


def check_driver(walker: Walker, *, seed: int) -> None:
    """Boot on the walk, load e1000, pass frames both ways, and look at the A and D bits it left.

    Raises
    ------
    WrongAnswer
        With the facts marked against a run on the built-in walk, or why there are none.
    """
    _compare(_drive(_Named(walker), seed), _drive(PageWalker(), seed))


def check_faults(walker: Walker, *, seed: int) -> None:
    """Let machine code make faults of each sort on the walk, then write to a read-only page with WP off.

    Raises
    ------
    WrongAnswer
        With the facts marked against a run on the built-in walk, or why there are none.
    """
    _compare(_fault(_Named(walker), seed), _fault(PageWalker(), seed))


def _compare(got: _Answers, expected: _Answers) -> None:
    # One machine at a time: each reserves a gigabyte of address space.
    try:
        answers = list(got)
    except (PageFault, RuntimeError) as error:
        raise WrongAnswer(
            f"the machine does not run on this walk ({error}): make the checks of step 4 pass first"
        ) from error
    right = list(expected)
    report([Fact(what, answer, known) for (what, answer), (_, known) in zip(answers, right, strict=True)])


def _drive(walker: Walker, seed: int) -> _Answers:
    rng = random.Random(seed)
    with nl.boot(walker=walker) as lab:
        module = lab.insmod("e1000")
        yield "eth0 comes up", str(lab.kernel.ifconfig_up("eth0"))
        lab.run(_LINK_SECONDS)
        yield "the link is up", str("link is up" in lab.dmesg())
        _forget_use(lab)
        misses = lab.machine.cpu.tlb_misses
        sent = [_frame(rng, PEER_MAC, MAC) for _ in range(rng.randint(3, 9))]
        for frame in sent:
            lab.kernel.send_frame("eth0", frame)
            lab.run(_FRAME_SECONDS)
        arrived = [frame for _, frame in lab.peer.received]
        yield f"{len(sent)} frames sent, {_digest(sent)}", f"{len(arrived)} arrived, {_digest(arrived)}"
        sent = [_frame(rng, MAC, PEER_MAC) for _ in range(rng.randint(3, 9))]
        seen: list[bytes] = []
        with lab.kernel.tap(lambda _device, frame: seen.append(frame)):
            for frame in sent:
                lab.peer.send(frame)
                lab.run(_FRAME_SECONDS)
        yield f"{len(sent)} frames to eth0, {_digest(sent)}", f"{len(seen)} received, {_digest(seen)}"
        yield "TLB misses in the traffic", str(lab.machine.cpu.tlb_misses - misses)
        entries = lab.kernel.page_table.mapped()
        yield "pages accessed", str(sum(1 for entry in entries.values() if entry & A))
        yield "pages dirty", str(sum(1 for entry in entries.values() if entry & D))
        for page in range(module.base, module.base + module.size, PAGE_SIZE):
            yield f"page {page:08x} of the driver", _use(entries.get(page, 0))


def _forget_use(lab: nl.Lab) -> None:
    """Clear every A and D bit, as a page scanner does, and flush, so that the walk is asked again."""
    table, words = lab.kernel.page_table, lab.machine.memory.words
    for page in table.mapped():
        pde_at = table.directory + (page >> 20 & 0xFFC) >> 2
        words[pde_at] &= ~A
        words[(words[pde_at] & ~0xFFF) + (page >> 10 & 0xFFC) >> 2] &= ~(A | D)
    lab.machine.cpu.load_cr3(lab.machine.cpu.cr3)


def _use(entry: int) -> str:
    return " and ".join(name for name, bit in (("accessed", A), ("dirty", D)) if entry & bit) or "not touched"


def _frame(rng: random.Random, to: bytes, sender: bytes) -> bytes:
    return to + sender + _EXPERIMENTAL + rng.randbytes(rng.randint(46, 1500))


def _digest(frames: list[bytes]) -> str:
    return "sha256 " + hashlib.sha256(b"".join(frames)).hexdigest()[:12]


def _fault(walker: Walker, seed: int) -> _Answers:
    rng = random.Random(seed)
    with nl.boot(walker=walker) as lab:
        code = lab.kernel.slab.alloc(64)
        lab.machine.linear.write(code, _POKE)
        lab.machine.linear.write(code + 32, _PEEK)
        page = lab.kernel.vmalloc.alloc(PAGE_SIZE)
        target = page + 4 * rng.randrange(PAGE_SIZE // 4)
        lab.machine.linear.set_u32(target, rng.getrandbits(32))
        lab.kernel.page_table.set_pte(page, lab.kernel.page_table.pte(page) & ~RW)
        null, wild = 4 * rng.randrange(1, 1024), 0x40000000 + 4 * rng.getrandbits(24)
        yield f"read {null:08x} (NULL pointer)", _run(lab, code + 32, null)
        yield f"write {wild:08x} (nothing there)", _run(lab, code, wild, rng.getrandbits(32))
        yield f"read {target:08x} (read-only)", _run(lab, code + 32, target)
        for state in ("set", "clear"):
            if state == "clear":
                lab.machine.cpu.load_cr0(lab.machine.cpu.cr0 & ~CR0_WP)
            value = rng.getrandbits(32)
            outcome = _run(lab, code, target, value)
            landed = lab.machine.linear.u32(target) == value
            yield (
                f"write {target:08x} (read-only, CR0.WP {state})",
                f"{outcome}; the store has {'landed' if landed else 'not landed'}",
            )


def _run(lab: nl.Lab, code: int, *arguments: int) -> str:
    """Call machine code in a process of its own; say how that ended."""
    try:
        result = lab.kernel.in_task("probe", lambda: lab.kernel.execution.call(code, *arguments))
    except TaskDied as death:
        line = next(line for line in reversed(lab.dmesg().splitlines()) if line.startswith("Oops: "))
        page = lab.machine.cpu.get("cr2") & PAGE_MASK
        return f"killed by signal {death.signal}, CR2 in page {show_word(page)}, error code {line[6:]}"
    # A store returns nothing; EAX holds what was left in it.
    return f"returned {show_word(result)}" if len(arguments) == 1 else "returned"
