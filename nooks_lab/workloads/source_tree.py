"""A tree of source files to compile, and what has to come of it, byte for byte."""

import hashlib
import io
import random
import tarfile

TREE, PROGRAM = "linux", "vmlinux"

_MTIME = 1_000_000_000


def source_tree(seed: int, files: int, directories: int, size: int) -> dict[str, bytes]:
    """Return a tree of C sources: contents by path.

    Parameters
    ----------
    files : int
        Sources; there is a header for every four of them.
    directories : int
        That the sources lie in.
    size : int
        Bytes of a source on the average.
    """
    dice = random.Random(f"compile-local/{seed}")
    headers = [f"include/linux/subsystem {number} interface.h" for number in range(max(1, files // 4))]
    tree = {path: _text(dice, size // 2, []) for path in headers}
    for number in range(files):
        path = f"drivers/subsystem-{number % directories}/A source file, number {number}.c"
        tree[path] = _text(
            dice, dice.randint(size // 2, size * 3 // 2), dice.sample(headers, min(3, len(headers)))
        )
    tree["Makefile"] = b"all: vmlinux\n"
    return tree


def _text(dice: random.Random, size: int, includes: list[str]) -> bytes:
    lines = [f'#include "{path}"' for path in includes]
    length = sum(len(line) + 1 for line in lines)
    while length < size:
        lines.append(f"static int v{dice.getrandbits(32):08x} = {dice.getrandbits(31)};")
        length += len(lines[-1]) + 1
    return "\n".join(lines).encode() + b"\n"


def archive(tree: dict[str, bytes]) -> bytes:
    """Return a tree as a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        made: set[str] = set()
        for path, data in tree.items():
            parts = path.split("/")
            for depth in range(1, len(parts)):
                directory = "/".join(parts[:depth])
                if directory not in made:
                    made.add(directory)
                    entry = tarfile.TarInfo(f"{TREE}/{directory}")
                    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, _MTIME
                    tar.addfile(entry)
            entry = tarfile.TarInfo(f"{TREE}/{path}")
            entry.size, entry.mtime = len(data), _MTIME
            tar.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def compiled(source: bytes, headers: list[bytes]) -> bytes:
    """Return the object of a source: two thirds of its length, and different when any byte of the input is."""
    key = hashlib.sha256(b"\0".join([source, *headers])).digest()
    size = len(source) * 2 // 3
    blocks = (hashlib.sha256(key + number.to_bytes(4, "little")).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def linked(objects: dict[str, bytes]) -> bytes:
    """Return the program of some objects: a line for each with its checksum, then all of them."""
    head = "".join(f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in sorted(objects.items()))
    return head.encode() + b"".join(data for _, data in sorted(objects.items()))


def included(source: bytes) -> list[str]:
    """Return the headers that a source includes."""
    return [line[10:-1].decode() for line in source.split(b"\n") if line.startswith(b'#include "')]


def object_of(path: str) -> str:
    """Return the name of a source's object."""
    return path.removesuffix(".c") + ".o"


def products(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Return what a tree compiles to, and the tree."""
    objects = {
        object_of(path): compiled(data, [tree[header] for header in included(data)])
        for path, data in tree.items()
        if path.endswith(".c")
    }
    return tree | objects | {PROGRAM: linked(objects)}


def digest(contents: dict[str, bytes]) -> str:
    """Return SHA-256 over some files: their paths, lengths and contents."""
    total = hashlib.sha256()
    for path, data in sorted(contents.items()):
        total.update(f"{path}\0{len(data)}\0".encode() + data)
    return total.hexdigest()
