"""A filesystem gone mad: random words in its own versions of objects, random arguments, random bits of its text.

Whatever comes of it is an event of the guest: an error number, a killed process, a recovery; natively also the end of
the system.  Nothing of Python's comes out, and every trial ends.
"""

import dataclasses
import random
from collections import Counter
from collections.abc import Callable

import pytest

import nooks_lab as nl
from nooks_lab.kernel.errno import EBUSY
from nooks_lab.kernel.fs.files import O_CREAT, O_RDWR, FileError, Files
from nooks_lab.kernel.kernel import FATAL, TaskDied
from nooks_lab.kernel.page_table import PAGE_OFFSET
from nooks_lab.lab import Lab
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.nooks.wrappers.declare import KERNEL_WRAPPERS
from nooks_lab.workloads.fat_volume import format_volume

OBJECTS = (
    "inode",
    "dentry",
    "file",
    "super_block",
    "inode_operations",
    "file_operations",
    "super_operations",
    "dentry_operations",
    "address_space_operations",
    "file_system_type",
)
STEPS = 20


def mount(lab: Lab) -> None:
    try:
        lab.kernel.files.mount("hda", "/mnt", "vfat")
    except FileError as error:
        if error.errno != EBUSY:
            raise


def boot(nooks: bool) -> Lab:
    policy = Policy(Rule(sync=True)) if nooks else None
    lab = nl.boot(nooks=nooks, devices=("disk",), disk=format_volume(2 << 20, 12, 2), policy=policy)
    lab.insmod("vfat")
    if lab.nooks is not None:
        lab.nooks.recovery.scripts["vfat"] = [lambda: mount(lab)]

    def fill() -> None:
        mount(lab)
        lab.kernel.files.mkdir("/mnt/dir")
        for number in range(4):
            lab.kernel.files.write_file(f"/mnt/dir/A long name {number}.txt", b"%d" % number * 4000 * number)

    lab.kernel.in_task("fill", fill)
    return lab


def read_and_write(files: Files, path: str, dice: random.Random) -> None:
    fd = files.open(path, O_RDWR | O_CREAT)
    try:
        files.read(fd, 2000)
        files.write(fd, b"x" * dice.randrange(1, 9000))
        files.lseek(fd, dice.randrange(40_000))
        files.write(fd, b"y" * 700)
        files.fsync(fd)
    finally:
        files.close(fd)


def operation(dice: random.Random) -> Callable[[Files], object]:
    one, other = (f"/mnt/dir/A long name {dice.randrange(5)}.txt" for _ in range(2))
    return dice.choice(
        (
            lambda files: files.read_file(one),
            lambda files: files.write_file(one, b"n" * dice.randrange(20_000)),
            lambda files: files.listdir("/mnt/dir"),
            lambda files: files.stat(one),
            lambda files: files.rename(one, other),
            lambda files: files.unlink(one),
            lambda files: files.mkdir(one),
            lambda files: files.rmdir(one),
            lambda files: files.statfs("/mnt"),
            lambda files: read_and_write(files, one, dice),
            lambda files: files.truncate(one, dice.randrange(3000)),
            lambda files: files.sync(),
            lambda files: files.shrink_caches(),
            lambda files: files.utime(one, 5, 6),
            lambda files: files.chmod(one, 0o444),
            lambda files: (files.umount("/mnt"), files.mount("hda", "/mnt", "vfat")),
        )
    )


def word(lab: Lab, dice: random.Random) -> int:
    """Return a number that is likely to do harm."""
    memory = PAGE_OFFSET + dice.randrange(lab.machine.memory.size)
    return dice.choice((0, 0xFFFFFFFF, dice.randrange(4096), memory, memory & ~3, dice.getrandbits(32)))


def work(lab: Lab, dice: random.Random, harm: Callable[[], object]) -> Counter[str]:
    """Do this and that, with some harm before each; returns what came of it."""
    seen: Counter[str] = Counter()
    for _ in range(STEPS):
        harm()
        body = operation(dice)
        try:
            lab.kernel.in_task("fuzz", lambda body=body: body(lab.kernel.files))
            seen["done"] += 1
        except FileError:
            seen["error"] += 1
        except TaskDied:
            seen["killed"] += 1
        if dice.random() < 0.3:
            lab.run(0.05)
    lab.run(0.5)
    return seen


