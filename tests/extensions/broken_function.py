"""A driver whose text breaks while it plays: the first instruction of a function becomes ``ud2``."""

from nooks_lab.kernel.kernel import Kernel

_FUNCTIONS = {
    "sb": ("sb_interrupt", "sb_write", "sb_start", "sb_update_ptr", "sb_ioctl", "sb_open"),
    "es1371": ("es1371_interrupt", "es1371_write", "es1371_src_read", "es1371_ioctl", "es1371_open"),
}
_UD2 = b"\x0f\x0b"


def targets(kernel: Kernel, extension: str) -> list[str]:
    """Return those of the functions that the compiler has not put into their callers."""
    image = kernel.modules.loaded[extension].image
    assert image is not None
    return [name for name in _FUNCTIONS[extension] if name in image.symbols]


def break_function(kernel: Kernel, extension: str, name: str) -> None:
    """Overwrite a function's first instruction."""
    image = kernel.modules.loaded[extension].image
    assert image is not None
    kernel.memory.write(image.symbols[name], _UD2)
