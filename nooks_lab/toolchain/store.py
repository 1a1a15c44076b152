"""The compiler's cache on disk: results kept under the hash of all that went into them."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Recipe:
    """What a result is made from, but for the headers: those are known only after the first run.

    what: the sort of result and the version of its form ('object 1').
    settings: compiler version and flags, without any path of this machine.
    name, text: the source.
    folders: where includes are looked for, in the compiler's order.
    """

    what: str
    settings: tuple[str, ...]
    name: str
    text: bytes
    folders: tuple[Path, ...]


def cache_dir() -> Path:
    """The user's cache folder of Nooks Lab."""
    return Path(platformdirs.user_cache_dir("nooks-lab", appauthor=False))


def recall(recipe: Recipe) -> bytes | None:
    """The kept result of a recipe, or None if it is new, a header has changed or the file is damaged."""
    try:
        manifest = json.loads(_manifest(recipe).read_bytes())
        headers = [(str(name), Path(path)) for name, path in manifest["headers"]]
        rivals = [str(path) for path in manifest["rivals"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if any(os.path.exists(path) for path in rivals):
        return None
    try:
        key = _content_key(recipe, headers)
    except OSError:
        return None
    return read_checked(_entry(key))


def remember(recipe: Recipe, headers: Iterable[Path], payload: bytes) -> None:
    """Keep a result, and which headers it was made from."""
    named = []
    rivals = []
    for header in headers:
        places = [
            (place, folder) for place, folder in enumerate(recipe.folders) if header.is_relative_to(folder)
        ]
        name = header.relative_to(places[0][1]).as_posix() if places else header.name
        named.append((name, header))
        for place, folder in places:
            rivals += [str(earlier / header.relative_to(folder)) for earlier in recipe.folders[:place]]
    # A file that appears at one of these paths would be taken in place of the header that was read.
    rivals = [rival for rival in rivals if not os.path.exists(rival)]
    write_checked(_entry(_content_key(recipe, named)), payload)
    manifest = {"headers": [(name, str(path)) for name, path in named], "rivals": rivals}
    replace_file(_manifest(recipe), json.dumps(manifest).encode())


def write_checked(path: Path, payload: bytes) -> None:
    """Write a file that carries its own hash."""
    replace_file(path, hashlib.sha256(payload).digest() + payload)


def read_checked(path: Path) -> bytes | None:
    """Read what write_checked wrote; None if it is missing or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    payload = content[_DIGEST:]
    return payload if content[:_DIGEST] == hashlib.sha256(payload).digest() else None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that any other process sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(scratch, path)
    except OSError:
        Path(scratch).unlink(missing_ok=True)
        raise


def _digest(parts: Iterable[bytes]) -> str:
    """Hash of a list, in which ('ab', 'c') is not ('a', 'bc')."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()


def _ingredients(recipe: Recipe) -> list[bytes]:
    return [recipe.what.encode(), json.dumps(recipe.settings).encode(), recipe.name.encode(), recipe.text]


def _content_key(recipe: Recipe, headers: Iterable[tuple[str, Path]]) -> str:
    parts = _ingredients(recipe)
    for name, path in headers:
        parts += [name.encode(), hashlib.sha256(path.read_bytes()).digest()]
    return _digest(parts)


def _entry(key: str) -> Path:
    return cache_dir() / "results" / key[:2] / key[2:]


def _manifest(recipe: Recipe) -> Path:
    key = _digest([*_ingredients(recipe), *(os.fsencode(folder) for folder in recipe.folders)])
    return cache_dir() / "manifests" / key[:2] / key[2:]
