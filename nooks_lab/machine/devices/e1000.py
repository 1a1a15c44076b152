"""The Intel PRO/1000 MT Desktop Adapter: the 82540EM Gigabit controller with its EEPROM and PHY.

Not modelled: wake-up, flow control, bit-banged EEPROM access, the packet buffer that holds received frames
until a descriptor is free, checksum off-load of received frames (each carries the IXSM status) and extended
transmit descriptors (they are consumed, their frames are not sent).

Source: Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual.
"""

import array
import bisect
from collections.abc import Callable

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.devices.e1000_descriptors import (
    DESCRIPTOR_BYTES,
    RX_STATUS_DD,
    RX_STATUS_IXSM,
    RX_STATUS_PIF,
    RX_STATUS_VP,
    TRANSMIT,
    TRANSMIT_STATUS_OFFSET,
    TX_CMD_DEXT,
    TX_CMD_EOP,
    TX_CMD_IDE,
    TX_CMD_RS,
    TX_STA_DD,
)
from nooks_lab.machine.devices.e1000_filter import accepts, exact_addresses
from nooks_lab.machine.devices.e1000_receive import store_frame
from nooks_lab.machine.devices.e1000_state import DelayTimer, E1000State
from nooks_lab.machine.devices.e1000_transmit import frame_on_line
from nooks_lab.machine.devices.eeprom import WORDS, eeprom_words, mac_address
from nooks_lab.machine.devices.phy import CTRL_RESET, PHY_CTRL
from nooks_lab.machine.ethernet import (
    BROADCAST,
    FCS_BYTES,
    SHORTEST_FRAME,
    frame_check_sequence,
    is_tagged,
    line_cycles,
    strip_tag,
    tag_of,
)
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import BaseAddress, PciBus, PciFunction
from nooks_lab.machine.wire import WireEnd

VENDOR_ID = 0x8086
DEVICE_ID = 0x100E
CLASS_ETHERNET = 0x020000
REVISION = 2
REGION_BYTES = 0x20000

FETCH_CYCLES = CPU_HZ // 1_000_000
"""From the write of TDT until the first descriptor and its data are on the chip: about one microsecond."""

EEPROM_READ_CYCLES = CPU_HZ // 1_000_000 * 30
"""One EEPROM word: some thirty bits at 1 MHz."""

MDI_CYCLES = CPU_HZ // 1_000_000 * 26
"""One management frame: 64 bits at 2.5 MHz."""

NEGOTIATION_CYCLES = CPU_HZ // 2
"""Auto-negotiation with fast link pulses 16 ms apart, and the training of 1000BASE-T: half a second."""

DESCRIPTOR_CACHE = 64
"""Descriptors that the controller fetches at once."""

LONGEST_TRANSMIT = 16_288
LONGEST_RECEIVE = 1522
LONGEST_RECEIVE_LPE = 16_384
PHY_ADDRESS = 1

_SIZE_CLASSES = (64, 127, 255, 511, 1023)


_EVENTS_OF_MAC = (
    "fetch_transmit",
    "finish_transmit",
    "end_throttle",
    "end_receive_delay",
    "end_transmit_delay",
    "finish_mdi",
)


def _interval(units: int) -> int:
    """ITR counts 256 ns."""
    return units * 256 * CPU_HZ // 1_000_000_000


def _delay(units: int) -> int:
    """RDTR, RADV, TIDV and TADV count 1.024 us."""
    return units * 1024 * CPU_HZ // 1_000_000_000


