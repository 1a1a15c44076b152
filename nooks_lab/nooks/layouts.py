"""The layouts of the isolation manager's own structs, out of the compiler like the kernel's."""

from functools import cache
from pathlib import Path

from nooks_lab.toolchain import compiler
from nooks_lab.toolchain.header_layouts import read_header_layouts
from nooks_lab.toolchain.layouts import Layouts


@cache
def nooks_layouts() -> Layouts:
    """Read ``nooks.h``; the toolchain caches what it finds."""
    include = (compiler.headers_dir(), Path(__file__).parent)
    return read_header_layouts(("nooks.h",), include, ("__KERNEL__",))
