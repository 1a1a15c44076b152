import shutil
from pathlib import Path

import pytest

from nooks_lab.toolchain import store
from nooks_lab.toolchain.compiler import compile_c
from nooks_lab.toolchain.elf import ObjectFile, read_object

TREE = Path(__file__).parent / "tree"


@pytest.fixture(scope="session")
def include() -> Path:
    return TREE / "include"


@pytest.fixture
def tree(tmp_path) -> Path:
    """A copy of the tree that a test may change."""
    return shutil.copytree(TREE, tmp_path / "tree")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(store, "cache_dir", lambda: folder)
    return folder


@pytest.fixture(scope="session")
def driver_bytes(include) -> bytes:
    return compile_c(TREE / "driver.c", include=[include]).data


@pytest.fixture(scope="session")
def driver(driver_bytes) -> ObjectFile:
    return read_object(driver_bytes, "driver.c")
