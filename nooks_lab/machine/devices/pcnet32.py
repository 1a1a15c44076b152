"""AMD's PCnet-FAST, the Am79C971, with its EEPROM and an Am79C874 PHY on its management interface.

Its registers, rings and initialization block are those of the whole family, from the PCnet-PCI II (Am79C970A) on.

Not modelled: AUI, GPSI and half-duplex collisions, Magic Packet, look-ahead packet processing, the software timer,
EEPROM access through BCR19, the expansion bus and its SRAM, and the port manager, which sets the PHY up by itself
(software does that through BCR32 to BCR34).  A register accessed in another width than the mode's reads as ones and
ignores writes; AMD leaves that undefined.

Source: AMD publications 19436 (Am79C970A) and 20550 (Am79C971).
"""

from collections.abc import Callable

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import pcnet32_registers as reg
from nooks_lab.machine.devices.device import MasterAbort
from nooks_lab.machine.devices.pcnet32_descriptors import (
    init_block_bytes,
    known_style,
    read_init_block,
)
from nooks_lab.machine.devices.pcnet32_receive import Receiver
from nooks_lab.machine.devices.pcnet32_rings import RECEIVE, TRANSMIT
from nooks_lab.machine.devices.pcnet32_state import BCRS, CSRS, Pcnet32State
from nooks_lab.machine.devices.pcnet32_transmit import (
    Transmitter,
)
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import BaseAddress, PciBus, PciFunction

VENDOR_ID = 0x1022
DEVICE_ID = 0x2000
CLASS_ETHERNET = 0x020000
REVISION = 0x20
CHIP_ID = 0x2623 << 12 | 0x003
"""Part number of the Am79C971, AMD's manufacturer number, and the 1 that ends a JTAG identification."""

PHY_ADDRESS = 1
INIT_CYCLES = CPU_HZ // 1_000_000 * 3
"""The initialization block: seven words, each with an arbitration of its own."""

MANAGEMENT_CYCLES = CPU_HZ // 1_000_000 * 26
"""One MII management frame: 64 bits at 2.5 MHz; meanwhile the access of BCR34 is retried."""

NEGOTIATION_CYCLES = CPU_HZ // 2
"""Auto-negotiation with fast link pulses 16 ms apart: half a second."""

_EVENTS = ("read_init_block", "fetch_transmit", "finish_transmit", "poll_transmit", "time_out_bus")


def aprom_bytes(mac: bytes) -> bytes:
    """Return what the EEPROM holds for software: address, checksum, signature.

    Parameters
    ----------
    mac : bytes
        Six bytes, the station address.

    Raises
    ------
    ValueError
        When it does not have six bytes.
    """
    if len(mac) != 6:
        raise ValueError(f"Ethernet address {mac.hex(':')} has {len(mac)} bytes instead of 6")
    head = mac + bytes((0, 0, 0, 0x11, 0, 0))
    signature = b"WW"
    return head + (sum(head + signature) & 0xFFFF).to_bytes(2, "little") + signature


