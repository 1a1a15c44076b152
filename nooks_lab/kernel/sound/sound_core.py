"""Sound devices by minor number, and the opening of their files (Linux 2.4 ``drivers/sound/sound_core.c``)."""

from collections.abc import Mapping
from typing import Any

from nooks_lab.kernel.errno import EBUSY, EINVAL, ENODEV, ENOENT, ENOMEM
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.chrdev import CharacterDevices
from nooks_lab.kernel.fs.fops import fops_get, fops_put
from nooks_lab.kernel.fs.inodes import S_IFCHR
from nooks_lab.kernel.fs.namei import Names
from nooks_lab.kernel.fs.parts import FsParts

SOUND_MAJOR = 14
STEP = 16
MIXER, DSP, AUDIO, DSP16 = 0, 3, 4, 5
_UNITS = 128 // STEP
_NAMES = {MIXER: b"mixer", DSP: b"dsp"}

_NODES = (("mixer", MIXER), ("dsp", DSP), ("audio", AUDIO))
_CARDS = 2
"""For how many cards there are nodes in /dev; others are made with ``mknod``."""


class SoundCore:
    """The chains of registered devices, each in the order of its minor numbers."""

    def __init__(self, parts: FsParts, chrdevs: CharacterDevices, names: Names) -> None:
        self._parts, self._chrdevs, self._names = parts, chrdevs, names
        self._types, self._memory, self._slab = parts.types, parts.memory, parts.slab
        self._chains = parts.variables["sound_chains"]

    def boot(self, entry: Mapping[str, int]) -> None:
        """Take the major number, and make the nodes of the first devices of each kind.

        Parameters
        ----------
        entry : mapping
            Addresses of the kernel's functions, by name.
        """
        fops = self._parts.global_view("file_operations", "soundcore_fops")
        fops.open = entry["soundcore_open"]
        self._chrdevs.register_chrdev(SOUND_MAJOR, self._parts.variables["soundcore_name"], fops.address)
        for card in range(_CARDS):
            for name, kind in _NODES:
                path = f"/dev/{name}{card or ''}"
                self._names.mknod(path, S_IFCHR | 0o666, SOUND_MAJOR << 8 | kind + STEP * card)

    @export(cycles=150)
    def soundcore_open(self, inode: int, file: int) -> int:
        """Hand a file over to the driver of its unit, whose operations it has from then on."""
        struct = self._parts.view("file", file)
        unit = self.fops(self._parts.view("inode", inode).i_rdev & 0xFF)
        if not unit:
            return -ENODEV
        before = struct.f_op
        struct.f_op = fops_get(self._parts, unit)
        function = self._parts.view("file_operations", unit).open
        error = self._parts.call(function, inode, file) if function else 0
        if error:
            # Not those of the unit, perhaps: its driver may have gone while it was asked.
            fops_put(self._parts, struct.f_op)
            struct.f_op = fops_get(self._parts, before)
        fops_put(self._parts, before)
        return error

    def units(self) -> list[Any]:
        """Return every ``struct sound_unit``."""
        return [unit for chain in range(STEP) for unit in self._chain(chain)]

    def _chain(self, kind: int) -> list[Any]:
        found = []
        at = self._memory.u32(self._chains + 4 * kind)
        while at:
            found.append(self._types.view("sound_unit", at))
            at = found[-1].next
        return found

    def fops(self, minor: int) -> int:
        """Return the operations of a device (address of a ``struct file_operations``), 0 when there is none."""
        if minor % STEP in (AUDIO, DSP16):
            minor = minor - minor % STEP + DSP
        found = [unit.unit_fops for unit in self._chain(minor % STEP) if unit.unit_minor == minor]
        return int(found[0]) if found else 0

    def _insert(self, fops: int, kind: int, wanted: int) -> int:
        """Register under the first free minor number of a kind, or under the one that is wanted."""
        if not fops:
            return -EINVAL
        taken = {unit.unit_minor for unit in self._chain(kind)}
        if wanted < 0:
            free = (kind + index * STEP for index in range(_UNITS))
            minor = next((number for number in free if number not in taken), -1)
            if minor < 0:
                return -ENOENT
        else:
            minor = wanted
            if minor in taken:
                return -EBUSY
        new = self._slab.zalloc(self._types.size("sound_unit"))
        if not new:
            return -ENOMEM
        unit = self._types.view("sound_unit", new)
        unit.unit_minor, unit.unit_fops = minor, fops
        unit.name = (
            b"sound/" + _NAMES.get(kind, b"unknown") + (b"%d" % (minor // STEP) if minor >= STEP else b"")
        )
        link = self._chains + 4 * kind
        for before in self._chain(kind):
            if before.unit_minor > minor:
                break
            link = before.offset_of("next")
        unit.next = self._memory.u32(link)
        self._memory.set_u32(link, new)
        return minor

    def _remove(self, kind: int, minor: int) -> None:
        link = self._chains + 4 * kind
        for unit in self._chain(kind):
            if unit.unit_minor == minor:
                self._memory.set_u32(link, unit.next)
                self._slab.free(unit.address)
                return
            link = unit.offset_of("next")

    def _minor(self, kind: int, dev: int) -> int:
        return kind + STEP * dev if dev >= 0 else -1

    @export(cycles=500)
    def register_sound_special(self, fops: int, unit: int) -> int:
        """Register a device under a minor number that its driver chooses."""
        if not 0 <= unit < 256:
            return -EINVAL
        return self._insert(fops, unit % STEP, unit)

    @export(cycles=500)
    def register_sound_mixer(self, fops: int, dev: int) -> int:
        """Register a mixer; returns its minor number."""
        return self._insert(fops, MIXER, self._minor(MIXER, dev))

    @export(cycles=500)
    def register_sound_dsp(self, fops: int, dev: int) -> int:
        """Register a device that plays and records; returns its minor number."""
        return self._insert(fops, DSP, self._minor(DSP, dev))

    @export(cycles=400)
    def unregister_sound_special(self, unit: int) -> None:
        """Take a device out of the system."""
        self._remove(unit % STEP, unit)

    @export(cycles=400)
    def unregister_sound_mixer(self, unit: int) -> None:
        """Take a mixer out of the system."""
        self._remove(MIXER, unit)

    @export(cycles=400)
    def unregister_sound_dsp(self, unit: int) -> None:
        """Take a device that plays and records out of the system."""
        self._remove(DSP, unit)
