"""Driver code on our machine against the same code on a bare Unicorn without any hook."""

import struct
import time
from pathlib import Path
from typing import Any

import unicorn
from unicorn import x86_const as x86

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel import linker

SOURCE = Path(__file__).with_name("checksum.c")
WORDS, ROUNDS = 700, 8_000
BASE, DATA, STACK = 0x100000, 0x200000, 0x300000
PACKET = bytes(range(256)) * 6


def ratio(repeats: int) -> tuple[float, float, float]:
    """Return seconds on the machine, seconds on bare Unicorn, and the median ratio of neighbouring runs."""
    obj = extensions.build(SOURCE)
    bare, code = _bare(obj)
    with nl.boot() as lab:
        kernel = lab.kernel
        layout = linker.lay_out(obj)
        base = kernel.vmalloc.alloc(layout.size)
        image = linker.link(obj, layout, base, lambda _name: None)
        kernel.memory.write(base, image.data)
        data = kernel.slab.alloc(len(PACKET))
        kernel.memory.write(data, PACKET)
        ours, raw = [], []
        for _ in range(repeats):
            begin = time.perf_counter()
            result = kernel.in_task(
                "checksum", lambda: kernel.execution.call(image.symbols["checksum"], data, WORDS, ROUNDS)
            )
            middle = time.perf_counter()
            expected = _run_bare(bare, code)
            raw.append(time.perf_counter() - middle)
            ours.append(middle - begin)
            if result != expected:
                raise RuntimeError(f"the two sides disagree: {result:#x} and {expected:#x}")
    pairs = sorted(theirs / mine for mine, theirs in zip(ours, raw, strict=True))
    return sorted(ours)[repeats // 2], sorted(raw)[repeats // 2], pairs[repeats // 2]


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
