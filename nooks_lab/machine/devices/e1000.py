"""The Intel PRO/1000 MT Desktop Adapter: the 82540EM Gigabit controller with its EEPROM and PHY.

Not modelled: wake-up, flow control, bit-banged EEPROM access, the packet buffer that holds received frames
until a descriptor is free, checksum off-load of received frames (each carries the IXSM status) and extended
transmit descriptors (they are consumed, their frames are not sent).

Source: Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual.
"""

import array
from collections.abc import Callable

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.machine.devices.e1000_filter import exact_addresses
from nooks_lab.machine.devices.e1000_receive import Receiver
from nooks_lab.machine.devices.e1000_state import E1000State
from nooks_lab.machine.devices.e1000_transmit import Transmitter
from nooks_lab.machine.devices.eeprom import WORDS, eeprom_words, mac_address
from nooks_lab.machine.devices.phy import CTRL_RESET, PHY_CTRL
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import BaseAddress, PciBus, PciFunction

VENDOR_ID = 0x8086
DEVICE_ID = 0x100E
CLASS_ETHERNET = 0x020000
REVISION = 2
REGION_BYTES = 0x20000

EEPROM_READ_CYCLES = CPU_HZ // 1_000_000 * 30
"""One EEPROM word: some thirty bits at 1 MHz."""

MDI_CYCLES = CPU_HZ // 1_000_000 * 26
"""One management frame: 64 bits at 2.5 MHz."""

NEGOTIATION_CYCLES = CPU_HZ // 2
"""Auto-negotiation with fast link pulses 16 ms apart, and the training of 1000BASE-T: half a second."""

PHY_ADDRESS = 1

_EVENTS_OF_MAC = (
    "fetch_transmit",
    "finish_transmit",
    "end_throttle",
    "end_receive_delay",
    "end_transmit_delay",
    "finish_mdi",
)


