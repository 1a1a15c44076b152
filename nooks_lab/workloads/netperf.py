"""netperf between two simulated machines: TCP streams, measured on the machine's own clock (paper, table 4)."""

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Literal

from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.pair import Pair
from nooks_lab.workloads.network import BUFFER, MESSAGE

Test = Literal["receive-stream", "send-stream"]

PORT = 12865
"""netserver's (IANA)."""

_PATIENCE = 60.0


@dataclass(frozen=True)
class Stream:
    """What came of one stream; the near machine is the one under test.

    Attributes
    ----------
    test : str
        ``receive-stream`` or ``send-stream``, as seen from the near machine.
    ok : bool
        Every byte arrived, and arrived intact.
    size : int
        Bytes that were to be sent.
    arrived : int
        Bytes that arrived.
    digest : str
        SHA-256 of these.
    seconds : float
        Simulated time from the sender's first message to the receiver's last byte; the clocks are in step.
    retransmitted : int
        Segments that the sender sent again.
    near_cpu, far_cpu : float
        CPU utilisation of each machine meanwhile, 0 to 1: what is left of the time when it was not halted.
    near_cycles, far_cycles : int
        Cycles that each machine's processes took from start to end.
    wrong : str
        Why it is not ok; empty when it is.
    """

    test: Test
    ok: bool
    size: int
    arrived: int
    digest: str
    seconds: float
    retransmitted: int
    near_cpu: float
    far_cpu: float
    near_cycles: int
    far_cycles: int
    wrong: str = ""

    @property
    def megabits_per_second(self) -> float:
        """Throughput, in millions of bits per simulated second."""
        return self.arrived * 8 / self.seconds / 1e6 if self.seconds else 0.0


@dataclass
class _End:
    """What one machine's process has to say; ``moment`` is when it began to send, or had received all."""

    data: bytes = b""
    moment: int = 0
    cpu: float = 0.0
    cycles: int = 0
    retransmitted: int = 0
    wrong: str = ""


def netperf(
    pair: Pair, test: Test, messages: int = 32, message: int = MESSAGE, buffer: int = BUFFER, seed: int = 0
) -> Stream:
    """Send a stream between two processes, one on each machine.

    A system that dies of it is told in ``wrong``, and in the ``end`` of its side.

    Parameters
    ----------
    pair : Pair
        Its interfaces are up.
    test : str
        ``receive-stream`` or ``send-stream``.
    messages, message : int
        How many, of how many bytes each.
    buffer : int
        Bytes of each socket's buffers.
    seed : int
        Of the data.

    Raises
    ------
    ValueError
        When there is no such test.
    """
    if test not in ("receive-stream", "send-stream"):
        raise ValueError(f"unknown test {test!r}; there are: receive-stream, send-stream")
    data = random.Random(f"{seed}/netperf").randbytes(messages * message)
    receiving = pair.near if test == "receive-stream" else pair.far

    def send(lab: Lab) -> _End:
        return _measured(lab, lambda: _send(lab, receiving.address, data, message, buffer))

    def receive(lab: Lab) -> _End:
        return _measured(lab, lambda: _receive(lab, message, buffer))

    bodies = (receive, send) if test == "receive-stream" else (send, receive)
    near, far = (end or _End() for end in pair.do(*bodies))
    sender, receiver = (far, near) if test == "receive-stream" else (near, far)
    deaths = [f"the {side.name} machine died: {side.end}" for side in pair.sides if side.end]
    ok = receiver.data == data and not sender.wrong and not receiver.wrong and not deaths
    wrong = next(filter(None, [*deaths, sender.wrong, receiver.wrong]), "")
    return Stream(
        test,
        ok,
        len(data),
        len(receiver.data),
        hashlib.sha256(receiver.data).hexdigest(),
        max(0, receiver.moment - sender.moment) / CPU_HZ,
        sender.retransmitted,
        near.cpu,
        far.cpu,
        near.cycles,
        far.cycles,
        "" if ok else wrong or f"{len(receiver.data):,} bytes of {len(data):,} arrived as they were sent",
    )


def _measured(lab: Lab, body: Any) -> _End:
    """Run a process, and count what it took."""
    end = _End()
    machine = lab.machine
    began, idle = machine.clock.now, machine.idle_cycles
    again = lab.kernel.inet.snmp()["Tcp"]["RetransSegs"]

    def process() -> Any:
        try:
            return body()
        except SocketError as error:
            return str(error.strerror)

    try:
        result = lab.kernel.in_task("netperf", process)
        end.wrong = result if isinstance(result, str) else ""
        if isinstance(result, tuple):
            end.data, end.moment = result
    except TaskDied as death:
        end.wrong = str(death)
    end.cycles = machine.clock.now - began
    end.cpu = 1 - (machine.idle_cycles - idle) / end.cycles if end.cycles else 0.0
    end.retransmitted = lab.kernel.inet.snmp()["Tcp"]["RetransSegs"] - again
    return end


def _send(lab: Lab, address: str, data: bytes, message: int, buffer: int) -> tuple[bytes, int] | str:
    # netserver on the other machine needs a moment to listen.
    sched = lab.kernel.sched
    sched.set_task_state(sched.current.address, TASK_INTERRUPTIBLE)
    sched.schedule_timeout(2)
    with lab.kernel.inet.tcp_socket() as socket:
        socket.set_buffers(buffer)
        socket.connect(address, PORT, _PATIENCE)
        began = lab.machine.clock.now
        for at in range(0, len(data), message):
            piece = data[at : at + message]
            if socket.send(piece, _PATIENCE) < len(piece):
                return "the stream was cut short"
        socket.shutdown()
        socket.recv(1, _PATIENCE)
    return b"", began


def _receive(lab: Lab, message: int, buffer: int) -> tuple[bytes, int]:
    received = bytearray()
    with lab.kernel.inet.tcp_socket() as listener:
        listener.set_buffers(buffer)
        listener.bind(PORT)
        listener.listen(1)
        with listener.accept(_PATIENCE) as socket:
            socket.set_buffers(buffer)
            while piece := socket.recv(message, _PATIENCE):
                received += piece
            return bytes(received), lab.machine.clock.now
