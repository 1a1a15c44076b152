"""Recorded traffic, replayed over the simulated wire: the workload of a network driver.

The simulated machine takes host B's place (``data/README.md``).  The peer sends what host A sent, in the
recorded order, one frame of the recording every ``SPACING`` cycles.  The kernel answers ARP and echo requests
by itself.  What else B sent, its TCP segments above all, goes through the driver raw, from a process.

No socket of the simulated kernel listens on B's port, so its TCP answers A's segments with RST, as RFC 793
(section 3.4) demands.  The peer is a script and does not mind; frames are counted by their content, and a
frame that is not in the recording counts nowhere.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import dpkt

from nooks_lab.cards import MAC
from nooks_lab.kernel.execution import Hang
from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.kernel.net.arp import ETH_P_ARP, ETH_P_IP
from nooks_lab.kernel.traps import Panic
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.ethernet import pad
from nooks_lab.machine.exceptions import TripleFault

CAPTURE = Path(__file__).parent / "data" / "arp-icmp-tcp.pcap"
DEVICE, ADDRESS, NETMASK = "eth0", "10.0.0.2", "255.255.255.0"

SPACING = CPU_HZ // 1000
"""A millisecond: the recording takes 161 of them, enough to see traffic go on after a recovery."""

SETTLE_SECONDS = 0.05
"""Time for the link before the first frame, and for what is under way after the last."""

SYSTEM_ENDS = (TaskDied, Panic, Hang, TripleFault)
"""What the guest raises when a process or the whole system dies; see :func:`end_of`."""

SHORTEST, LONGEST = 14, 1518
"""Bytes of a frame that can be replayed: a header alone, which is padded on its way, to a tagged one."""

_ARP_REPLY = b"\0\2"
_ICMP = b"\x01"
_FILE_HEADER, _RECORD_HEADER = 24, 16
_LITTLE_ENDIAN = (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")
_ADDRESSES = slice(0, 12)
_IP_ADDRESSES = slice(26, 34)


ByteOrder = Literal["little", "big"]


class CaptureError(ValueError):
    """A recording that cannot be replayed; one sentence that names it."""


@dataclass(frozen=True)
class Frame:
    """One recorded frame, and whether host B sent it."""

    data: bytes
    from_us: bool


@dataclass(frozen=True)
class Replay:
    """What came of a replay.

    Attributes
    ----------
    outcome : str
        ``ok``, ``recovered``, ``failed`` (the extension was stopped and did not come back), ``oops``,
        ``panic``, ``hang`` or ``triple fault``.
    end : str
        What the system said when it died; empty when it lived.
    to_us, from_us : tuple of (int, int)
        Frames recorded and arrived, by direction.
    arrived_after : int
        Frames that arrived after the last recovery; 0 when there was none.
    """

    outcome: str
    end: str
    to_us: tuple[int, int]
    from_us: tuple[int, int]
    arrived_after: int

    @property
    def sent(self) -> int:
        """Frames of the recording, in both directions."""
        return self.to_us[0] + self.from_us[0]

    @property
    def arrived(self) -> int:
        """Frames that reached the other side."""
        return self.to_us[1] + self.from_us[1]

    @property
    def lost(self) -> int:
        """Frames that did not arrive; after a panic these are all that follow."""
        return self.sent - self.arrived


def read_capture(path: Path = CAPTURE) -> tuple[Frame, ...]:
    """Read a recording.

    Raises
    ------
    CaptureError
        When it is not there, is no capture of Ethernet frames, ends in the middle of one, or holds one that is
        cut off, too short or too long.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaptureError(f"the recording {path} cannot be read: {error.strerror}") from error
    try:
        reader = dpkt.pcap.Reader(BytesIO(data))
    except (ValueError, dpkt.Error) as error:
        raise CaptureError(f"the recording {path} is no pcap file: {error}") from error
    if reader.datalink() != dpkt.pcap.DLT_EN10MB:
        raise CaptureError(f"the recording {path} does not hold Ethernet frames")
    order: ByteOrder = "little" if data[:4] in _LITTLE_ENDIAN else "big"
    return tuple(Frame(frame, frame[6:12] == MAC) for frame in _frames(path, data, order))


def _frames(path: Path, data: bytes, order: ByteOrder) -> Iterator[bytes]:
    """Yield the frames of a pcap file, each checked."""
    at, number = _FILE_HEADER, 0
    while at < len(data):
        number += 1
        kept, length = (int.from_bytes(data[at + where : at + where + 4], order) for where in (8, 12))
        start = at + _RECORD_HEADER
        at = start + kept
        if start > len(data) or at > len(data):
            raise CaptureError(f"the recording {path} ends in the middle of its frame {number}")
        if kept < length:
            raise CaptureError(
                f"frame {number} of {path} was cut off: {kept} of its {length} bytes are there"
            )
        if not SHORTEST <= kept <= LONGEST:
            raise CaptureError(
                f"frame {number} of {path} has {kept} bytes, and an Ethernet frame has {SHORTEST} to {LONGEST}"
            )
        yield data[start:at]


