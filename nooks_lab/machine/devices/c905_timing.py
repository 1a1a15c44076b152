"""How long things take in a 3C905C.

Source: 3Com 3C90xC NICs Technical Reference.
"""

from nooks_lab.machine.clock import CPU_HZ

MICROSECOND = CPU_HZ // 1_000_000
FETCH_CYCLES = MICROSECOND // 2
"""To win the bus and read or write a descriptor."""

CYCLES_PER_BYTE = CPU_HZ // 132_000_000
"""A 32-bit PCI bus at 33 MHz moves 132 million bytes a second."""

TICK_CYCLES = 32 * CPU_HZ // 10_000_000
"""Four byte times at 10 Mb/s, 3.2 us: the unit of Timer, FreeTimer and CountDown; a tenth of it with counterSpeed."""

FAST_TICK_CYCLES = TICK_CYCLES // 10
"""320 ns: the unit of DnPoll and UpPoll."""
