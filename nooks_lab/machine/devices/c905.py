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
from nooks_lab.machine.devices.c905_access import RegisterFile
from nooks_lab.machine.devices.c905_eeprom import MEDIA_OPTIONS_WORD, WORDS, eeprom_words
from nooks_lab.machine.devices.c905_filter import accepts
from nooks_lab.machine.devices.c905_lists import (
    STATUS_OFFSET,
    frame_on_line,
    read_download,
    read_word,
    store_upload,
    write_word,
)
from nooks_lab.machine.devices.c905_state import C905State, Outgoing
from nooks_lab.machine.devices.c905_statistics import Statistics
from nooks_lab.machine.devices.device import MasterAbort
from nooks_lab.machine.devices.mdio import Request
from nooks_lab.machine.devices.phy import CTRL_RESET, PHY_CTRL
from nooks_lab.machine.ethernet import FAST_ETHERNET, FCS_BYTES, SHORTEST_FRAME, line_cycles
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import BaseAddress, PciBus, PciFunction
from nooks_lab.machine.wire import WireEnd

VENDOR_ID = 0x10B7
DEVICE_ID = 0x9200
SUBSYSTEM_ID = 0x1000
CLASS_ETHERNET = 0x020000
REVISION = 0x78
PHY_ADDRESS = 24
"""The PHY inside answers this address on the management bus."""

MICROSECOND = CPU_HZ // 1_000_000
FETCH_CYCLES = MICROSECOND // 2
"""To win the bus and read or write a descriptor."""

CYCLES_PER_BYTE = CPU_HZ // 132_000_000
"""A 32-bit PCI bus at 33 MHz moves 132 million bytes a second."""

NEGOTIATION_CYCLES = CPU_HZ // 2
"""Auto-negotiation with fast link pulses 16 ms apart: half a second."""

EEPROM_READ_CYCLES = 162 * MICROSECOND
GLOBAL_RESET_CYCLES = 1_000 * MICROSECOND
"""It loads the EEPROM again."""

PART_RESET_CYCLES = 20 * MICROSECOND

TICK_CYCLES = 32 * CPU_HZ // 10_000_000
"""Four byte times at 10 Mb/s, 3.2 us: the unit of Timer, FreeTimer and CountDown; a tenth of it with counterSpeed."""

FAST_TICK_CYCLES = TICK_CYCLES // 10
"""320 ns: the unit of DnPoll and UpPoll."""

RAM_BYTES = 8192
_RECEIVE_EIGHTHS = (5, 6, 4, 3)
"""By ramPartition of InternalConfig: how much of the packet RAM is the receive FIFO."""

HEADER_BYTES = 14
_LONGEST = 1514
_LONGEST_LARGE = 4491
LONGEST_TRANSMIT = 8191
"""A longer frame is jabber."""

TX_STATUS_ENTRIES = 31

_DOWNLOAD_EVENTS = ("fetch_download", "finish_download", "poll_download")
_UPLOAD_EVENTS = ("finish_upload", "poll_upload")


