"""The 3Com 3C905C-TX (Fast EtherLink XL, "Tornado") with its EEPROM and its PHY for 10 and 100 Mb/s.

Not modelled: half duplex and all that comes of it (collisions, deferral, lost carrier while sending), flow control,
wake-up, VLAN tags, 10 Mb/s, receive checksums, early receive, scheduled descriptors ("type 1"), loopback, the boot ROM.

Source: 3Com 3C90xC NICs Technical Reference.
"""

from collections.abc import Callable
from functools import partial

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.c905_eeprom import (
    INTERNAL_CONFIG_HIGH,
    INTERNAL_CONFIG_LOW,
    MEDIA_OPTIONS_WORD,
    WORDS,
    eeprom_words,
)
from nooks_lab.machine.devices.c905_receive import LONGEST_RECEIVE, Receiver
from nooks_lab.machine.devices.c905_state import C905State
from nooks_lab.machine.devices.c905_timing import MICROSECOND, TICK_CYCLES
from nooks_lab.machine.devices.c905_transmit import Transmitter
from nooks_lab.machine.devices.mdio import Request
from nooks_lab.machine.devices.phy import CTRL_RESET, PHY_CTRL
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import BaseAddress, PciBus, PciFunction

VENDOR_ID = 0x10B7
DEVICE_ID = 0x9200
SUBSYSTEM_ID = 0x1000
CLASS_ETHERNET = 0x020000
REVISION = 0x78
PHY_ADDRESS = 24
"""The PHY inside answers this address on the management bus."""

NEGOTIATION_CYCLES = CPU_HZ // 2
"""Auto-negotiation with fast link pulses 16 ms apart: half a second."""

EEPROM_READ_CYCLES = 162 * MICROSECOND
GLOBAL_RESET_CYCLES = 1_000 * MICROSECOND
"""It loads the EEPROM again."""

PART_RESET_CYCLES = 20 * MICROSECOND


