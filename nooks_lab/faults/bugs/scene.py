"""A booted system with a faulty extension in service, and what can be seen of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.kernel.module import ModuleError, Parameters
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.toolchain.elf import ObjectFile

T = TypeVar("T")

PATIENCE = 4.0
"""Simulated seconds that a process may take; some situations have it wait for two."""

_STEP = CPU_HZ // 1000


@dataclass
class Scene:
    """The system, and the witnesses' notes.

    Attributes
    ----------
    lab : Lab
    service : Service
        What the extension does for others.
    driver : ObjectFile
        The extension's object.
    parameters : dict, optional
        Of the module.
    failed : list of str
        What somebody could see going wrong: a call that returned an error, an answer that did not come.
    wrong : list of str
        What nobody could see there: data that are other than they should be.
    killed : list of str
        Processes that Linux killed.
    """

    lab: Lab
    service: "Service"
    driver: ObjectFile
    parameters: Parameters | None = None
    failed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    killed: list[str] = field(default_factory=list)

    def process(self, name: str, body: Callable[[], T], seconds: float = PATIENCE) -> T | None:
        """Run something in a process of its own; returns its result, None when there is none.

        A process that ends of an error of its own, is killed, or does not end in time is noted.  What ends the
        whole system is raised.
        """
        kernel = self.lab.kernel

        def program() -> T | None:
            try:
                return body()
            except OSError as error:
                self.failed.append(f"process {name}: {error.strerror or error}")
                return None

        thread = kernel.start(name, program)
        thread.detached = True
        deadline = kernel.machine.clock.now + int(seconds * CPU_HZ)
        while not thread.run.dead:
            if kernel.machine.clock.now >= deadline:
                self.failed.append(f"process {name} hangs")
                return None
            kernel.run(_STEP)
        if thread.killed:
            self.killed.append(f"process {name} was killed by signal {thread.exit_code}")
            return None
        result: T | None = thread.result
        return result

    def attempt(self, body: Callable[[], T]) -> T | None:
        """Do something in whose course processes may be killed; note it, and return None then."""
        try:
            return body()
        except TaskDied as death:
            self.killed.append(str(death))
            return None

    @property
    def name(self) -> str:
        """The name that the extension is loaded under."""
        return self.driver.name.removesuffix(".o")

    @property
    def notes(self) -> list[str]:
        """All that was noted."""
        return [*self.killed, *self.failed, *self.wrong]

    def rmmod(self, name: str) -> None:
        """Unload a module, in a process; note when it cannot be."""
        modules = self.lab.kernel.modules
        module = modules.loaded.get(name)
        if module is None:
            self.failed.append(f"module {name} is not loaded")
            return

        def body() -> str:
            try:
                modules.cleanup(module)
            except ModuleError as error:
                return str(error)
            return ""

        refused = self.process("rmmod", body)
        if refused:
            self.failed.append(refused)
        # Nooks may have recovered it meanwhile.
        elif refused is not None and modules.loaded.get(name) is module:
            modules.unload(module)

    def load(self) -> None:
        """Load the extension and bring it into service."""
        self.service.start(self, self.driver, self.parameters)

    def unload(self) -> None:
        """Take it out of service and unload it."""
        self.service.stop(self)


class Service(Protocol):
    """What an extension does for others.

    Attributes
    ----------
    devices : tuple of str
        The cards that the PC needs (:data:`nooks_lab.cards.CARDS`).
    """

    devices: tuple[str, ...]

    def start(self, scene: Scene, driver: ObjectFile, parameters: Parameters | None) -> None:
        """Load an extension and bring it into service, now and after a recovery.

        Raises
        ------
        ModuleError
            When it cannot be loaded.
        """

    def resume(self, scene: Scene) -> None:
        """Bring what is loaded into service again, if it is not."""

    def stop(self, scene: Scene) -> None:
        """Take it out of service and unload it.

        Raises
        ------
        ModuleError
            When it cannot be unloaded.
        """

    def use(self, scene: Scene) -> None:
        """Use it a little, and note what does not come out right."""