class C905(RegisterFile):
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
        self.wire_end: WireEnd | None = None
        self.state = C905State(eeprom=eeprom_words(mac, VENDOR_ID, DEVICE_ID, SUBSYSTEM_ID))
        self._readers |= self._make_readers()
        self._effects |= self._make_effects()
        self._commands = self._make_commands()

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, pci: PciBus) -> None:
        """Connect the controller to a machine and reset it, as power-on does."""
        super().plug(bus, clock, pic, pci)
        self._global_reset(0)
        self.state.command_done_at = 0

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

    def _in_progress(self) -> bool:
        """Tell whether a command has not ended: a reset, or a stall that waits for a transfer under way."""
        state = self.state
        return (
            self.clock.now < state.command_done_at
            or (state.dn_stalled and state.downloading)
            or (state.up_stalled and state.uploading)
        )

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
        self._set_window(3, reg.INTERNAL_CONFIG, state.eeprom[0x12] | state.eeprom[0x13] << 16, 4)
        self._set_window(3, reg.MAX_PKT_SIZE, _LONGEST)
        self._set_window(3, reg.MEDIA_OPTIONS, state.eeprom[MEDIA_OPTIONS_WORD])
        self._set_window(4, reg.MEDIA_STATUS, reg.MEDIA_LINK_BEAT_ENABLE | reg.MEDIA_JABBER_GUARD_ENABLE)

    def _reset_download(self) -> None:
        state = self.state
        for action in _DOWNLOAD_EVENTS:
            self.clock.cancel(self.name, action)
        state.downloading = state.dn_stalled = state.dn_at_end = False
        self._set_fixed(reg.DN_LIST_PTR, 0)
        self._set_fixed(reg.DN_POLL, 0, 1)
        self._clear_abort()

    def _reset_upload(self) -> None:
        state = self.state
        for action in _UPLOAD_EVENTS:
            self.clock.cancel(self.name, action)
        state.uploading = state.up_stalled = state.up_halted = False
        self._set_fixed(reg.UP_LIST_PTR, 0)
        self._set_fixed(reg.UP_PKT_STATUS, 0)
        self._set_fixed(reg.UP_POLL, 0, 1)
        self._clear_abort()

    def _clear_abort(self) -> None:
        self.state.status &= ~reg.HOST_ERROR
        self._set_fixed(reg.DMA_CTRL, self._fixed(reg.DMA_CTRL) & ~reg.DMA_MASTER_ABORT)

    def _reset_transmitter(self) -> None:
        state = self.state
        self.clock.cancel(self.name, "finish_transmit")
        state.outgoing, state.tx_status = [], []
        state.transmitting = state.tx_failed = False

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

    # Interrupts

    def _causes(self) -> int:
        state = self.state
        causes = state.status
        if state.tx_status:
            causes |= reg.TX_COMPLETE
        if state.received:
            causes |= reg.RX_COMPLETE
        if Statistics(state.statistics).nearly_full():
            causes |= reg.UPDATE_STATS
        return causes & state.indication_enable & reg.INDICATIONS

    def _cause(self, bits: int) -> None:
        self.state.status |= bits
        self._drive_interrupt()

    def _drive_interrupt(self) -> None:
        state = self.state
        if not state.latch and self._causes() & state.interrupt_enable:
            state.latch = True
            state.latched_at = self.clock.now
            state.interrupts += 1
        self.set_interrupt(state.latch and bool(state.interrupt_enable))

    def _int_status(self) -> int:
        state = self.state
        value = self._causes() | state.window << reg.WINDOW_SHIFT
        value |= reg.INTERRUPT_LATCH if state.latch else 0
        return value | (reg.CMD_IN_PROGRESS if self._in_progress() else 0)

    def _int_status_auto(self) -> int:
        """Reading this copy acknowledges, and disables interrupts."""
        value = self._int_status()
        state = self.state
        state.status &= ~(reg.ACKNOWLEDGED | reg.LINK_EVENT)
        state.interrupt_enable = 0
        state.latch = False
        self._drive_interrupt()
        return value

    def _acknowledge(self, bits: int) -> None:
        state = self.state
        state.status &= ~(bits & reg.ACKNOWLEDGED)
        if bits & reg.LINK_EVENT_ACK:
            state.status &= ~reg.LINK_EVENT
        if bits & reg.LATCH_ACK:
            state.latch = False
        dma = self._fixed(reg.DMA_CTRL)
        dma &= ~(reg.DMA_DN_COMPLETE if bits & reg.DN_COMPLETE else 0)
        dma &= ~(reg.DMA_UP_COMPLETE if bits & reg.UP_COMPLETE else 0)
        self._set_fixed(reg.DMA_CTRL, dma)
        self._drive_interrupt()

    def _timer(self) -> int:
        if not self.state.latch:
            return 0
        return min((self.clock.now - self.state.latched_at) // TICK_CYCLES, 0xFF)

    def _abort(self) -> None:
        """Nobody has claimed an address: the controller gives up its lists and says so."""
        self._set_fixed(reg.DMA_CTRL, self._fixed(reg.DMA_CTRL) | reg.DMA_MASTER_ABORT)
        self._cause(reg.HOST_ERROR)

    # CountDown

    def _tick(self) -> int:
        fast = self._fixed(reg.DMA_CTRL) & reg.DMA_COUNTER_SPEED
        return FAST_TICK_CYCLES if fast else TICK_CYCLES

    def _countdown(self) -> int:
        due = self.state.countdown_due
        return max(0, due - self.clock.now) // self._tick() if due else self._fixed(reg.COUNTDOWN, 2)

    def _write_countdown(self) -> None:
        self.clock.cancel(self.name, "end_countdown")
        self.state.countdown_due = 0
        if not self._fixed(reg.DMA_CTRL) & reg.DMA_COUNTDOWN_MODE:
            self._start_countdown()

    def _start_countdown(self) -> None:
        value = self._fixed(reg.COUNTDOWN, 2)
        if value and not self.state.countdown_due:
            self.state.countdown_due = self.clock.now + value * self._tick()
            self.clock.at(self.state.countdown_due, self.name, "end_countdown")

    def end_countdown(self) -> None:
        """Event: CountDown has run out."""
        self.state.countdown_due = 0
        if not self._fixed(reg.DMA_CTRL) & reg.DMA_COUNTDOWN_MODE:
            self._set_fixed(reg.COUNTDOWN, 0, 2)
        self._cause(reg.INT_REQUESTED)

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

    # Statistics

    def _count_read(self, window: int, offset: int) -> int:
        value = Statistics(self.state.statistics).read(window, offset)
        self._drive_interrupt()
        return value

    def _count(self, offset: int, amount: int = 1) -> None:
        if self.state.statistics_enabled:
            upper = bool(self._window(4, reg.NETWORK_DIAGNOSTIC) & reg.NET_UPPER_BYTES_ENABLE)
            Statistics(self.state.statistics).add(offset, amount, upper)
            self._drive_interrupt()

    # Download: from RAM into the transmit FIFO

    def _dma_ctrl(self) -> int:
        state = self.state
        value = self._fixed(reg.DMA_CTRL)
        value |= reg.DMA_DN_STALLED if state.dn_stalled and not state.downloading else 0
        value |= reg.DMA_ARM_COUNTDOWN if state.countdown_due else 0
        return value | (reg.DMA_DN_IN_PROG if state.downloading else 0)

    def _receive_bytes(self) -> int:
        partition = self._window(3, reg.INTERNAL_CONFIG, 4) >> reg.CONFIG_RAM_PARTITION_SHIFT & 3
        return RAM_BYTES // 8 * _RECEIVE_EIGHTHS[partition]

    def _transmit_room(self) -> int:
        return RAM_BYTES - self._receive_bytes() - sum(len(waiting.frame) for waiting in self.state.outgoing)

    def _write_dn_list_ptr(self) -> None:
        state = self.state
        self._set_fixed(reg.DN_LIST_PTR, self._fixed(reg.DN_LIST_PTR) & ~7)
        if not state.downloading:
            state.dn_at_end = False
        self._start_download()

    def _write_dn_poll(self) -> None:
        state = self.state
        if state.dn_at_end:
            if self._fixed(reg.DN_POLL, 1):
                self._start_download()
            else:
                state.dn_at_end = False
                self._set_fixed(reg.DN_LIST_PTR, 0)

    def _may_download(self) -> bool:
        state = self.state
        return not (
            state.downloading
            or state.dn_stalled
            or state.status & reg.HOST_ERROR
            or not self._fixed(reg.DN_LIST_PTR)
        )

    def _start_download(self) -> None:
        # A frame is fetched as long as there is room at all; the longest one then waits in the FIFO's stead.
        if not self._may_download() or self._transmit_room() <= 0:
            return
        if self.state.dn_at_end:
            self.clock.cancel(self.name, "poll_download")
            interval = (self._fixed(reg.DN_POLL, 1) & 0x7F) * FAST_TICK_CYCLES
            if interval:
                self.clock.after(interval, self.name, "poll_download")
            return
        self.state.downloading = True
        self.clock.after(FETCH_CYCLES, self.name, "fetch_download")

    def poll_download(self) -> None:
        """Event: look again whether the last descriptor has got a successor."""
        if not self._may_download():
            return
        try:
            following = read_word(self, self._fixed(reg.DN_LIST_PTR)) & ~7
        except MasterAbort:
            self._abort()
            return
        if following:
            self.state.dn_at_end = False
            self._set_fixed(reg.DN_LIST_PTR, following)
        self._start_download()

    def fetch_download(self) -> None:
        """Event: the bus is ours; fetch a descriptor and its fragments."""
        state = self.state
        if not self.may_master():
            state.downloading = False
            return
        try:
            download = read_download(self, self._fixed(reg.DN_LIST_PTR))
        except MasterAbort:
            state.downloading = False
            self._abort()
            return
        frame, intact = frame_on_line(download)
        header = download.header
        waiting = Outgoing(
            frame, intact, header >> reg.FSH_PKT_ID_SHIFT & 0xFF, bool(header & reg.FSH_TX_INDICATE)
        )
        taken = FETCH_CYCLES + len(download.data) * CYCLES_PER_BYTE
        self.clock.after(taken, self.name, "finish_download", header, waiting)

    def finish_download(self, header: int, waiting: Outgoing) -> None:
        """Event: a frame is in the FIFO; mark its descriptor and go on with the next."""
        state = self.state
        descriptor = self._fixed(reg.DN_LIST_PTR)
        state.downloading = False
        try:
            write_word(self, descriptor + STATUS_OFFSET, header | reg.FSH_DN_COMPLETE)
            following = read_word(self, descriptor) & ~7
        except MasterAbort:
            self._abort()
            return
        if waiting.frame and not header & reg.FSH_EMPTY:
            state.outgoing.append(waiting)
        if following or not self._fixed(reg.DN_POLL, 1) & 0x7F:
            self._set_fixed(reg.DN_LIST_PTR, following)
        else:
            state.dn_at_end = True
        dma = self._fixed(reg.DMA_CTRL)
        if dma & reg.DMA_COUNTDOWN_MODE:
            self._start_countdown()
        if header & reg.FSH_DN_INDICATE:
            self._set_fixed(reg.DMA_CTRL, dma | reg.DMA_DN_COMPLETE)
            self._cause(reg.DN_COMPLETE)
        self._start_transmitter()
        self._start_download()

    # Transmit: from the FIFO to the line

    def _start_transmitter(self) -> None:
        state = self.state
        if state.transmitting or state.tx_failed or not (state.tx_enabled and state.outgoing):
            return
        state.transmitting = True
        waiting = state.outgoing[0]
        length = len(waiting.frame)
        self.clock.after(line_cycles(length, FAST_ETHERNET), self.name, "finish_transmit")
        # A frame whose sender got the check sequence wrong takes its time on the line, and nobody keeps it.
        if waiting.intact and length <= LONGEST_TRANSMIT and state.link and self.wire_end is not None:
            self.wire_end.send(waiting.frame)

    def finish_transmit(self) -> None:
        """Event: a frame and the gap behind it have left."""
        state = self.state
        sent = state.outgoing.pop(0)
        state.transmitting = False
        if len(sent.frame) > LONGEST_TRANSMIT:
            self._push_tx_status(reg.TX_JABBER, sent.pkt_id)
            state.tx_enabled, state.tx_failed = False, True
        else:
            if state.link:
                self._count(reg.FRAMES_XMITTED_OK)
                self._count(reg.BYTES_XMITTED_OK, len(sent.frame))
            else:
                self._count(reg.CARRIER_LOST)
            if sent.indicate:
                self._push_tx_status(reg.TX_INTERRUPT_REQUESTED, sent.pkt_id)
        self._start_transmitter()
        self._start_download()

    def _push_tx_status(self, bits: int, pkt_id: int) -> None:
        state = self.state
        if len(state.tx_status) < TX_STATUS_ENTRIES:
            state.tx_status.append((bits | reg.TX_STATUS_COMPLETE, pkt_id))
        else:
            oldest = state.tx_status[-1]
            state.tx_status[-1] = (oldest[0] | reg.TX_STATUS_OVERFLOW, oldest[1])
            state.tx_enabled = False
        self._drive_interrupt()

    def _tx_status(self) -> int:
        return self.state.tx_status[0][0] if self.state.tx_status else 0

    def _tx_pkt_id(self) -> int:
        return self.state.tx_status[0][1] if self.state.tx_status else 0

    def _pop_tx_status(self) -> None:
        if self.state.tx_status:
            self.state.tx_status.pop(0)
        self._drive_interrupt()

    # Receive: from the line into the FIFO

    def _receive_room(self) -> int:
        return self._receive_bytes() - sum(map(len, self.state.received))

    def receive(self, frame: bytes) -> None:
        """Take a frame whose last bit has just arrived from the wire."""
        state = self.state
        # What is shorter than a header has no address that could be filtered.
        if not (state.link and state.rx_enabled) or len(frame) < HEADER_BYTES:
            return
        window = state.windows[2]
        if not accepts(frame[:6], state.rx_filter, bytes(window[:6]), bytes(window[6:12]), state.hash_filter):
            return
        if len(frame) > self._receive_room() or len(frame) > reg.UP_LENGTH:
            self._count(reg.RX_OVERRUNS)
            return
        if SHORTEST_FRAME <= len(frame) <= self._longest():
            self._count(reg.FRAMES_RCVD_OK)
            self._count(reg.BYTES_RCVD_OK, len(frame))
        state.received.append(frame)
        self._drive_interrupt()
        self._start_upload()

    def _longest(self) -> int:
        if self._window(3, reg.MAC_CONTROL) & reg.MAC_ALLOW_LARGE_PACKETS:
            return _LONGEST_LARGE
        return self._window(3, reg.MAX_PKT_SIZE)

    # Upload: from the FIFO into RAM

    def _up_pkt_status(self) -> int:
        stalled = self.state.up_stalled or self.state.up_halted
        return self._fixed(reg.UP_PKT_STATUS) | (reg.UP_STALLED if stalled else 0)

    def _write_up_list_ptr(self) -> None:
        self._set_fixed(reg.UP_LIST_PTR, self._fixed(reg.UP_LIST_PTR) & ~7)
        self.state.up_halted = False
        self._start_upload()

    def _may_upload(self) -> bool:
        state = self.state
        return bool(
            state.received
            and not state.uploading
            and not state.up_stalled
            and not state.status & reg.HOST_ERROR
            and self._fixed(reg.UP_LIST_PTR)
            and self.may_master()
        )

    def _start_upload(self) -> None:
        state = self.state
        if not self._may_upload():
            return
        if state.up_halted:
            self.clock.cancel(self.name, "poll_upload")
            interval = (self._fixed(reg.UP_POLL, 1) & 0x7F) * FAST_TICK_CYCLES
            if interval:
                self.clock.after(interval, self.name, "poll_upload")
            return
        descriptor = self._fixed(reg.UP_LIST_PTR)
        try:
            status = read_word(self, descriptor + STATUS_OFFSET)
        except MasterAbort:
            self._abort()
            return
        if status & (reg.UP_PKT_COMPLETE | reg.UP_ERROR):
            # Software has not been through with it: wait rather than overwrite.
            state.up_halted = True
            self._start_upload()
            return
        state.uploading = True
        taken = FETCH_CYCLES + len(state.received[0]) * CYCLES_PER_BYTE
        self.clock.after(taken, self.name, "finish_upload")

    def poll_upload(self) -> None:
        """Event: look again whether the current descriptor is free."""
        self.state.up_halted = False
        self._start_upload()

    def finish_upload(self) -> None:
        """Event: a frame has been moved; mark its descriptor and go on with the next."""
        state = self.state
        state.uploading = False
        if not state.received:
            # RxReset has emptied the FIFO, and left the list alone.
            return
        frame = state.received.pop(0)
        descriptor = self._fixed(reg.UP_LIST_PTR)
        try:
            status = self._up_status(frame, store_upload(self, descriptor, self._stored(frame)))
            write_word(self, descriptor + STATUS_OFFSET, status)
            following = read_word(self, descriptor) & ~7
        except MasterAbort:
            self._abort()
            return
        self._set_fixed(reg.UP_PKT_STATUS, status)
        self._set_fixed(reg.UP_LIST_PTR, following)
        self._set_fixed(reg.DMA_CTRL, self._fixed(reg.DMA_CTRL) | reg.DMA_UP_COMPLETE)
        self._cause(reg.UP_COMPLETE)
        self._start_upload()

    def _stored(self, frame: bytes) -> bytes:
        """Return what is moved of a frame: its check sequence too when nothing strips it."""
        kept = self._window(4, reg.MEDIA_STATUS) & reg.MEDIA_CRC_STRIP_DISABLE
        return frame + bytes(FCS_BYTES) if kept else frame

    def _up_status(self, frame: bytes, lost: int) -> int:
        status = len(self._stored(frame)) & reg.UP_LENGTH | reg.UP_PKT_COMPLETE
        if len(frame) < SHORTEST_FRAME:
            status |= reg.UP_ERROR | reg.UP_RUNT_FRAME
        if len(frame) > self._longest():
            status |= reg.UP_ERROR | reg.UP_OVERSIZED_FRAME
        if lost:
            status |= reg.UP_ERROR | reg.UP_OVERFLOW
        return status