class E1000(PciDevice):
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
        self.wire_end: WireEnd | None = None
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

    def connect(self, end: WireEnd) -> None:
        """Take one end of a wire; negotiation with the other end begins.

        Raises
        ------
        RuntimeError
            When the controller is not in a machine yet.
        """
        if not hasattr(self, "clock"):
            raise RuntimeError(f"controller {self.name!r} must be in a machine before it gets a wire")
        self.wire_end = end
        self.set_link(True)

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

    def _read_statistic(self, offset: int) -> int:
        counts = self.state.statistics
        index = (offset - reg.STATISTICS) >> 2
        if offset in reg.OCTET_COUNTS_LOW:
            return counts[index] & 0xFFFFFFFF
        if offset in reg.OCTET_COUNTS_HIGH:
            value = counts[index - 1] >> 32
            counts[index - 1] = 0
            return value
        value = min(counts[index], 0xFFFFFFFF)
        counts[index] = 0
        return value

    def _count(self, offset: int, amount: int = 1) -> None:
        self.state.statistics[(offset - reg.STATISTICS) >> 2] += amount

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

    # Interrupts

    def cause(self, causes: int) -> None:
        """Set bits of ICR, as the hardware does for an event and software does through ICS."""
        self.state.causes |= causes & reg.INTERRUPT_CAUSES
        self._drive_interrupt()

    def _drive_interrupt(self) -> None:
        state = self.state
        if not state.causes & state.mask:
            if state.asserted:
                state.asserted = False
                self.set_interrupt(False)
        elif not state.asserted:
            now = self.clock.now
            if now >= state.throttled_until:
                state.asserted = True
                state.interrupts += 1
                state.throttled_until = now + _interval(state.registers[reg.ITR >> 2])
                self.set_interrupt(True)
            elif not state.throttle_pending:
                state.throttle_pending = True
                self.clock.at(state.throttled_until, self.name, "end_throttle")

    def end_throttle(self) -> None:
        """Event: the interval of ITR since the last assertion is over."""
        self.state.throttle_pending = False
        self._drive_interrupt()

    def _read_icr(self) -> int:
        causes = self.state.causes
        self.state.causes = 0
        self._drive_interrupt()
        return causes

    def _write_icr(self, value: int) -> None:
        self.state.causes &= ~value
        self._drive_interrupt()

    def _write_itr(self, value: int) -> None:
        state = self.state
        state.throttled_until = min(state.throttled_until, self.clock.now + _interval(value & 0xFFFF))
        if state.throttle_pending:
            self.clock.cancel(self.name, "end_throttle")
            state.throttle_pending = False
        self._drive_interrupt()

    def _read_ims(self) -> int:
        return self.state.mask

    def _write_ims(self, value: int) -> None:
        self.state.mask |= value & reg.INTERRUPT_CAUSES
        self._drive_interrupt()

    def _write_imc(self, value: int) -> None:
        self.state.mask &= ~value
        self._drive_interrupt()

    def _restart_delay(self, timer: DelayTimer, delay: int, limit: int, action: str) -> None:
        # The queued event stays where it is and looks at `due` when it runs: moving it for each packet
        # would cost a search through the clock's queue.
        now = self.clock.now
        if not timer.running:
            timer.limit = now + _delay(limit) if limit else None
        due = now + _delay(delay)
        timer.due = due if timer.limit is None else min(due, timer.limit)
        if not timer.running:
            timer.running = True
            self.clock.at(timer.due, self.name, action)

    def _delay_over(self, timer: DelayTimer, action: str) -> bool:
        if self.clock.now < timer.due:
            self.clock.at(timer.due, self.name, action)
            return False
        timer.running = False
        return True

    def end_receive_delay(self) -> None:
        """Event: look whether the delay of RDTR or the limit of RADV is over."""
        if self._delay_over(self.state.receive_delay, "end_receive_delay"):
            self.cause(reg.ICR_RXT0)

    def end_transmit_delay(self) -> None:
        """Event: look whether the delay of TIDV or the limit of TADV is over."""
        if self._delay_over(self.state.transmit_delay, "end_transmit_delay"):
            self.cause(reg.ICR_TXDW)

    def _write_rdtr(self, value: int) -> None:
        if value & reg.RDTR_FPD and self.state.receive_delay.running:
            self.clock.cancel(self.name, "end_receive_delay")
            self.state.receive_delay = DelayTimer()
            self.cause(reg.ICR_RXT0)

    # Transmit

    def _start_transmitter(self, value: int = 0) -> None:  # noqa: ARG002
        state = self.state
        registers = state.registers
        if (
            not state.transmitting
            and registers[reg.TDH >> 2] != registers[reg.TDT >> 2]
            and registers[reg.TCTL >> 2] & reg.TCTL_EN
        ):
            state.transmitting = True
            self.clock.after(FETCH_CYCLES, self.name, "fetch_transmit")

    def fetch_transmit(self) -> None:
        """Event: take descriptors from the ring up to the end of a frame, and put the frame on the line."""
        state = self.state
        registers = state.registers
        count = registers[reg.TDLEN >> 2] // DESCRIPTOR_BYTES
        head, tail = registers[reg.TDH >> 2], registers[reg.TDT >> 2]
        base = registers[reg.TDBAH >> 2] << 32 | registers[reg.TDBAL >> 2]
        state.transmitting = False
        if not (state.link and registers[reg.TCTL >> 2] & reg.TCTL_EN and self.may_master()):
            return
        # A head or tail outside the ring stops the transmitter: the manual leaves open what the chip does.
        if head >= count or tail >= count:
            return
        dma_read = self.bus.dma_read
        for _ in range(DESCRIPTOR_CACHE):
            if head == tail:
                return
            address = base + head * DESCRIPTOR_BYTES
            buffer, length, cso, command, status, css, special = TRANSMIT.unpack(
                dma_read(address, DESCRIPTOR_BYTES)
            )
            if not command & TX_CMD_DEXT:
                if len(state.outgoing) <= LONGEST_TRANSMIT:
                    state.outgoing += dma_read(buffer, length)
                if command & TX_CMD_EOP:
                    frame, state.outgoing = state.outgoing, b""
                    if 0 < len(frame) <= LONGEST_TRANSMIT:
                        state.transmitting = True
                        taken = self._send(frame, command, cso, css, special)
                        self.clock.after(taken, self.name, "finish_transmit", address, command, status)
                        return
            head = self._write_back_transmit(address, command, status)
        state.transmitting = True
        self.clock.after(FETCH_CYCLES, self.name, "fetch_transmit")

    def _send(self, frame: bytes, command: int, cso: int, css: int, special: int) -> int:
        """Put a frame on the line; returns the cycles until the line is free again."""
        registers = self.state.registers
        frame, intact = frame_on_line(frame, registers, command, cso, css, special)
        self._count(reg.TPT)
        self._count_frame(frame, reg.GPTC, reg.PTC64, reg.MPTC, reg.BPTC)
        self._count(reg.GOTCL, len(frame) + FCS_BYTES)
        self._count(reg.TOTL, len(frame) + FCS_BYTES)
        # A frame whose sender got the check sequence wrong takes its time on the line, and nobody keeps it.
        if intact and self.wire_end is not None:
            self.wire_end.send(frame)
        return line_cycles(len(frame))

    def _count_frame(self, frame: bytes, good: int, size: int, multicast: int, broadcast: int) -> None:
        self._count(good)
        self._count(size + 4 * bisect.bisect_left(_SIZE_CLASSES, len(frame) + FCS_BYTES))
        if frame[:1] and frame[0] & 1:
            self._count(broadcast if frame[:6] == BROADCAST else multicast)

    def _write_back_transmit(self, address: int, command: int, status: int) -> int:
        """Be done with the descriptor at the ring's head; returns the new head."""
        state = self.state
        registers = state.registers
        head = registers[reg.TDH >> 2] + 1
        if head * DESCRIPTOR_BYTES >= registers[reg.TDLEN >> 2]:
            head = 0
        registers[reg.TDH >> 2] = head
        causes = reg.ICR_TXQE if head == registers[reg.TDT >> 2] else 0
        if command & TX_CMD_RS:
            self.bus.dma_write(address + TRANSMIT_STATUS_OFFSET, bytes((status | TX_STA_DD,)))
            delay = registers[reg.TIDV >> 2]
            if command & TX_CMD_IDE and delay:
                limit = registers[reg.TADV >> 2]
                self._restart_delay(state.transmit_delay, delay, limit, "end_transmit_delay")
            else:
                causes |= reg.ICR_TXDW
        if causes:
            self.cause(causes)
        return head

    def finish_transmit(self, address: int, command: int, status: int) -> None:
        """Event: a frame and the gap behind it have left; the next one, fetched meanwhile, follows."""
        self._write_back_transmit(address, command, status)
        self.fetch_transmit()

    # Receive

    def receive(self, frame: bytes) -> None:
        """Take a frame whose last bit has just arrived from the wire."""
        state = self.state
        registers = state.registers
        control = registers[reg.RCTL >> 2]
        if not (state.link and control & reg.RCTL_EN):
            return
        octets = len(frame) + FCS_BYTES
        self._count(reg.TPR)
        self._count(reg.TORL, octets)
        if len(frame) < SHORTEST_FRAME:
            self._count(reg.RUC)
            return
        if octets > (LONGEST_RECEIVE_LPE if control & reg.RCTL_LPE else LONGEST_RECEIVE):
            self._count(reg.ROC)
            return
        if not accepts(frame, registers, state.exact):
            return
        status = RX_STATUS_IXSM | RX_STATUS_DD
        destination = frame[:6]
        if frame[0] & 1 and destination != BROADCAST and destination not in state.exact:
            status |= RX_STATUS_PIF
        special = 0
        stored = frame
        if registers[reg.CTRL >> 2] & reg.CTRL_VME and is_tagged(frame, registers[reg.VET >> 2]):
            special = tag_of(frame)
            status |= RX_STATUS_VP
            stored = strip_tag(frame)
        if not control & reg.RCTL_SECRC:
            stored += frame_check_sequence(frame)
        causes = (
            store_frame(self.bus, registers, stored, status, special) if self.may_master() else reg.ICR_RXO
        )
        if causes:
            self.cause(causes)
        if causes & reg.ICR_RXO:
            self._count(reg.RNBC)
            self._count(reg.MPC)
            return
        self._count_frame(frame, reg.GPRC, reg.PRC64, reg.MPRC, reg.BPRC)
        self._count(reg.GORCL, octets)
        self._signal_receive(octets)

    def _signal_receive(self, octets: int) -> None:
        state = self.state
        registers = state.registers
        small = registers[reg.RSRPD >> 2]
        if small and octets <= small:
            self.cause(reg.ICR_SRPD)
        delay = registers[reg.RDTR >> 2]
        if delay:
            limit = registers[reg.RADV >> 2]
            self._restart_delay(state.receive_delay, delay, limit, "end_receive_delay")
        else:
            self.cause(reg.ICR_RXT0)
