"""What the 82540EM makes of a frame's bytes before they leave: checksum, tag, padding, check sequence.

Source: Intel 8254x Software Developer's Manual, section 3.3.3.
"""

from collections.abc import Sequence

from nooks_lab.machine.devices.e1000_descriptors import TX_CMD_IC, TX_CMD_IFCS, TX_CMD_VLE
from nooks_lab.machine.devices.e1000_registers import CTRL, CTRL_VME, TCTL, TCTL_PSP, VET
from nooks_lab.machine.ethernet import (
    FCS_BYTES,
    frame_check_sequence,
    insert_tag,
    ones_complement_sum,
    pad,
)


def frame_on_line(
    frame: bytes, registers: Sequence[int], command: int, cso: int, css: int, special: int
) -> tuple[bytes, bool]:
    """Return the frame as it goes out, without check sequence, and whether its check sequence is right.

    Parameters
    ----------
    frame : bytes
        The bytes gathered from the driver's buffers.
    registers : sequence of int
        All registers, by offset / 4.
    command, cso, css, special : int
        Fields of the frame's last descriptor.
    """
    if command & TX_CMD_IC and cso + 2 <= len(frame) and css < len(frame):
        checksum = ~ones_complement_sum(frame[css:]) & 0xFFFF
        frame = frame[:cso] + checksum.to_bytes(2, "big") + frame[cso + 2 :]
    if command & TX_CMD_VLE and registers[CTRL >> 2] & CTRL_VME:
        frame = insert_tag(frame, registers[VET >> 2], special)
    if not command & TX_CMD_IFCS:
        frame, check = frame[:-FCS_BYTES], frame[-FCS_BYTES:]
        return frame, check == frame_check_sequence(frame)
    if registers[TCTL >> 2] & TCTL_PSP:
        frame = pad(frame)
    return frame, True
