"""``MODULE_PARM``: writing parameters into a module's image, as ``insmod name=value`` does.

A kind is a letter (``b``, ``h``, ``i``, ``l`` for integers of 1, 2, 4, 4 bytes, ``s`` for a string), after
how many values an array takes, if it is one: ``4i`` exactly four, ``1-4i`` one to four.
"""

import re
import struct
from collections.abc import Sequence

from nooks_lab.kernel.module import Module, ModuleError, Parameters, modinfo

_KIND = re.compile(r"(?:([0-9]{1,4})(?:-([0-9]{1,4}))?)?([bhils])")
_BITS = {"b": 8, "h": 16, "i": 32, "l": 32}


def string_room(parameters: Parameters) -> int:
    """Return how many bytes the strings among the parameters take in the module's memory."""
    return sum(len(_c_string(value)) for value in parameters.values() if isinstance(value, str))


def set_parameters(module: Module, image: bytearray) -> None:
    """Write a module's parameters into its image; the strings go to the end of its data.

    Parameters
    ----------
    module : Module
        Linked, with :func:`string_room` bytes at the end of its data.
    image : bytearray
        The module's bytes.

    Raises
    ------
    ModuleError
        When the module has no such parameter, or it does not take such values.
    """
    assert module.image is not None
    strings = module.image.writable[1] - string_room(module.parameters)
    for name, value in module.parameters.items():
        kind = modinfo(module.object).get(f"parm_{name}")
        if kind is None or name not in module.image.symbols:
            raise ModuleError(f"module {module.name} has no parameter {name}")
        what = f"module {module.name}: parameter {name}"
        words = _encode(what, kind, value, strings)
        if sum(map(len, words)) > module.image.sizes[name]:
            raise ModuleError(f"{what} is a variable without room for {len(words)} values of kind {kind!r}")
        _put(module, image, module.image.symbols[name], b"".join(words))
        if isinstance(value, str):
            _put(module, image, strings, _c_string(value))
            strings += len(_c_string(value))


def _put(module: Module, image: bytearray, address: int, data: bytes) -> None:
    start = address - module.base
    image[start : start + len(data)] = data


def _encode(what: str, kind: str, value: int | str | Sequence[int], string: int) -> list[bytes]:
    """Return the bytes of each element of the variable; for a string, the pointer ``string``."""
    match = _KIND.fullmatch(kind)
    if match is None:
        raise ModuleError(f"{what} is of the kind {kind!r}, which insmod does not know")
    least, most, letter = match.groups()
    values = [value] if isinstance(value, int | str) else list(value)
    _check_count(what, len(values), int(least or 1), int(most or least or 1))
    if letter != "s":
        return [_integer(what, _BITS[letter], value) for value in values]
    if not isinstance(value, str):
        raise ModuleError(f"{what} is not an integer but a string")
    return [struct.pack("<I", string)]


def _c_string(text: str) -> bytes:
    return text.encode(errors="replace") + b"\0"


def _integer(what: str, bits: int, value: object) -> bytes:
    if not isinstance(value, int):
        raise ModuleError(f"{what} takes integers, not {value!r}")
    # Signed or not is the variable's affair: 0xff and -1 are the same byte.
    if not -(1 << bits - 1) <= value < 1 << bits:
        raise ModuleError(f"{what}: {value} does not fit into {bits} bits")
    return (value & (1 << bits) - 1).to_bytes(bits // 8, "little")


def _check_count(what: str, count: int, least: int, most: int) -> None:
    if least <= count <= most:
        return
    wanted = f"{least}" if least == most else f"{least} to {most}"
    raise ModuleError(f"{what} takes {wanted} value{'s' * (most != 1)}, not {count}")
