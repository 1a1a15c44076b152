"""``vsprintf`` for guest strings (Linux 2.4 ``lib/vsprintf.c``)."""

import re

from nooks_lab.kernel.exports import VaList
from nooks_lab.machine.linear import LinearMemory

_CONVERSION = re.compile(rb"%([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?(hh|h|ll|l|L|Z|z)?([a-zA-Z%])")


def vsprintf(memory: LinearMemory, text: bytes, arguments: VaList) -> bytes:
    """Format guest arguments; a bad string pointer faults as in the kernel, but NULL prints ``<NULL>``."""
    out = []
    at = 0
    for match in _CONVERSION.finditer(text):
        out.append(text[at : match.start()])
        at = match.end()
        out.append(_convert(memory, match, arguments))
    out.append(text[at:])
    return b"".join(out)


def _convert(memory: LinearMemory, match: "re.Match[bytes]", arguments: VaList) -> bytes:
    flags, width_text, precision_text, length, kind = match.groups()
    if kind == b"%":
        return b"%"
    width = arguments.word() if width_text == b"*" else int(width_text or 0)
    precision = (
        arguments.word() if precision_text == b"*" else int(precision_text) if precision_text else None
    )
    if kind == b"c":
        return bytes((arguments.word() & 0xFF,)).rjust(width)
    if kind == b"s":
        pointer = arguments.word()
        body = memory.string(pointer) if pointer else b"<NULL>"
        body = body if precision is None else body[:precision]
        return body.ljust(width) if b"-" in flags else body.rjust(width)
    if kind not in b"diouxXp":
        return match.group(0)
    value = arguments.word()
    if length in (b"ll", b"L"):
        value |= arguments.word() << 32
    bits = 64 if length in (b"ll", b"L") else 16 if length == b"h" else 8 if length == b"hh" else 32
    return _number(value & (1 << bits) - 1, bits, kind, flags, width, precision)


def _number(value: int, bits: int, kind: bytes, flags: bytes, width: int, precision: int | None) -> bytes:
    sign = ""
    if kind in b"di":
        if value >> bits - 1:
            value, sign = (1 << bits) - value, "-"
        elif b"+" in flags:
            sign = "+"
        elif b" " in flags:
            sign = " "
    if kind == b"p":
        flags, width, kind = flags + b"0", width or 8, b"x"
    digits = {b"x": f"{value:x}", b"X": f"{value:X}", b"o": f"{value:o}"}.get(kind, str(value))
    prefix = {b"x": "0x", b"X": "0X", b"o": "0"}.get(kind, "") if b"#" in flags else ""
    if precision is not None:
        digits = digits.zfill(precision)
    elif b"0" in flags and b"-" not in flags:
        digits = digits.zfill(width - len(sign) - len(prefix))
    text = sign + prefix + digits
    return (text.ljust(width) if b"-" in flags else text.rjust(width)).encode()