class C905(Transmitter, Receiver):
    """A 3C905C-TX on the PCI bus; a :class:`~nooks_lab.machine.wire.Wire` gives it a network.

    Parameters
    ----------
    name : str
        Its name among the clock's parts.
    device, irq : int
        PCI device number and interrupt line.
    ports, base : int
        Where the firmware put its 128 bytes of registers, in I/O and in memory space.
    mac : bytes
        Six bytes, the station address in its EEPROM.
    negotiation : int
        Cycles that auto-negotiation takes.
    """

    state: C905State

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
            bars=(BaseAddress(ports, reg.REGISTER_BYTES, io=True), BaseAddress(base, reg.REGISTER_BYTES)),
            subsystem_vendor=VENDOR_ID,
            subsystem=SUBSYSTEM_ID,
        )
        super().__init__(name, function)
        self.negotiation = negotiation
        self.state = C905State(eeprom=eeprom_words(mac, VENDOR_ID, DEVICE_ID, SUBSYSTEM_ID))
        self._readers |= self._make_readers()
        self._effects |= self._make_effects()
        self._commands = self._make_commands()

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, pci: PciBus) -> None:
        """Connect the controller to a machine and reset it, as power-on does."""
        super().plug(bus, clock, pic, pci)
        self._global_reset(0)
        self.state.command_done_at = 0

    # Registers

    def _make_readers(self) -> dict[int, tuple[int, int, Callable[[], int]]]:
        fixed: list[tuple[int, int, Callable[[], int]]] = [
            (reg.INT_STATUS, 2, self._int_status),
            (reg.TX_PKT_ID, 1, self._tx_pkt_id),
            (reg.TIMER, 1, self._timer),
            (reg.TX_STATUS, 1, self._tx_status),
            (reg.INT_STATUS_AUTO, 2, self._int_status_auto),
            (reg.DMA_CTRL, 4, self._dma_ctrl),
            (reg.UP_PKT_STATUS, 4, self._up_pkt_status),
            (reg.FREE_TIMER, 2, lambda: self.clock.now // self._tick()),
            (reg.COUNTDOWN, 2, self._countdown),
            (reg.REAL_TIME_CNT, 4, lambda: self.clock.now // TICK_CYCLES),
        ]
        windows: list[tuple[int, int, int, Callable[[], int]]] = [
            (0, reg.EEPROM_COMMAND, 2, self._eeprom_command),
            (3, reg.RX_FREE, 2, lambda: max(0, self._receive_room())),
            (3, reg.TX_FREE, 2, lambda: max(0, self._transmit_room())),
            (4, reg.NETWORK_DIAGNOSTIC, 2, self._network_diagnostic),
            (4, reg.PHYSICAL_MGMT, 2, self._physical_mgmt),
            (4, reg.MEDIA_STATUS, 2, self._media_status),
            (4, reg.BAD_SSD, 1, lambda: 0),
            (4, reg.UPPER_BYTES_OK, 1, partial(self._count_read, 4, reg.UPPER_BYTES_OK)),
            (5, reg.RX_FILTER, 1, lambda: self.state.rx_filter),
            (5, reg.INTERRUPT_ENABLE, 2, lambda: self.state.interrupt_enable),
            (5, reg.INDICATION_ENABLE, 2, lambda: self.state.indication_enable),
        ]
        windows += [
            (6, offset, 1, partial(self._count_read, 6, offset)) for offset in range(reg.WINDOW_BYTES)
        ]
        readers = {}
        for start, width, reader in fixed:
            for byte in range(width):
                readers[reg.FIXED << 8 | start + byte] = (start, width, reader)
        for window, start, width, reader in windows:
            for byte in range(width):
                readers[window << 8 | start + byte] = (start, width, reader)
        return readers

    def _make_effects(self) -> dict[int, tuple[int, Callable[[], None]]]:
        effects: dict[int, tuple[int, Callable[[], None]]] = {}
        for window, start, width, effect in (
            (0, reg.EEPROM_COMMAND, 2, self._run_eeprom),
            (4, reg.PHYSICAL_MGMT, 1, self._drive_mdio),
            (reg.FIXED, reg.TX_STATUS, 1, self._pop_tx_status),
            (reg.FIXED, reg.DMA_CTRL, 4, self._start_upload),
            (reg.FIXED, reg.DN_LIST_PTR, 4, self._write_dn_list_ptr),
            (reg.FIXED, reg.DN_POLL, 1, self._write_dn_poll),
            (reg.FIXED, reg.COUNTDOWN, 2, self._write_countdown),
            (reg.FIXED, reg.UP_LIST_PTR, 4, self._write_up_list_ptr),
            (reg.FIXED, reg.UP_POLL, 1, self._start_upload),
        ):
            for byte in range(width):
                effects[window << 8 | start + byte] = (window << 8 | start, effect)
        return effects

    # Commands

    def _make_commands(self) -> dict[int, Callable[[int], None]]:
        return {
            reg.GLOBAL_RESET: self._global_reset,
            reg.SELECT_WINDOW: self._select_window,
            reg.RX_DISABLE: lambda _: self._enable_receiver(False),
            reg.RX_ENABLE: lambda _: self._enable_receiver(True),
            reg.RX_RESET: self._rx_reset,
            reg.STALL: self._stall,
            reg.TX_ENABLE: lambda _: self._enable_transmitter(True),
            reg.TX_DISABLE: lambda _: self._enable_transmitter(False),
            reg.TX_RESET: self._tx_reset,
            reg.REQUEST_INTERRUPT: lambda _: self._cause(reg.INT_REQUESTED),
            reg.ACKNOWLEDGE_INTERRUPT: self._acknowledge,
            reg.SET_INTERRUPT_ENABLE: self._set_interrupt_enable,
            reg.SET_INDICATION_ENABLE: self._set_indication_enable,
            reg.SET_RX_FILTER: self._set_rx_filter,
            reg.SET_RX_EARLY_THRESH: lambda value: self._set_window(5, reg.RX_EARLY_THRESH, value),
            reg.SET_TX_START_THRESH: lambda value: self._set_window(5, reg.TX_START_THRESH, value),
            reg.STATISTICS_ENABLE: lambda _: self._enable_statistics(True),
            reg.STATISTICS_DISABLE: lambda _: self._enable_statistics(False),
            reg.SET_TX_RECLAIM_THRESH: lambda value: self._set_window(
                5, reg.TX_RECLAIM_THRESH, value & 0xFF, 1
            ),
            reg.SET_HASH_FILTER_BIT: self._set_hash_filter_bit,
        }

    def command(self, value: int) -> None:
        """Execute what has been written to the command register."""
        command = self._commands.get(value >> 11)
        if command:
            command(value & 0x7FF)

    def _select_window(self, window: int) -> None:
        self.state.window = window & 7

    def _enable_receiver(self, enabled: bool) -> None:
        self.state.rx_enabled = enabled

    def _enable_transmitter(self, enabled: bool) -> None:
        self.state.tx_enabled = enabled
        self._start_transmitter()

    def _set_interrupt_enable(self, mask: int) -> None:
        self.state.interrupt_enable = mask & (reg.INDICATIONS | reg.INTERRUPT_LATCH)
        self._drive_interrupt()

    def _set_indication_enable(self, mask: int) -> None:
        self.state.indication_enable = mask & (reg.INDICATIONS | reg.INTERRUPT_LATCH)
        self._drive_interrupt()

    def _set_rx_filter(self, value: int) -> None:
        self.state.rx_filter = value & 0x1F

    def _set_hash_filter_bit(self, value: int) -> None:
        bit = 1 << (value & 0xFF)
        self.state.hash_filter &= ~bit
        if value & reg.HASH_BIT_VALUE:
            self.state.hash_filter |= bit

    def _enable_statistics(self, enabled: bool) -> None:
        self.state.statistics_enabled = enabled

    def _stall(self, what: int) -> None:
        state = self.state
        match what & 3:
            case reg.UP_STALL:
                state.up_stalled = True
            case reg.UP_UNSTALL:
                state.up_stalled = state.up_halted = False
                self._start_upload()
            case reg.DN_STALL:
                state.dn_stalled = True
            case reg.DN_UNSTALL:
                state.dn_stalled = False
                self._start_download()

    # Reset

    def _global_reset(self, keep: int) -> None:
        state = self.state
        if not keep & reg.KEEP_HOST:
            self._reset_host()
        if not keep & reg.KEEP_NETWORK:
            state.tx_enabled = state.rx_enabled = False
            state.phy.write(PHY_CTRL, CTRL_RESET)
            self._negotiate()
        if not keep & reg.KEEP_UP_DOWN:
            self._reset_download()
            self._reset_upload()
        if not keep & reg.KEEP_FIFO:
            self._reset_transmitter()
            state.received = []
        state.command_done_at = self.clock.now + GLOBAL_RESET_CYCLES
        self._drive_interrupt()

    def _reset_host(self) -> None:
        state = self.state
        state.windows = [bytearray(reg.WINDOW_BYTES) for _ in range(reg.WINDOWS)]
        state.window = 0
        state.status = state.interrupt_enable = state.indication_enable = 0
        state.latch = False
        state.rx_filter = state.hash_filter = 0
        state.statistics_enabled, state.statistics = False, {}
        state.mdio = type(state.mdio)()
        state.countdown_due = 0
        self.clock.cancel(self.name, "end_countdown")
        self._set_fixed(reg.COUNTDOWN, 0, 2)
        self._set_window(
            3,
            reg.INTERNAL_CONFIG,
            state.eeprom[INTERNAL_CONFIG_LOW] | state.eeprom[INTERNAL_CONFIG_HIGH] << 16,
            4,
        )
        self._set_window(3, reg.MAX_PKT_SIZE, LONGEST_RECEIVE)
        self._set_window(3, reg.MEDIA_OPTIONS, state.eeprom[MEDIA_OPTIONS_WORD])
        self._set_window(4, reg.MEDIA_STATUS, reg.MEDIA_LINK_BEAT_ENABLE | reg.MEDIA_JABBER_GUARD_ENABLE)

    def _tx_reset(self, keep: int) -> None:
        self.state.tx_enabled = False
        if not keep & reg.KEEP_UP_DOWN:
            self._reset_download()
        if not keep & reg.KEEP_FIFO:
            self._reset_transmitter()
        self.state.command_done_at = self.clock.now + PART_RESET_CYCLES
        self._drive_interrupt()

    def _rx_reset(self, keep: int) -> None:
        self.state.rx_enabled = False
        self.state.rx_filter = 0
        if not keep & reg.KEEP_UP_DOWN:
            self._reset_upload()
        if not keep & reg.KEEP_FIFO:
            self.state.received = []
        self.state.command_done_at = self.clock.now + PART_RESET_CYCLES
        self._drive_interrupt()

    # EEPROM and PHY

    def _eeprom_command(self) -> int:
        busy = reg.EEPROM_BUSY if self.clock.now < self.state.eeprom_done_at else 0
        return self._window(0, reg.EEPROM_COMMAND) & ~reg.EEPROM_BUSY | busy

    def _run_eeprom(self) -> None:
        state = self.state
        if self.clock.now < state.eeprom_done_at:
            return
        command = self._window(0, reg.EEPROM_COMMAND)
        address = command & reg.EEPROM_ADDRESS
        match command & reg.EEPROM_OPCODE:
            case reg.EEPROM_READ:
                self._set_window(0, reg.EEPROM_DATA, state.eeprom[address % WORDS])
            case reg.EEPROM_WRITE if state.eeprom_writable:
                state.eeprom[address % WORDS] &= self._window(0, reg.EEPROM_DATA)
            case reg.EEPROM_ERASE if state.eeprom_writable:
                state.eeprom[address % WORDS] = 0xFFFF
            case 0 if address & 0x30 in (reg.EEPROM_WRITE_ENABLE, reg.EEPROM_WRITE_DISABLE):
                state.eeprom_writable = address & 0x30 == reg.EEPROM_WRITE_ENABLE
        state.eeprom_done_at = self.clock.now + EEPROM_READ_CYCLES

    def _mdio_level(self) -> bool:
        control = self._window(4, reg.PHYSICAL_MGMT)
        drives = control & reg.MGMT_DIR
        return self.state.mdio.level(bool(control & reg.MGMT_DATA) if drives else None)

    def _physical_mgmt(self) -> int:
        control = self._window(4, reg.PHYSICAL_MGMT)
        return control & ~reg.MGMT_DATA | (reg.MGMT_DATA if self._mdio_level() else 0)

    def _drive_mdio(self) -> None:
        state = self.state
        mdio = state.mdio
        clock = bool(self._window(4, reg.PHYSICAL_MGMT) & reg.MGMT_CLK)
        rising, mdio.clock = clock and not mdio.clock, clock
        if not rising:
            return
        request = mdio.edge(self._mdio_level())
        if request is not None and request.reads and request.phy == PHY_ADDRESS:
            mdio.answer = state.phy.read(request.register)
        done = mdio.complete()
        if done is not None:
            self._manage(*done)

    def _manage(self, request: Request, data: int) -> None:
        """Do what a complete management frame asks for."""
        if request.writes and request.phy == PHY_ADDRESS and self.state.phy.write(request.register, data):
            self._negotiate()

    # Link

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
        if state.phy.link != state.link:
            state.link = state.phy.link
            self._cause(reg.LINK_EVENT)

    def _media_status(self) -> int:
        state = self.state
        value = self._window(4, reg.MEDIA_STATUS) & reg.MEDIA_WRITABLE | reg.MEDIA_AUI_DISABLE
        value |= reg.MEDIA_TX_IN_PROG if state.transmitting else 0
        return value | (reg.MEDIA_LINK_DETECT if state.link else 0)

    def _network_diagnostic(self) -> int:
        state = self.state
        value = self._window(4, reg.NETWORK_DIAGNOSTIC) & (0xF000 | reg.NET_UPPER_BYTES_ENABLE)
        for held, bit in (
            (state.statistics_enabled, reg.NET_STATISTICS_ENABLED),
            (state.transmitting, reg.NET_TRANSMITTING),
            (state.rx_enabled, reg.NET_RX_ENABLED),
            (state.tx_enabled, reg.NET_TX_ENABLED),
        ):
            value |= bit if held else 0
        return value
