"""Legacy descriptors of the 82540EM, sixteen bytes each in the driver's rings.

Source: Intel 8254x Software Developer's Manual, sections 3.2.3 (receive) and 3.3.3 (transmit).
"""

import struct

DESCRIPTOR_BYTES = 16

TRANSMIT = struct.Struct("<QHBBBBH")
"""Buffer address, length, CSO, CMD, STA, CSS, special."""

TRANSMIT_STATUS_OFFSET = 12

TX_CMD_EOP = 1 << 0
TX_CMD_IFCS = 1 << 1
TX_CMD_IC = 1 << 2
TX_CMD_RS = 1 << 3
TX_CMD_DEXT = 1 << 5
TX_CMD_VLE = 1 << 6
TX_CMD_IDE = 1 << 7
TX_STA_DD = 1 << 0

RECEIVE_BUFFER = struct.Struct("<Q")
RECEIVE_WRITE_BACK = struct.Struct("<HHBBH")
"""Length, packet checksum, status, errors, special; the eight bytes after the buffer address."""

RECEIVE_WRITE_BACK_OFFSET = 8

RX_STATUS_DD = 1 << 0
RX_STATUS_EOP = 1 << 1
RX_STATUS_IXSM = 1 << 2
RX_STATUS_VP = 1 << 3
RX_STATUS_PIF = 1 << 7
