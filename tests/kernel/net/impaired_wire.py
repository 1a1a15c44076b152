"""A wire that loses, doubles and reorders frames in both directions, by a seed."""

import random
from collections.abc import Callable

from nooks_lab.lab import Lab
from nooks_lab.machine.peer import Peer


class ImpairedWire:
    """Stands between the peer's script and its connector while it is entered.

    Parameters
    ----------
    loss, doubled, held : float
        How likely a frame is lost, comes twice, or comes behind up to three later ones.
    """

    def __init__(self, lab: Lab, seed: int, loss: float, doubled: float, held: float) -> None:
        self._peer, self._dice = lab.peer, random.Random(seed)
        self._loss, self._doubled, self._held = loss, doubled, held
        self._waiting: dict[str, list[tuple[int, bytes]]] = {"out": [], "in": []}
        self.lost = self.twice = self.late = 0

    def __enter__(self) -> "ImpairedWire":
        peer = self._peer
        self._script, send = peer.on_frame, peer.send
        assert self._script is not None
        self._arrive: dict[str, Callable[[bytes], None]] = {
            "out": send,
            "in": lambda frame: self._script(peer, frame),
        }
        peer.send = lambda frame: self._pass("out", frame)
        peer.on_frame = self._incoming
        return self

    def __exit__(self, *_: object) -> None:
        del self._peer.send
        self._peer.on_frame = self._script
        self.flush()

    def _incoming(self, _peer: Peer, frame: bytes) -> None:
        self._pass("in", frame)

    def _pass(self, way: str, frame: bytes) -> None:
        chance = self._dice.random()
        if frame[12:14] != b"\x08\x00":
            # ARP is not TCP's matter.
            self._arrive[way](frame)
        elif chance < self._loss:
            self.lost += 1
        elif chance < self._loss + self._held:
            self.late += 1
            self._waiting[way].append((self._dice.randint(1, 3), frame))
        else:
            self._arrive[way](frame)
            if chance > 1 - self._doubled:
                self.twice += 1
                self._arrive[way](frame)
            self._let_go(way)

    def _let_go(self, way: str) -> None:
        waiting, self._waiting[way] = self._waiting[way], []
        for left, frame in waiting:
            if left > 1:
                self._waiting[way].append((left - 1, frame))
            else:
                self._arrive[way](frame)

    def flush(self) -> None:
        """Let go of whatever is held."""
        for way, waiting in self._waiting.items():
            held, self._waiting[way] = waiting, []
            for _, frame in held:
                self._arrive[way](frame)
