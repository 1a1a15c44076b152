"""Interrupts of the PCnet controllers: causes in CSR0, CSR4, CSR5 and CSR7, their masks, and the errors of the bus.

Source: AMD publication 20550 (Am79C971), chapter "User Accessible Registers": CSR0, CSR3, CSR4, CSR5, CSR7, CSR100.
"""

from abc import abstractmethod

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import pcnet32_registers as reg
from nooks_lab.machine.devices.network_card import NetworkCard
from nooks_lab.machine.devices.pcnet32_state import Pcnet32State


class InterruptLogic(NetworkCard):
    """What raises an interrupt, and what masks it."""

    state: Pcnet32State

    @abstractmethod
    def _system_error(self) -> None:
        """A master abort: STOP, and SINT tells why."""

    @property
    def _style(self) -> int:
        return self.state.bcr[reg.BCR20] & reg.BCR20_SWSTYLE

    def _cause(self, cause: int) -> None:
        self.state.csr[reg.CSR0] |= cause
        self._drive_interrupt()

    def _interrupts(self) -> bool:
        """INTR: whether any cause that is not masked is set."""
        csr = self.state.csr
        return bool(
            csr[reg.CSR0] & reg.CSR0_INTERRUPTS & ~csr[reg.CSR3]
            or csr[reg.CSR4] & (reg.CSR4_MASKED_CAUSES & ~(csr[reg.CSR4] << 1) | reg.CSR4_UINT)
            or csr[reg.CSR5] & reg.CSR5_CAUSES & csr[reg.CSR5] << 1
            or csr[reg.CSR7] & reg.CSR7_CAUSES & csr[reg.CSR7] << 1
        )

    def _drive_interrupt(self) -> None:
        state, csr = self.state, self.state.csr
        # A system error stops the controller, and with that clears IENA: it interrupts all the same.
        system_error = csr[reg.CSR5] & reg.CSR5_SINT and csr[reg.CSR5] & reg.CSR5_SINTE
        asserted = bool(system_error or (csr[reg.CSR0] & reg.CSR0_IENA and self._interrupts()))
        if asserted != state.asserted:
            state.asserted = asserted
            state.interrupts += asserted
            self.set_interrupt(asserted)

    def _wait_for_bus(self, action: str) -> None:
        """The arbiter does not grant the bus: after the time of CSR100 this is a memory error."""
        self.clock.after(
            self.state.csr[reg.MERRTO] * CPU_HZ // 10_000_000 + 1, self.name, "time_out_bus", action
        )

    def time_out_bus(self, action: str) -> None:
        """Event: the bus has not been granted in time."""
        if action == "read_init_block":
            self.state.initializing = False
        self._cause(reg.CSR0_MERR)
