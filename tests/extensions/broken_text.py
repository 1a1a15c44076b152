"""An extension whose machine code breaks at a seeded place while it runs: an instruction becomes ``ud2``."""

import random

import capstone

from nooks_lab.lab import Lab

UD2 = b"\x0f\x0b"


def instructions(lab: Lab, name: str) -> list[int]:
    """The addresses of a loaded extension's instructions, but those shorter than the one that takes their place."""
    image = lab.kernel.modules.loaded[name].image
    assert image is not None
    start, end = image.text
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    code = lab.kernel.memory.read(start, end - start)
    return [
        address
        for address, size, mnemonic, _ in decoder.disasm_lite(code, start)
        if size >= len(UD2) and mnemonic != "nop"
    ]


def break_one(lab: Lab, name: str, dice: random.Random) -> tuple[int, bytes]:
    """Overwrite one instruction; returns its address and what stood there."""
    address = dice.choice(instructions(lab, name))
    before = lab.kernel.memory.read(address, len(UD2))
    lab.kernel.memory.write(address, UD2)
    return address, before


def mend(lab: Lab, name: str, address: int, before: bytes) -> None:
    """Undo :func:`break_one` where nobody came by, unless the extension has been loaded anew."""
    if lab.kernel.memory.read(address, len(UD2)) == UD2:
        lab.kernel.memory.write(address, before)
