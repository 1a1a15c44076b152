"""The C compiler: the clang of the ziglang package, so that every machine makes the same i386 bytes."""

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from platform import machine

from nooks_lab.toolchain import store

I386_FLAGS = (
    "-target",
    "x86-freestanding-none",
    "-mcpu=i686",
    "-c",
    "-O1",
    "-g",
    "-ffreestanding",
    "-fno-omit-frame-pointer",
    "-fno-stack-protector",
    "-fno-pic",
    "-fno-sanitize=all",
    "-fno-builtin",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
)

HOST_FLAGS = (
    "-shared",
    "-O2",
    "-nostdlib",
    "-fPIC",
    "-mcpu=baseline",
    "-fno-sanitize=all",
    "-fno-stack-protector",
)

# Types that no code uses and structs that are only pointed to are described as well.
ALL_TYPES_FLAGS = ("-fstandalone-debug", "-fno-eliminate-unused-debug-types")

# clang reads these, and the bytes must not depend on someone's shell.
_FOREIGN_VARIABLES = {"CPATH", "C_INCLUDE_PATH", "CCC_OVERRIDE_OPTIONS", "CLICOLOR_FORCE"}


class CompileError(ValueError):
    """A C source that could not be compiled; says which, then what the compiler said."""


@dataclass(frozen=True)
class Compiled:
    """An object file as it came from the compiler.

    data: the bytes of the ELF file; sha256: their hash in hex; source: the name of the C source;
    warnings: what the compiler said, '' if nothing.
    """

    data: bytes
    sha256: str
    source: str
    warnings: str


@dataclass(frozen=True)
class Source:
    """A translation unit: its text, and all that decides what the compiler makes of it.

    name: the file's name without folders; folder: where #include "..." looks first, if it is a file.
    """

    name: str
    text: str
    folder: Path | None
    include: tuple[Path, ...]
    defines: tuple[str, ...]
    flags: tuple[str, ...] = ()


def compile_c(
    source: Path | str,
    *,
    include: Sequence[Path] = (),
    defines: Sequence[str] = (),
    text: str | None = None,
) -> Compiled:
    """Compile one C source to an i386 relocatable object, or take it from the cache.

    source: a file; with text given, only a name for that text.
    include: folders of headers, in order of search.
    defines: macros, 'NAME' or 'NAME=VALUE'; none is implied.
    Raises CompileError.
    """
    return compile_source(open_source(source, include=include, defines=defines, text=text))


def open_source(
    source: Path | str,
    *,
    include: Sequence[Path] = (),
    defines: Sequence[str] = (),
    text: str | None = None,
    flags: Sequence[str] = (),
) -> Source:
    """Read a C source; the parameters are those of compile_c. Raises CompileError if it cannot be read."""
    path = Path(source)
    folder = None
    if text is None:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as problem:
            raise CompileError(f"{source} cannot be read: {problem.strerror}.") from problem
        except UnicodeDecodeError as problem:
            raise CompileError(f"{source} is not a text file in UTF-8.") from problem
        folder = path.resolve().parent
    folders = tuple(Path(each).resolve() for each in include)
    return Source(path.name or "source.c", text, folder, folders, tuple(defines), tuple(flags))


def compile_source(source: Source) -> Compiled:
    """Compile an opened source, or take it from the cache; see compile_c. Raises CompileError."""

    def make() -> tuple[bytes, list[Path]]:
        fresh, headers = compile_uncached(source)
        said = fresh.warnings.encode()
        return len(said).to_bytes(4, "little") + said + fresh.data, headers

    payload = cached("object 1", source, make)
    end = 4 + int.from_bytes(payload[:4], "little")
    return _compiled(source, payload[end:], payload[4:end].decode())


def compile_uncached(source: Source) -> tuple[Compiled, list[Path]]:
    """Compile an opened source; returns also the headers it read. Raises CompileError."""
    with tempfile.TemporaryDirectory(dir=scratch_dir()) as scratch:
        product = Path(scratch, "object.o")
        said, headers = run_clang(["cc", *I386_FLAGS, *_location_flags(source), "-o", str(product)], source)
        return _compiled(source, product.read_bytes(), said), headers


def cached(what: str, source: Source, make: Callable[[], tuple[bytes, list[Path]]]) -> bytes:
    """A result out of the cache, or made now and kept.

    what: the sort of result and the version of its form; make: gives it and the headers it was made from.
    """
    settings = (zig_version(), *I386_FLAGS, *source.flags, *source.defines)
    folders = ((source.folder,) if source.folder else ()) + source.include
    recipe = store.Recipe(what, settings, source.name, source.text.encode(), folders)
    payload = store.recall(recipe)
    if payload is None:
        started = time.time_ns()
        payload, headers = make()
        # Without a place to keep it, or with a header edited meanwhile, it is made again the next time.
        with contextlib.suppress(OSError):
            if all(header.stat().st_mtime_ns < started for header in headers):
                store.remember(recipe, headers, payload)
    return payload


