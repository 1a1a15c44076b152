"""Driver code on our machine against the same code on a bare Unicorn without any hook.

A second bare Unicorn calls an empty C function at every block: what the cheapest possible exact clock costs.
"""

import ctypes
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import unicorn
from unicorn import unicorn_const as uc_const
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uclib

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel import linker
from nooks_lab.toolchain import compiler

SOURCE = Path(__file__).with_name("checksum.c")
EMPTY_HOOK = Path(__file__).with_name("empty_hook.c")
WORDS, ROUNDS = 700, 8_000
BASE, DATA, STACK = 0x100000, 0x200000, 0x300000
PACKET = bytes(range(256)) * 6


@dataclass(frozen=True)
class Speed:
    """Medians: seconds a run, and the speed relative to bare Unicorn in the run beside it."""

    bare: float
    ours: float
    relative: float
    empty_hook: float


def speed(repeats: int) -> Speed:
    """Measure the three in turn."""
    obj = extensions.build(SOURCE)
    bare, code = _bare(obj)
    hooked, _ = _bare(obj)
    hook = _hook_every_block(hooked)
    with nl.boot() as lab:
        kernel = lab.kernel
        layout = linker.lay_out(obj)
        base = kernel.vmalloc.alloc(layout.size)
        image = linker.link(obj, layout, base, lambda _name: None)
        kernel.memory.write(base, image.data)
        data = kernel.slab.alloc(len(PACKET))
        kernel.memory.write(data, PACKET)
        ours, raw, empty = [], [], []
        for _ in range(repeats):
            begin = time.perf_counter()
            result = kernel.in_task(
                "checksum", lambda: kernel.execution.call(image.symbols["checksum"], data, WORDS, ROUNDS)
            )
            middle = time.perf_counter()
            expected = _run_bare(bare, code)
            end = time.perf_counter()
            also = _run_bare(hooked, code)
            empty.append(time.perf_counter() - end)
            raw.append(end - middle)
            ours.append(middle - begin)
            if not result == expected == also:
                raise RuntimeError(f"the sides disagree: {result:#x}, {expected:#x} and {also:#x}")
    del hook
    return Speed(
        median(raw),
        median(ours),
        median(theirs / mine for mine, theirs in zip(ours, raw, strict=True)),
        median(theirs / hooks for hooks, theirs in zip(empty, raw, strict=True)),
    )


def _hook_every_block(engine: Any) -> Any:
    library = ctypes.CDLL(str(compiler.compile_host_library(EMPTY_HOOK)))
    handle = ctypes.c_size_t()
    uclib.uc_hook_add(
        engine._uch,
        ctypes.byref(handle),
        ctypes.c_int(uc_const.UC_HOOK_BLOCK),
        library.on_block,
        None,
        ctypes.c_uint64(1),
        ctypes.c_uint64(0),
    )
    return library


def _bare(obj: Any) -> tuple[Any, int]:
    engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    engine.mem_map(0, 16 << 20)
    image = linker.link(obj, linker.lay_out(obj), BASE, lambda _name: None)
    engine.mem_write(BASE, image.data)
    engine.mem_write(DATA, PACKET)
    return engine, image.symbols["checksum"]


def _run_bare(engine: Any, code: int) -> int:
    engine.mem_write(STACK - 16, struct.pack("<4I", BASE - 16, DATA, WORDS, ROUNDS))
    engine.reg_write(x86.UC_X86_REG_ESP, STACK - 16)
    engine.emu_start(code, BASE - 16)
    return int(engine.reg_read(x86.UC_X86_REG_EAX))
