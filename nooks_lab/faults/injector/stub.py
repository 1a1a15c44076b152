"""Machine code that a changed call goes through: the faults that act on a call's argument or result.

A stub lies in an area of the kernel's, which every domain can read and none can write.  It is entered by the
extension's own ``call``, in the extension's domain and on its stack: the return address is at (%esp), the arguments
follow, and they are the called function's to change (System V ABI, i386 supplement).
"""

import struct

from nooks_lab.faults.injector.change import Detour

STUB_SIZE = 32
"""Room for each."""

_ADD_TO_ARGUMENT = b"\x81\x44\x24"
"""``addl $imm32, disp8(%esp)``."""
_PUSH_ARGUMENT = b"\xff\x74\x24\x08"
"""``pushl 8(%esp)``."""
_DROP = b"\x83\xc4"
"""``addl $imm8, %esp``."""
_PUSH_EAX, _POP_EAX, _RET = b"\x50", b"\x58", b"\xc3"
CALL, JUMP = 0xE8, 0xE9


def branch(opcode: int, at: int, target: int) -> bytes:
    """Return a ``call`` or ``jmp`` at one linear address to another one."""
    return struct.pack("<BI", opcode, target - at - 5 & 0xFFFFFFFF)


def stub(detour: Detour, at: int, function: int, release: int) -> bytes:
    """Return the code of a detour.

    Parameters
    ----------
    at : int
        The linear address that it will have.
    function : int
        The address of the function that the call was bound to, a kernel function or its wrapper.
    release : int
        For a premature free: the address of the function that frees.
    """
    if not detour.release:
        longer = _ADD_TO_ARGUMENT + struct.pack("<BI", 4 + 4 * detour.argument, detour.amount)
        return longer + branch(JUMP, at + len(longer), function)
    # Both arguments that an allocator may have: each push moves the next one to the same distance.
    code = _PUSH_ARGUMENT + _PUSH_ARGUMENT
    code += branch(CALL, at + len(code), function) + _DROP + b"\x08"
    code += _PUSH_EAX + _PUSH_EAX
    code += branch(CALL, at + len(code), release) + _DROP + b"\x04"
    return code + _POP_EAX + _RET
