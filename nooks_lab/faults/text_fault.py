"""A fault in an extension's text: one instruction of a function that each request runs is overwritten."""

from dataclasses import dataclass

from nooks_lab.lab import Lab

FUNCTIONS = {"khttpd": "khttpd_close", "e1000": "e1000_intr"}
"""Where each extension is hit: the end of each connection of kHTTPd, and the driver's interrupt handler."""

WILD_ADDRESS = 0x00000010
"""A member of a struct at NULL."""

_STORE = b"\xc7\x05" + WILD_ADDRESS.to_bytes(4, "little") + 0x0BADF00D.to_bytes(4, "little")
"""``movl $0x0badf00d, 0x10``."""


class NoSuchFault(ValueError):  # noqa: N818 - the sentence is for the user
    """There is no fault for an extension, or it is not loaded; one sentence that says so."""


@dataclass(frozen=True)
class TextFault:
    """What was overwritten: the extension, the function, and its address."""

    extension: str
    function: str
    address: int


def inject(lab: Lab, extension: str) -> TextFault:
    """Overwrite the first instruction of a function with a store through a pointer that is NULL.

    The text is the loaded module's: a reload brings the right one back.

    Raises
    ------
    NoSuchFault
        When there is no fault for the extension, or it is not loaded at the moment.
    """
    function = FUNCTIONS.get(extension)
    if function is None:
        raise NoSuchFault(
            f"there is no fault for {extension!r}; there are faults for: {', '.join(FUNCTIONS)}"
        )
    module = lab.kernel.modules.loaded.get(extension)
    if module is None or module.image is None:
        raise NoSuchFault(f"{extension} is not loaded at the moment")
    address = module.image.symbols[function]
    lab.kernel.memory.write(address, _STORE)
    return TextFault(extension, function, address)