def run_clang(
    arguments: Sequence[str], source: Source, *, output: Path | None = None
) -> tuple[str, list[Path]]:
    """Run clang on a source.

    arguments: zig's subcommand and its flags; output: a file for what it prints.
    Returns what it said on stderr, and the headers it read except its own. Raises CompileError.
    """
    with tempfile.TemporaryDirectory(dir=scratch_dir()) as scratch:
        folder = Path(scratch)
        # The text that was hashed is compiled, even if the file is being edited.
        Path(folder, source.name).write_text(source.text, encoding="utf-8", newline="\n")
        listing = Path(folder, "headers.make")
        command = [*arguments, *source.flags, *(f"-D{each}" for each in source.defines)]
        if source.folder:
            command += ["-iquote", str(source.folder)]
        for each in source.include:
            command += ["-I", str(each)]
        command += ["-fno-color-diagnostics", "-MD", "-MF", str(listing), "-x", "c", source.name]
        status, said = _run_zig(command, folder, output)
        said = _relative(said, source, folder)
        if status != 0:
            raise CompileError(f"{source.name} does not compile:\n{said}")
        return said, _headers(listing.read_text(encoding="utf-8"), folder)


def _run_zig(command: Sequence[str], folder: Path, output: Path | None) -> tuple[int, str]:
    """Run zig in a folder; returns its exit status and its stderr."""
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN_VARIABLES}
    zig_cache = str(store.cache_dir() / "zig")
    environment |= {"ZIG_GLOBAL_CACHE_DIR": zig_cache, "ZIG_LOCAL_CACHE_DIR": zig_cache, "NO_COLOR": "1"}
    # -P: a student's folder may hold a file named like a module of Python.
    whole = [sys.executable, "-P", "-m", "ziglang", *command]
    with open(output or os.devnull, "wb") as sink:
        done = subprocess.run(
            whole,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.PIPE,
            check=False,
        )
    return done.returncode, done.stderr.decode("utf-8", "replace").replace("\r\n", "\n")


def headers_dir() -> Path:
    """The folder of the kernel's headers for extensions."""
    return Path(__file__).resolve().parent.parent / "extensions" / "include"


def compiler_headers_dir() -> Path:
    """The folder of the compiler's own headers (stdarg.h). Raises CompileError if it is not there."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise CompileError("the compiler is missing: the Python package ziglang is not installed.")
    return Path(spec.origin).resolve().parent / "lib" / "include"


@functools.cache
def zig_version() -> str:
    """The version of the ziglang package. Raises CompileError if it is not installed."""
    try:
        return importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError as problem:
        raise CompileError(
            "the compiler is missing: the Python package ziglang is not installed."
        ) from problem


def compile_host_library(source: Path) -> Path:
    """Compile a small freestanding C file for this computer into a shared library, or find it in the cache.

    Returns the library's path. Raises CompileError.
    """
    opened = open_source(source)
    platform = (sys.platform, machine())
    suffix = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
    # The entry point of a DLL is in the C library, which is left out.
    flags = [*HOST_FLAGS, *(["-Wl,--no-entry"] if sys.platform == "win32" else [])]
    key = hashlib.sha256(json.dumps([zig_version(), flags, platform, opened.text]).encode()).hexdigest()
    library = store.cache_dir() / "host" / f"{opened.name}-{key[:32]}{suffix}"
    seal = library.with_suffix(".sha256")
    if library.is_file() and seal.is_file() and seal.read_bytes() == _seal(library.read_bytes()):
        return library
    with tempfile.TemporaryDirectory(dir=scratch_dir()) as scratch:
        product = Path(scratch, "library" + suffix)
        run_clang(["cc", *flags, "-o", str(product)], opened)
        data = product.read_bytes()
    store.replace_file(library, data)
    store.replace_file(seal, _seal(data))
    return library


def _seal(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _location_flags(source: Source) -> list[str]:
    """Flags that keep this machine's folders out of the debug information."""
    # clang takes the last that fits, which must be the innermost folder.
    folders = sorted(_folders(source), key=lambda folder: len(folder.parts))
    return ["-fdebug-compilation-dir=.", *(f"-ffile-prefix-map={folder}{os.sep}=" for folder in folders)]


def _folders(source: Source) -> list[Path]:
    beside = [source.folder] if source.folder else []
    return [*beside, *source.include, compiler_headers_dir()]


def _relative(said: str, source: Source, folder: Path) -> str:
    for known in (folder, *sorted(_folders(source), key=lambda known: -len(known.parts))):
        said = said.replace(f"{known}{os.sep}", "")
    return said.strip()


def _headers(listing: str, folder: Path) -> list[Path]:
    """The headers in a list of dependencies as make reads it; the source and the compiler's own left out."""
    _, _, tail = listing.replace("\\\n", " ").partition(": ")
    names = [
        re.sub(r"\\([ #])", r"\1", name).replace("$$", "$") for name in re.findall(r"(?:\\[ #]|\S)+", tail)
    ]
    paths = [Path(os.path.normpath(folder / name)) for name in names]
    own = compiler_headers_dir()
    return [path for path in paths[1:] if not path.is_relative_to(own)]


def _compiled(source: Source, data: bytes, said: str) -> Compiled:
    return Compiled(data, hashlib.sha256(data).hexdigest(), source.name, said)


def scratch_dir() -> Path:
    """The folder for files that live as long as one compilation. Raises CompileError if it cannot be made."""
    scratch = store.cache_dir() / "scratch"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CompileError(f"the cache folder {scratch} cannot be made: {problem.strerror}.") from problem
    return scratch
