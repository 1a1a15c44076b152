"""What a filesystem may not do, and what the wrappers make of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flatfs as image
import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.fs.files import FileError, Files
from nooks_lab.lab import Lab
from nooks_lab.nooks.isolation.domain import BadParameter
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate

SOURCE = Path(image.__file__).with_name("flatfs.c")


@contextmanager
def mounted(text: str | None = None) -> Iterator[Lab]:
    """A system with a flatfs, perhaps a changed one, which is not mounted again after a failure."""
    policy = Policy(Rule(action="disable"))
    with nl.boot(devices=("disk",), disk=image.mkfs(), nooks=True, policy=policy) as lab:
        obj = image.flatfs() if text is None else extensions.build("flatfs.c", text)
        lab.insmod(obj)
        process(lab, lambda files: files.mount("hda", "/mnt", "flatfs"))
        yield lab


def process(lab: Lab, work: Callable[[Files], Any]) -> Any:
    return lab.kernel.in_task("test", lambda: work(lab.kernel.files))


def failure(lab: Lab, work: Callable[[Files], Any]) -> str:
    """Do something that makes the extension fail; returns the trigger of its recovery."""

    def attempt(files: Files) -> None:
        with pytest.raises(FileError) as raised:
            work(files)
        assert raised.value.errno == EIO

    process(lab, attempt)
    lab.run(0.2)
    assert lab.nooks is not None
    (recovery,) = lab.nooks.recoveries
    return recovery.trigger


def statfs_does(code: str) -> str:
    """flatfs, with this code at the beginning of statfs."""
    before = "\tbug_in(STATFS);\n"
    text = SOURCE.read_text()
    assert before in text
    return text.replace(before, f"{{\n{code}\n}}\n")


BAD = {
    "a block is released twice": (
        "struct buffer_head *bh = sb_bread(sb, 12); brelse(bh); brelse(bh);",
        "__brelse: ",
    ),
    # Of eight blocks in a row the last shares its page with none that is held.
    "a block is written to after its release": (
        "struct buffer_head *bh = NULL; int i; for (i = 100; i < 108; i++) { bh = sb_bread(sb, i); brelse(bh); }"
        " *(volatile char *)bh->b_data = 1;",
        "page fault: write to ",
    ),
    "the buffer head itself is written to": (
        "struct buffer_head *bh = sb_bread(sb, 12); *(volatile unsigned long *)&bh->b_blocknr = 1;",
        "page fault: write to ",
    ),
    "a block of another device": ("sb_bread(sb, 0); bread(0x1234, 0, 1024);", "bread: device 12:34 is not"),
    "a block size that there is not": (
        "sb_getblk(sb, 0); getblk(sb->s_dev, 0, 1000);",
        "getblk: there are no blocks of 1000 bytes",
    ),
    "an inode is released that was never got": ("iput(sb->s_root->d_inode);", "iput: "),
    "a dentry is released that was never got": ("dput(sb->s_root);", "dput: "),
    "an inode is a wild pointer": (
        "mark_inode_dirty((struct inode *)0xc0200000);",
        "__mark_inode_dirty: c0200000",
    ),
    "ll_rw_block of something else": (
        "struct buffer_head *bh = (struct buffer_head *)sb; ll_rw_block(READ, 1, &bh);",
        "ll_rw_block: ",
    ),
    "ll_rw_block of far too many": (
        "ll_rw_block(READ, 1 << 20, (struct buffer_head **)sb);",
        "ll_rw_block: command 0",
    ),
    "a name that is far too long": (
        'struct qstr name = { (unsigned char *)"x", 70000, 0 }; d_alloc(sb->s_root, &name);',
        "d_alloc: a name of 70000 bytes",
    ),
    "the kernel's version of the inode is written to": (
        "*(volatile long *)0xc0000000 = 1;",
        "page fault: write to c0000000",
    ),
}


@pytest.mark.parametrize("bug", BAD)
def test_a_bug_is_a_failure_of_the_extension_and_of_nothing_else(bug: str) -> None:
    code, trigger = BAD[bug]
    with mounted(statfs_does(code)) as lab:
        process(lab, lambda files: files.write_file("/ours", b"intact"))
        assert failure(lab, lambda files: files.statfs("/mnt")).startswith(trigger)
        assert process(lab, lambda files: files.read_file("/ours")) == b"intact"
        assert lab.nooks is not None
        assert lab.nooks.domains == []
        assert process(lab, lambda files: files.listdir("/mnt")) == []


def test_get_block_cannot_map_a_block_of_another_device() -> None:
    text = SOURCE.read_text()
    assert "bh_result->b_dev = inode->i_dev;" in text
    with mounted(text.replace("bh_result->b_dev = inode->i_dev;", "bh_result->b_dev = 0x1234;")) as lab:
        assert failure(lab, lambda files: files.write_file("/mnt/x", b"x" * 9)).startswith(
            "get_block maps a block to 12:34, block "
        )


def test_lookup_cannot_return_what_is_no_dentry() -> None:
    text = SOURCE.read_text()
    assert "\td_add(dentry, inode);\n\treturn NULL;" in text
    wild = text.replace("\td_add(dentry, inode);\n\treturn NULL;", "\treturn (struct dentry *)0xc0200000;")
    with mounted(wild) as lab:
        assert "is no dentry that the extension uses" in failure(lab, lambda files: files.stat("/mnt/x"))


def test_a_table_cannot_point_outside_of_the_module() -> None:
    text = SOURCE.read_text()
    assert ".truncate = flat_truncate," in text
    wild = text.replace(".truncate = flat_truncate,", ".truncate = (void (*)(struct inode *))0xc0200000,")
    with mounted(wild) as lab:
        said = failure(lab, lambda files: files.write_file("/mnt/x", b""))
        assert "inode_operations.truncate: c0200000 is no function of domain flatfs" in said


def test_a_refused_table_leaves_nothing_behind() -> None:
    with mounted(SOURCE.read_text()) as lab:
        assert lab.nooks is not None
        (domain,), kernel = lab.nooks.domains, lab.kernel
        own = domain.heap.zalloc(kernel.types.size("file_operations"))
        kernel.types.view("file_operations", own).release = 0xC0200000
        before = kernel.slab.active()
        with pytest.raises(BadParameter, match=r"file_operations\.release: c0200000 is no function"):
            lab.nooks.fs.table(domain, "file_operations", own)
        assert kernel.slab.active() == before


def test_a_blocks_page_is_writable_exactly_while_the_block_is_held() -> None:
    text = statfs_does("struct buffer_head *bh = sb_bread(sb, 12); held_block = bh;").replace(
        "static struct super_operations flat_sops;",
        "struct buffer_head *held_block;\nstatic struct super_operations flat_sops;",
        1,
    )
    with mounted(text) as lab:
        assert lab.nooks is not None
        process(lab, lambda files: files.statfs("/mnt"))
        (domain,) = lab.nooks.domains
        held = [each for each in lab.nooks.tracker.objects(domain) if each.type == "buffer_head"]
        # The bitmap, and the one that was read just now.
        assert len(held) == 2
        bh = lab.kernel.fs.buffers.view(held[-1].kernel)
        assert bh.b_blocknr == 12
        assert domain.may_write(bh.b_data, 1024)
        assert validate(lab.nooks) == []
        lab.nooks.recover("flatfs", "for the test")
        lab.run(0.2)
        assert lab.nooks.domains == []
        assert lab.kernel.fs.buffers.all_in_use() == 0


def test_the_two_versions_of_an_inode_agree_after_each_call() -> None:
    with mounted() as lab:
        assert lab.nooks is not None

        def work(files: Files) -> None:
            files.write_file("/mnt/x", b"x" * 5000)
            files.truncate("/mnt/x", 1234)
            files.chmod("/mnt/x", 0o600)
            files.stat("/mnt/x")

        process(lab, work)
        (domain,) = lab.nooks.domains
        pairs = [each for each in lab.nooks.tracker.objects(domain) if each.type == "inode"]
        assert len(pairs) == 2
        sizes = set()
        for pair in pairs:
            lab.nooks.fs.synchronise(domain, pair)
            own, theirs = (lab.kernel.types.view("inode", at) for at in (pair.extension, pair.kernel))
            for member in ("i_ino", "i_mode", "i_nlink", "i_size", "i_blocks", "i_mtime", "i_count"):
                mine, real = getattr(own, member), getattr(theirs, member)
                assert (
                    (mine.counter, real.counter) == (real.counter,) * 2
                    if member == "i_count"
                    else mine == real
                )
            assert own.i_mapping == own.i_data.address
            assert own.i_op != theirs.i_op
            sizes.add(theirs.i_size)
        assert 1234 in sizes


def test_a_field_that_the_kernel_changes_while_the_extension_sleeps_is_not_overwritten() -> None:
    """The extension's copy is old when its call returns; only what it has changed itself goes back."""
    with mounted() as lab:
        assert lab.nooks is not None
        process(lab, lambda files: files.write_file("/mnt/x", b"x" * 100))
        (domain,) = lab.nooks.domains
        pair = [each for each in lab.nooks.tracker.objects(domain) if each.type == "inode"][-1]
        own, theirs = (lab.kernel.types.view("inode", at) for at in (pair.extension, pair.kernel))
        lab.nooks.fs.synchronise(domain, pair)
        theirs.i_size, own.i_mtime = 77, 99
        lab.nooks.fs.take(domain, pair)
        assert (theirs.i_size, theirs.i_mtime) == (77, 99)
        lab.nooks.fs.give(domain, pair)
        assert (own.i_size, own.i_mtime) == (77, 99)


def test_the_same_object_bytes_do_the_same_natively() -> None:
    results = []
    for nooks in (False, True):
        with nl.boot(devices=("disk",), disk=image.mkfs(), nooks=nooks) as lab:
            lab.insmod(image.flatfs())

            def work(files: Files) -> None:
                files.mount("hda", "/mnt", "flatfs")
                for number in range(12):
                    files.write_file(f"/mnt/f{number}", bytes((number,)) * 3000)
                files.unlink("/mnt/f3")
                files.rename("/mnt/f4", "/mnt/f5")
                files.umount("/mnt")

            process(lab, work)
            # Times differ: under Nooks everything takes longer.
            results.append(image.blocks_in_use(lab.disk.contents()))
            process(lab, lambda files: files.mount("hda", "/mnt", "flatfs"))
            results.append(
                process(lab, lambda files: [files.read_file(f"/mnt/{e.name}") for e in files.listdir("/mnt")])
            )
    assert results[:2] == results[2:]