def until_the_end(
    lab: Lab, dice: random.Random, harm: Callable[[], object]
) -> tuple[Counter[str], Exception | None]:
    """As :func:`work`; returns what ended the system, too, if something did."""
    try:
        return work(lab, dice, harm), None
    except FATAL as end:
        return Counter(), end


@pytest.mark.parametrize("seed", range(6))
def test_wrong_words_in_its_versions_of_objects(seed: int) -> None:
    dice = random.Random(f"versions/{seed}")
    with boot(nooks=True) as lab:
        assert lab.nooks is not None

        def harm() -> None:
            assert lab.nooks is not None
            domain = lab.nooks.domain_of("vfat")
            if domain is None or domain.failed:
                return
            known = [each for each in lab.nooks.tracker.objects(domain) if each.type in OBJECTS]
            for tracked in dice.sample(known, min(2, len(known))):
                at = 4 * dice.randrange(lab.kernel.types.size(tracked.type) // 4)
                lab.kernel.memory.set_u32(tracked.extension + at, word(lab, dice))

        seen = work(lab, dice, harm)
        assert sum(seen.values()) == STEPS
        assert validate(lab.nooks) == []


@pytest.mark.parametrize("seed", range(6))
def test_wrong_arguments_of_its_calls(seed: int) -> None:
    dice = random.Random(f"arguments/{seed}")
    with boot(nooks=True) as lab:
        assert lab.nooks is not None
        gates, hits = lab.kernel.execution.gates, 0

        def spoil(name: str, address: int) -> None:
            gate, count = gates[address], len(KERNEL_WRAPPERS[name].parameters)

            def enter() -> int:
                nonlocal hits
                if count and dice.random() < 0.01:
                    hits += 1
                    at = lab.machine.cpu.esp + 4 + 4 * dice.randrange(count)
                    lab.kernel.memory.set_u32(at, word(lab, dice))
                return gate.enter()

            gates[address] = dataclasses.replace(gate, enter=enter)

        for name, address in lab.nooks.interposition.kernel_gates.items():
            spoil(name, address)
        seen = work(lab, dice, lambda: None)
        assert sum(seen.values()) == STEPS
        assert bool(hits) >= bool(lab.nooks.recoveries)
        assert validate(lab.nooks) == []


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
@pytest.mark.parametrize("seed", range(6))
def test_wrong_bits_in_its_text(nooks: bool, seed: int) -> None:
    dice = random.Random(f"text/{seed}")
    with boot(nooks) as lab:

        def harm() -> None:
            module = lab.kernel.modules.loaded.get("vfat")
            if module is None or module.image is None:
                return
            at = dice.randrange(*module.image.text)
            code = lab.kernel.memory.read(at, 1)[0] ^ 1 << dice.randrange(8)
            place = lab.kernel.page_table.pte(at) & ~0xFFF | at & 0xFFF
            lab.machine.memory.write(place, bytes((code,)))

        seen, end = until_the_end(lab, dice, harm)
        # Nobody breaks a deadlock of processes in a nook either.
        assert end is None or not nooks or "has not ended" in str(end)
        assert end is not None or sum(seen.values()) == STEPS


@pytest.mark.parametrize("seed", range(8))
def test_wrong_words_in_the_kernels_own_objects_natively(seed: int) -> None:
    dice = random.Random(f"kernel/{seed}")
    with boot(nooks=False) as lab:
        fs = lab.kernel.fs
        known = [("inode", each.address) for each in fs.inodes.everything()]
        known += [("super_block", each.address) for each in fs.supers.supers()]
        known += [("buffer_head", each.address) for which in range(3) for each in fs.buffers.in_list(which)]
        known += [("page", each.address) for each in fs.pages.cached()]
        known += [("dentry", each.address) for each in fs.dcache.unused()]

        def harm() -> None:
            kind, address = dice.choice(known)
            at = 4 * dice.randrange(lab.kernel.types.size(kind) // 4)
            lab.kernel.memory.set_u32(address + at, word(lab, dice))

        seen, end = until_the_end(lab, dice, harm)
        assert end is not None or sum(seen.values()) == STEPS
