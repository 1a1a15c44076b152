"""The real peers of our VFAT: mkfs.fat and fsck.fat of dosfstools, and mtools, each run on an image in a file."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = {"mkfs.fat": "dosfstools", "fsck.fat": "dosfstools"}
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def _tool(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    package = _PACKAGE.get(name, "mtools")
    assert found is not None, (
        f"{name} is missing, so our volumes cannot be compared with anybody else's: install {package} "
        f"(`make peers`, or `apt install {package}` on Debian and Ubuntu)"
    )
    return found


def _run(name: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    environment = os.environ | {"LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
    return subprocess.run([_tool(name), *arguments], capture_output=True, env=environment, check=False)


@contextmanager
def _file(image: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "volume.img")
        path.write_bytes(image)
        yield path


def mkfs(size: int, bits: int, sectors_per_cluster: int = 1, *options: str) -> bytes:
    """Return a volume of ``size`` bytes as ``mkfs.fat`` makes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "volume.img")
        with path.open("wb") as file:
            file.truncate(size)
        words = ("-F", str(bits), "-s", str(sectors_per_cluster), "-i", "4e4c2002", *options, str(path))
        done = _run("mkfs.fat", *words)
        assert done.returncode == 0, done.stderr.decode()
        return path.read_bytes()


def fsck(image: bytes) -> str:
    """Return what ``fsck.fat -n`` finds wrong with a volume; "" when it is clean."""
    with _file(image) as path:
        done = _run("fsck.fat", "-n", str(path))
    return "" if done.returncode == 0 else done.stdout.decode("utf-8", "replace")


def put(image: bytes, files: dict[str, bytes], directories: Sequence[str] = ()) -> bytes:
    """Return a volume with files and directories stored on it by mtools."""
    with _file(image) as path:
        for directory in directories:
            done = _run("mmd", "-i", str(path), f"::{directory}")
            assert done.returncode == 0, done.stderr.decode()
        for name, data in files.items():
            source = path.with_name("source")
            source.write_bytes(data)
            done = _run("mcopy", "-o", "-i", str(path), str(source), f"::{name}")
            assert done.returncode == 0, done.stderr.decode()
        return path.read_bytes()


def get(image: bytes, name: str) -> bytes:
    """Return a file as ``mtype`` reads it."""
    with _file(image) as path:
        done = _run("mtype", "-i", str(path), f"::{name}")
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def tree(image: bytes) -> dict[str, bytes | None]:
    """Return all that mtools copies off a volume: contents by path, None for a directory."""
    with _file(image) as path:
        target = path.with_name("copy")
        target.mkdir()
        done = _run("mcopy", "-s", "-n", "-i", str(path), "::", str(target))
        assert done.returncode == 0, done.stderr.decode()
        # mcopy makes a folder of the volume's name around the whole, where there is one.
        found = sorted(target.rglob("*"))
        return {
            str(each.relative_to(target)): each.read_bytes() if each.is_file() else None for each in found
        }


def attributes(image: bytes, name: str) -> str:
    """Return the attribute letters of a file, as ``mattrib`` prints them."""
    with _file(image) as path:
        done = _run("mattrib", "-i", str(path), f"::{name}")
    assert done.returncode == 0, done.stderr.decode()
    return "".join(done.stdout.decode()[:12].split())