class E1000(Transmitter, Receiver):
    """An 82540EM on the PCI bus; a :class:`~nooks_lab.machine.wire.Wire` gives it a network.

    Parameters
    ----------
    name : str
        Its name among the clock's parts.
    device, irq : int
        PCI device number and interrupt line.
    base : int
        Where the firmware put its 128 KiB of registers.
    mac : bytes
        Six bytes, the Ethernet address in its EEPROM.
    negotiation : int
        Cycles that auto-negotiation takes.
    """

    state: E1000State

    def __init__(
        self,
        name: str = "eth0nic",
        device: int = 3,
        irq: int = 11,
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
            bars=(BaseAddress(base, REGION_BYTES),),
            subsystem_vendor=VENDOR_ID,
            subsystem=DEVICE_ID,
        )
        super().__init__(name, function)
        self.negotiation = negotiation
        self.state = E1000State(
            eeprom=eeprom_words(mac, VENDOR_ID, DEVICE_ID),
            registers=array.array("I", bytes(reg.REGISTERS_END)),
        )
        self._writable = array.array("I", bytes(reg.REGISTERS_END))
        for offset, mask in reg.WRITABLE.items():
            self._writable[offset >> 2] = mask
        self._read_effects: dict[int, Callable[[], int]] = {
            reg.STATUS: self._read_status,
            reg.EERD: self._read_eerd,
            reg.MDIC: self._read_mdic,
            reg.ICR: self._read_icr,
            reg.IMS: self._read_ims,
        }
        self._write_effects: dict[int, Callable[[int], None]] = {
            reg.CTRL: self._write_ctrl,
            reg.EECD: self._write_eecd,
            reg.EERD: self._write_eerd,
            reg.MDIC: self._write_mdic,
            reg.ICR: self._write_icr,
            reg.ITR: self._write_itr,
            reg.ICS: self.cause,
            reg.IMS: self._write_ims,
            reg.IMC: self._write_imc,
            reg.RDTR: self._write_rdtr,
            reg.TCTL: self._start_transmitter,
            reg.TDT: self._start_transmitter,
        }
        for index in range(2 * reg.RECEIVE_ADDRESSES):
            self._write_effects[reg.RAL + 4 * index] = self._write_receive_address

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, pci: PciBus) -> None:
        """Connect the controller to a machine and reset it, as power-on does."""
        super().plug(bus, clock, pic, pci)
        self.reset()

    # Registers

    def mmio_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Return a register, or part of one; what is no register reads as zero."""
        value = self._read_register(offset & ~3)
        if size == 4 and not offset & 3:
            return value
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def mmio_write(self, bar: int, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write a register; the controller takes only whole ones."""
        if size != 4 or offset & 3 or offset >= reg.REGISTERS_END:
            return
        value &= 0xFFFFFFFF
        index = offset >> 2
        mask = self._writable[index]
        registers = self.state.registers
        registers[index] = registers[index] & ~mask | value & mask
        effect = self._write_effects.get(offset)
        if effect:
            effect(value)

    def _read_register(self, offset: int) -> int:
        effect = self._read_effects.get(offset)
        if effect:
            return effect()
        if reg.STATISTICS <= offset < reg.STATISTICS_END:
            return self._read_statistic(offset)
        return self.state.registers[offset >> 2] if offset < reg.REGISTERS_END else 0

    def reset(self) -> None:
        """Reset the controller as CTRL.RST does: everything but its PHY and its configuration space."""
        for action in _EVENTS_OF_MAC:
            self.clock.cancel(self.name, action)
        before = self.state
        self.state = E1000State(
            eeprom=before.eeprom,
            registers=array.array("I", bytes(reg.REGISTERS_END)),
            phy=before.phy,
            cable=before.cable,
            interrupts=before.interrupts,
        )
        registers = self.state.registers
        for offset, value in reg.RESET_VALUES.items():
            registers[offset >> 2] = value
        mac = mac_address(self.state.eeprom)
        registers[reg.RAL >> 2] = int.from_bytes(mac[:4], "little")
        registers[(reg.RAL >> 2) + 1] = int.from_bytes(mac[4:], "little") | reg.RAH_AV
        self.state.exact = exact_addresses(registers)
        self.set_interrupt(False)

    def _write_ctrl(self, value: int) -> None:
        if value & reg.CTRL_PHY_RST:
            self._write_phy(PHY_CTRL, CTRL_RESET)
        if value & reg.CTRL_RST:
            self.reset()
        self._update_link()

    def _read_status(self) -> int:
        duplex = self.state.registers[reg.CTRL >> 2] & reg.CTRL_FD
        up = reg.STATUS_LU if self.state.link else 0
        return reg.STATUS_SPEED_1000 | (reg.STATUS_FD if duplex else 0) | up

    def _write_receive_address(self, value: int) -> None:  # noqa: ARG002
        self.state.exact = exact_addresses(self.state.registers)

    # EEPROM and PHY

    def _write_eecd(self, value: int) -> None:
        granted = reg.EECD_EE_GNT if value & reg.EECD_EE_REQ else 0
        registers = self.state.registers
        registers[reg.EECD >> 2] = registers[reg.EECD >> 2] & ~reg.EECD_EE_GNT | granted

    def _write_eerd(self, value: int) -> None:
        if value & reg.EERD_START:
            word = value >> reg.EERD_ADDR_SHIFT & 0xFF
            data = self.state.eeprom[word % WORDS]
            self.state.registers[reg.EERD >> 2] = data << reg.EERD_DATA_SHIFT | word << reg.EERD_ADDR_SHIFT
            self.state.eeprom_ready_at = self.clock.now + EEPROM_READ_CYCLES

    def _read_eerd(self) -> int:
        value = self.state.registers[reg.EERD >> 2]
        if not self.state.eeprom_ready_at:
            return value
        if self.clock.now >= self.state.eeprom_ready_at:
            return value | reg.EERD_DONE
        return value & 0xFF << reg.EERD_ADDR_SHIFT | reg.EERD_START

    def _write_mdic(self, value: int) -> None:
        state = self.state
        result = value & ~(reg.MDIC_R | reg.MDIC_E)
        register = value >> reg.MDIC_REGADD_SHIFT & 0x1F
        operation = value & reg.MDIC_OP
        if value >> reg.MDIC_PHYADD_SHIFT & 0x1F != PHY_ADDRESS:
            result |= reg.MDIC_E
        elif operation == reg.MDIC_OP_READ:
            result = result & ~0xFFFF | state.phy.read(register)
        elif operation == reg.MDIC_OP_WRITE:
            self._write_phy(register, value & 0xFFFF)
        else:
            result |= reg.MDIC_E
        state.registers[reg.MDIC >> 2] = result
        state.mdi_ready_at = self.clock.now + MDI_CYCLES
        if value & reg.MDIC_I:
            self.clock.at(state.mdi_ready_at, self.name, "finish_mdi")

    def _read_mdic(self) -> int:
        value = self.state.registers[reg.MDIC >> 2]
        return value | reg.MDIC_R if self.clock.now >= self.state.mdi_ready_at else value & ~reg.MDIC_E

    def finish_mdi(self) -> None:
        """Event: the PHY access that asked for an interrupt is complete."""
        self.cause(reg.ICR_MDAC)

    # Link

    def _write_phy(self, register: int, value: int) -> None:
        if self.state.phy.write(register, value):
            self._negotiate()

    def _negotiate(self) -> None:
        self.clock.cancel(self.name, "finish_negotiation")
        self.state.phy.set_link(False)
        self._update_link()
        if self.state.cable and self.state.phy.negotiates():
            self.clock.after(self.negotiation, self.name, "finish_negotiation")

    def finish_negotiation(self) -> None:
        """Event: the PHY and its partner have agreed, the link is up."""
        self.state.phy.set_link(True)
        self._update_link()

    def set_link(self, up: bool) -> None:
        """Plug the cable in or pull it out; once it is in, the link comes up after negotiation."""
        self.state.cable = up
        self._negotiate()

    def _update_link(self) -> None:
        state = self.state
        link = state.phy.link and bool(state.registers[reg.CTRL >> 2] & reg.CTRL_SLU)
        if link != state.link:
            state.link = link
            self.cause(reg.ICR_LSC)
            self._start_transmitter()

    # Receive