class Pcnet32(Transmitter, Receiver):
    """An Am79C971 on the PCI bus; a :class:`~nooks_lab.machine.wire.Wire` gives it a network.

    Parameters
    ----------
    name : str
        Its name among the clock's parts.
    device, irq : int
        PCI device number and interrupt line.
    ports, base : int
        Where the firmware put its 32 bytes of registers: in I/O space, and in memory.
    mac : bytes
        Six bytes, the station address in its EEPROM.
    negotiation : int
        Cycles that auto-negotiation takes.

    Raises
    ------
    ValueError
        When the station address does not have six bytes.
    """

    state: Pcnet32State

    def __init__(
        self,
        name: str = "eth0nic",
        device: int = 3,
        irq: int = 11,
        ports: int = 0xC000,
        base: int = 0xFEBC0000,
        mac: bytes = bytes(6),
        negotiation: int = NEGOTIATION_CYCLES,
    ) -> None:
        function = PciFunction(
            device=device,
            vendor_id=VENDOR_ID,
            device_id=DEVICE_ID,
            class_code=CLASS_ETHERNET,
            revision=REVISION,
            irq=irq,
            bars=(
                BaseAddress(ports, reg.REGION_BYTES, io=True),
                BaseAddress(base, reg.REGION_BYTES),
            ),
            subsystem_vendor=VENDOR_ID,
            subsystem=DEVICE_ID,
        )
        super().__init__(name, function)
        self.negotiation = negotiation
        self.state = Pcnet32State(aprom_bytes(mac))
        self._csr_writes: dict[int, Callable[[int], None]] = {
            reg.CSR0: self._write_csr0,
            reg.CSR4: self._write_csr4,
            reg.CSR5: self._write_csr5,
            reg.CSR7: self._write_csr7,
            16: lambda value: self._write_csr(reg.CSR1, value),
            17: lambda value: self._write_csr(reg.CSR2, value),
            reg.CSR58: self._write_software_style,
        }
        self._bcr_writes: dict[int, Callable[[int], None]] = {
            reg.BCR20: self._write_software_style,
            reg.BCR34: self._write_phy,
        }

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, pci: PciBus) -> None:
        """Connect the controller to a machine and reset it, as power-on does."""
        super().plug(bus, clock, pic, pci)
        self.hardware_reset()

    # The registers' window

    def io_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Read through the I/O region."""
        return self._read(offset, size)

    def io_write(self, bar: int, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write through the I/O region."""
        self._write(offset, size, value)

    def mmio_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Read through the memory region, which shows the same."""
        return self._read(offset, size)

    def mmio_write(self, bar: int, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write through the memory region."""
        self._write(offset, size, value)

    def _register(self, offset: int, size: int) -> int:
        """Return which of the four registers an access means, by its offset in 16-bit mode; 0 when none."""
        if not self.state.dwio:
            return offset if size == 2 and reg.WIO_RDP <= offset <= reg.WIO_BDP and not offset & 1 else 0
        wide = {
            reg.DWIO_RDP: reg.WIO_RDP,
            reg.DWIO_RAP: reg.WIO_RAP,
            reg.DWIO_RESET: reg.WIO_RESET,
            reg.DWIO_BDP: reg.WIO_BDP,
        }
        return wide.get(offset, 0) if size == 4 else 0

    def _read(self, offset: int, size: int) -> int:
        if offset + size <= reg.APROM_BYTES:
            return int.from_bytes(self.state.aprom[offset : offset + size], "little")
        match self._register(offset, size):
            case reg.WIO_RDP:
                return self._read_csr(self.state.rap)
            case reg.WIO_RAP:
                return self.state.rap
            case reg.WIO_RESET:
                self.software_reset()
                return 0
            case reg.WIO_BDP:
                return self._read_bcr(self.state.rap)
        return (1 << 8 * size) - 1

    def _write(self, offset: int, size: int, value: int) -> None:
        if offset == reg.WIO_RDP and size == 4:
            self.state.dwio = True
        value &= 0xFFFF
        match self._register(offset, size):
            case reg.WIO_RDP:
                self._write_csr(self.state.rap, value)
            case reg.WIO_RAP:
                self.state.rap = value & 0xFF
            case reg.WIO_BDP:
                self._write_bcr(self.state.rap, value)

    # Control and status registers

    def _read_csr(self, number: int) -> int:
        csr = self.state.csr
        match number:
            case reg.CSR0:
                errors = reg.CSR0_ERR if csr[reg.CSR0] & reg.CSR0_ERRORS else 0
                return csr[reg.CSR0] | errors | (reg.CSR0_INTR if self._interrupts() else 0)
            case 16 | 17:
                return csr[number - 15]
            case reg.CSR58:
                return self.state.bcr[reg.BCR20]
        return csr[number] if number < CSRS else 0

    def _write_csr(self, number: int, value: int) -> None:
        effect = self._csr_writes.get(number)
        if effect:
            effect(value)
            return
        mask = reg.CSR_ALWAYS.get(number, 0)
        if number in reg.CSR_STOPPED and self._may_configure():
            mask = reg.CSR_STOPPED[number]
        if mask:
            csr = self.state.csr
            csr[number] = csr[number] & ~mask | value & mask
            self._drive_interrupt()

    def _may_configure(self) -> bool:
        csr = self.state.csr
        return bool(csr[reg.CSR0] & reg.CSR0_STOP or csr[reg.CSR5] & reg.CSR5_SPND)

    def _write_csr0(self, value: int) -> None:
        csr = self.state.csr
        csr[reg.CSR0] &= ~(value & reg.CSR0_CAUSES)
        csr[reg.CSR0] = csr[reg.CSR0] & ~reg.CSR0_IENA | value & reg.CSR0_IENA
        if value & reg.CSR0_STOP:
            self._stop()
            return
        if value & reg.CSR0_INIT and not self.state.initializing:
            csr[reg.CSR0] = csr[reg.CSR0] & ~reg.CSR0_STOP | reg.CSR0_INIT
            self.state.initializing = True
            self.clock.after(INIT_CYCLES, self.name, "read_init_block")
        if value & reg.CSR0_STRT:
            csr[reg.CSR0] = csr[reg.CSR0] & ~reg.CSR0_STOP | reg.CSR0_STRT
            if not self.state.initializing:
                self._start()
        if value & reg.CSR0_TDMD and csr[reg.CSR0] & reg.CSR0_TXON:
            csr[reg.CSR0] |= reg.CSR0_TDMD
            self._start_transmitter()
        self._drive_interrupt()

    def _write_csr4(self, value: int) -> None:
        csr = self.state.csr
        causes = csr[reg.CSR4] & reg.CSR4_CAUSES & ~value
        if value & reg.CSR4_UINTCMD:
            causes |= reg.CSR4_UINT
        csr[reg.CSR4] = value & reg.CSR4_WRITABLE | causes
        self._queue_poll()
        self._drive_interrupt()

    def _write_csr5(self, value: int) -> None:
        state, csr = self.state, self.state.csr
        causes = csr[reg.CSR5] & reg.CSR5_CAUSES & ~value
        suspended = csr[reg.CSR5] & reg.CSR5_SPND
        csr[reg.CSR5] = value & reg.CSR5_WRITABLE | causes | suspended
        if not value & reg.CSR5_SPND:
            state.suspending = False
            csr[reg.CSR5] &= ~reg.CSR5_SPND
            self._start_transmitter()
        elif not suspended and not csr[reg.CSR0] & reg.CSR0_STOP:
            state.suspending = True
            self._suspend_when_idle()
        self._drive_interrupt()

    def _write_csr7(self, value: int) -> None:
        csr = self.state.csr
        causes = csr[reg.CSR7] & reg.CSR7_CAUSES & ~value
        csr[reg.CSR7] = value & reg.CSR_ALWAYS[reg.CSR7] | causes
        self._drive_interrupt()

    # Bus configuration registers

    def _read_bcr(self, number: int) -> int:
        state = self.state
        match number:
            case reg.BCR4:
                lit = state.phy.link and state.bcr[reg.BCR4] & reg.BCR4_LNKSTE
                return state.bcr[reg.BCR4] | (reg.BCR4_LEDOUT if lit else 0)
            case reg.BCR18:
                return state.bcr[reg.BCR18] | (reg.BCR18_DWIO if state.dwio else 0)
            case reg.BCR32:
                return state.bcr[reg.BCR32] | reg.BCR32_MIIPD
            case reg.BCR34:
                return self._read_phy()
        return state.bcr[number] if number < BCRS else 0

    def _write_bcr(self, number: int, value: int) -> None:
        effect = self._bcr_writes.get(number)
        if effect:
            effect(value)
            return
        mask = reg.BCR_WRITABLE.get(number, 0)
        if mask:
            bcr = self.state.bcr
            bcr[number] = bcr[number] & ~mask | value & mask

    def _write_software_style(self, value: int) -> None:
        """BCR20 and CSR58; a reserved style is not taken."""
        style = value & reg.BCR20_SWSTYLE
        if self._may_configure() and known_style(style):
            wide = reg.BCR20_SSIZE32 if style else 0
            self.state.bcr[reg.BCR20] = reg.BCR20_CSRPCNET | wide | style

    # Reset, initialization, stop

    def hardware_reset(self) -> None:
        """H_RESET: everything but the PHY's link, as after power-on."""
        state = self.state
        self._cancel()
        state.csr = [reg.CSR_RESET.get(number, 0) for number in range(CSRS)]
        state.bcr = [reg.BCR_RESET.get(number, 0) for number in range(BCRS)]
        state.csr[reg.CSR88], state.csr[reg.CSR89] = CHIP_ID & 0xFFFF, CHIP_ID >> 16
        for word in range(3):
            state.csr[reg.PADR + word] = int.from_bytes(state.aprom[2 * word : 2 * word + 2], "little")
        state.rap, state.dwio = 0, False
        self._drive_interrupt()

    def software_reset(self) -> None:
        """S_RESET, which a read of the reset register does: the CSRs that control operation, and RAP."""
        self._cancel()
        csr = self.state.csr
        for number in reg.CSR_SOFT_RESET:
            csr[number] = 0
        for number, value in reg.CSR_RESET.items():
            csr[number] = value
        self.state.rap = 0
        self._drive_interrupt()

    def _cancel(self) -> None:
        for action in _EVENTS:
            self.clock.cancel(self.name, action)
        state = self.state
        state.initializing = state.transmitting = state.suspending = state.poll_queued = False

    def _stop(self) -> None:
        """STOP: all activity ends, the causes of interrupts are forgotten, the configuration stays."""
        self._cancel()
        csr = self.state.csr
        csr[reg.CSR0] = reg.CSR0_STOP
        csr[reg.CSR4] &= ~reg.CSR4_MASKED_CAUSES
        csr[reg.CSR5] &= ~reg.CSR5_SPND
        self._drive_interrupt()

    def _system_error(self) -> None:
        """A master abort: STOP, and SINT tells why."""
        self._stop()
        self.state.csr[reg.CSR5] |= reg.CSR5_SINT
        self._drive_interrupt()

    def read_init_block(self) -> None:
        """Event: the initialization block is on the chip."""
        state, csr = self.state, self.state.csr
        if not self.may_master():
            self._wait_for_bus("read_init_block")
            return
        state.initializing = False
        wide = bool(self._style)
        address = csr[reg.CSR1] | csr[reg.CSR2] << 16
        try:
            data = self.dma_read(address & ~(3 if wide else 1), init_block_bytes(wide))
        except MasterAbort:
            self._system_error()
            return
        block = read_init_block(data, wide)
        csr[reg.MODE] = block.mode
        for word in range(3):
            csr[reg.PADR + word] = int.from_bytes(block.padr[2 * word : 2 * word + 2], "little")
        for word in range(4):
            csr[reg.LADRF + word] = int.from_bytes(block.ladrf[2 * word : 2 * word + 2], "little")
        # With 24-bit addresses, the initialization block's own upper byte goes for the rings too.
        high = 0 if wide else csr[reg.CSR2] & 0xFF00
        for ring, base, bits in (
            (RECEIVE, block.receive_ring, block.receive_bits),
            (TRANSMIT, block.transmit_ring, block.transmit_bits),
        ):
            csr[ring.base_low], csr[ring.base_high] = base & 0xFFFF, base >> 16 | high
            csr[ring.length] = csr[ring.counter] = -(1 << bits) & 0xFFFF
        csr[reg.CSR6] = block.transmit_bits << 12 | block.receive_bits << 8
        csr[reg.CSR0] |= reg.CSR0_IDON
        if csr[reg.CSR0] & reg.CSR0_STRT:
            self._start()
        self._drive_interrupt()

    def _start(self) -> None:
        """STRT: receiver and transmitter go on, unless CSR15 disables them."""
        csr = self.state.csr
        if not csr[reg.MODE] & reg.MODE_DRX:
            csr[reg.CSR0] |= reg.CSR0_RXON
        if not csr[reg.MODE] & reg.MODE_DTX:
            csr[reg.CSR0] |= reg.CSR0_TXON
        self._queue_poll()

    # PHY and link

    def _selected_phy(self) -> int | None:
        """Return the register that BCR33 names, when it is one of the PHY that there is."""
        address = self.state.bcr[reg.BCR33]
        return address & 0x1F if address >> 5 == PHY_ADDRESS else None

    def _read_phy(self) -> int:
        register = self._selected_phy()
        self._managed()
        return 0xFFFF if register is None else self.state.phy.read(register)

    def _write_phy(self, value: int) -> None:
        register = self._selected_phy()
        self._managed()
        if register is not None and self.state.phy.write(register, value):
            self._negotiate()

    def _managed(self) -> None:
        self.clock.advance(MANAGEMENT_CYCLES)
        self.state.csr[reg.CSR7] |= reg.CSR7_MCCINT
        self._drive_interrupt()

    def set_link(self, up: bool) -> None:
        """Plug the cable in or pull it out; once it is in, the link comes up after negotiation."""
        self.state.cable = up
        self._negotiate()

    def _negotiate(self) -> None:
        state = self.state
        self.clock.cancel(self.name, "finish_negotiation")
        self._change_link(False)
        if state.cable and state.phy.negotiates():
            self.clock.after(self.negotiation, self.name, "finish_negotiation")

    def finish_negotiation(self) -> None:
        """Event: the PHY and its partner have agreed, the link is up."""
        self._change_link(True)

    def _change_link(self, up: bool) -> None:
        state = self.state
        changed = state.phy.link != up
        state.phy.set_link(up)
        if changed and state.bcr[reg.BCR32] & reg.BCR32_APEP:
            state.csr[reg.CSR7] |= reg.CSR7_MAPINT
            self._drive_interrupt()

    # Receive