def replay(lab: Lab, frames: Sequence[Frame], spacing: int = SPACING) -> Replay:
    """Replay a recording over a loaded driver; the interface is brought up first.

    A fault of the guest ends here and is told in the outcome; nothing of the guest's is raised.

    Parameters
    ----------
    lab : Lab
        A lab with the driver loaded.
    frames : sequence of Frame
        From :func:`read_capture`.
    spacing : int
        Cycles from a frame of the recording to the next.
    """
    seen: list[tuple[int, bytes]] = []
    oopses, outcome, end = 0, "", ""

    def tap(_device: Any, frame: bytes) -> None:
        if frame[6:12] != MAC:
            seen.append((lab.machine.clock.now, frame))

    with lab.kernel.tap(tap):
        lab.peer.received.clear()
        try:
            lab.ifup(DEVICE, ADDRESS, NETMASK)
            lab.run(SETTLE_SECONDS)
            oopses = _play(lab, frames, spacing)
            lab.run(SETTLE_SECONDS)
        except SYSTEM_ENDS as event:
            outcome, end = end_of(event)
    recoveries = lab.nooks.recoveries if lab.nooks else []
    if not outcome:
        outcome = survived(oopses, [recovery.ok for recovery in recoveries])
    to_us = [frame.data for frame in frames if not frame.from_us]
    from_us = [frame.data for frame in frames if frame.from_us]
    received = lab.peer.received
    after = 0
    if recoveries:
        last = max(recovery.started + recovery.cycles for recovery in recoveries)
        after = _matching(to_us, [frame for when, frame in seen if when >= last])
        after += _matching(from_us, [frame for when, frame in received if when >= last])
    return Replay(
        outcome,
        end,
        (len(to_us), _matching(to_us, [frame for _, frame in seen])),
        (len(from_us), _matching(from_us, [frame for _, frame in received])),
        after,
    )


def end_of(event: TaskDied | Panic | Hang | TripleFault) -> tuple[str, str]:
    """Return the outcome that one of ``SYSTEM_ENDS`` stands for, and what the system said."""
    match event:
        case TaskDied():
            return "oops", str(event)
        case Panic():
            return "panic", f"Kernel panic: {event}"
        case Hang():
            return "hang", str(event)
    return "triple fault", str(event)


def _play(lab: Lab, frames: Sequence[Frame], spacing: int) -> int:
    """Send every frame at its time; returns how many processes died of an oops meanwhile."""
    oopses = 0
    start = lab.machine.clock.now
    for number, frame in enumerate(frames):
        ahead = start + number * spacing - lab.machine.clock.now
        if ahead > 0:
            lab.kernel.run(ahead)
        if not frame.from_us:
            lab.peer.send(frame.data)
        elif not _kernel_answers(frame.data):
            try:
                _send(lab, frame.data)
            except TaskDied:
                oopses += 1
    return oopses


def _send(lab: Lab, frame: bytes) -> None:
    """Send a frame when there is an interface; during a recovery there is none, and the frame is lost."""
    if lab.kernel.net.by_name(DEVICE) is not None:
        lab.kernel.send_frame(DEVICE, frame)


def survived(oopses: int, recoveries: list[bool]) -> str:
    """Return the outcome of a system that lived: from its oopses, and whether each recovery succeeded."""
    if oopses:
        return "oops"
    if not recoveries:
        return "ok"
    return "recovered" if all(recoveries) else "failed"


def _kernel_answers(frame: bytes) -> bool:
    """Tell whether the kernel makes such a frame by itself: an ARP reply or an echo reply."""
    if frame[12:14] == ETH_P_ARP.to_bytes(2, "big"):
        return frame[20:22] == _ARP_REPLY
    return _is_icmp(frame)


def _is_icmp(frame: bytes) -> bool:
    return frame[12:14] == ETH_P_IP.to_bytes(2, "big") and frame[23:24] == _ICMP


def _identity(frame: bytes) -> bytes:
    """Return what makes a frame the recorded one.

    The sender of an echo reply chooses its IP identification, flags and time to live anew; addresses and
    ICMP message must be the same.  Short frames arrive padded.
    """
    if _is_icmp(frame):
        length = int.from_bytes(frame[16:18], "big")
        return frame[_ADDRESSES] + frame[_IP_ADDRESSES] + frame[34 : 14 + length]
    return pad(frame)


def _matching(recorded: Sequence[bytes], arrived: Sequence[bytes]) -> int:
    """Count recorded frames that arrived, each at most as often as it was recorded."""
    return (Counter(map(_identity, recorded)) & Counter(map(_identity, arrived))).total()
