"""``compile-local``: untar a source tree onto a VFAT disk and compile it there (paper, section 5.1).

A process unpacks an archive, compiles each source with the headers that it includes, links the objects, and looks at
everything once more as a second ``make`` does.  The compiler is no real one: it reads what a compiler would read,
computes for as long in user mode, and writes an object that depends on every byte it has read.
"""

from collections.abc import Callable, Iterator

from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.workloads.build_programs import MOUNT_POINT, TREE_PATH, Programs, SomeTrouble, Tally
from nooks_lab.workloads.fat_volume import format_volume
from nooks_lab.workloads.source_tree import PROGRAM, archive, digest, object_of, products, source_tree
from nooks_lab.workloads.workload import REST, WorkloadResult
from nooks_lab.workloads.written_files import WrittenFiles

DEVICE, OPTIONS = "hda", "iocharset=utf8"

CYCLES_A_BYTE = 800
"""User-mode work on a byte of source.  With it most of the time is the compiler's own, as in the paper's figure 8."""

_PATIENCE = CPU_HZ * 600
_SETTLE = CPU_HZ // 10
_STEP = CPU_HZ // 1000


class CompileLocal:
    """The workload.

    Parameters
    ----------
    files, directories, size : int
        Of the tree; see :func:`source_tree`.
    seed : int
        Another seed, another tree.
    volume : bytes, optional
        What the disk holds at first; an empty FAT16 volume of 16 MiB when not given.
    cycles_a_byte : int
        User-mode work on a byte of source.
    attempts : int
        How often the process is started again after an error, a kill or a wrong result; a campaign that judges what
        a recovery has left on the disk takes 1, since another attempt makes again what was lost.

    Attributes
    ----------
    written : WrittenFiles
        What it has written to the disk so far.
    """

    name = "compile-local"
    devices: tuple[str, ...] = ("disk",)

    def __init__(
        self,
        files: int = 48,
        directories: int = 6,
        size: int = 6000,
        seed: int = 1,
        volume: bytes | None = None,
        cycles_a_byte: int = CYCLES_A_BYTE,
        attempts: int = 12,
    ) -> None:
        self.volume = format_volume(16 << 20, 16, 2) if volume is None else volume
        self._cycles_a_byte, self._attempts = cycles_a_byte, attempts
        tree = source_tree(seed, files, directories, size)
        self._archive = archive(tree)
        self.expected = products(tree)
        self.written = WrittenFiles()
        self.mount_point = MOUNT_POINT
        self._unpacked = False

    # Set-up

    def set_up(self, lab: Lab) -> None:
        """Put the volume into the PC, load VFAT and mount; recovery mounts again.

        Raises
        ------
        ModuleError, CompileError
            When the driver cannot be loaded.
        FileError
            When the volume cannot be mounted.
        """
        lab.disk.insert(self.volume)
        self.written.clear()
        self._unpacked = False
        lab.insmod("vfat")
        if lab.nooks is not None:
            lab.nooks.recovery.scripts["vfat"] = [lambda: _mount(lab.kernel)]
        lab.kernel.in_task("mount", lambda: _mount(lab.kernel))

    def unpack(self, lab: Lab) -> None:
        """Unpack the archive anew, so that there are files and directories before anything goes wrong.

        The paper's faults were injected "after many files and directories have been created"; a campaign does this
        first, and the run then finds the sources there.  Most of it has not been written to the disk yet.

        Raises
        ------
        RuntimeError
            When they cannot be unpacked.
        """
        tally = Tally()
        work = self._work(lab.kernel, tally)
        trouble = self._process(lab, "rm", lambda: self._clean(lab.kernel, tally), tally)
        trouble = trouble or self._process(lab, "tar", lambda: work.untar(self._archive), tally)
        if trouble:
            raise RuntimeError(f"the archive cannot be unpacked: {trouble}")
        self._unpacked = True

    def unmount(self, lab: Lab) -> None:
        """Take the volume out of use, everything written: then it can be looked at from outside."""
        lab.kernel.in_task("umount", lambda: lab.kernel.files.umount(MOUNT_POINT))

    # The work

    def run(self, lab: Lab) -> WorkloadResult:
        """Remove what an earlier run has left, unpack unless that is done, compile, link, and read everything back; see
        :class:`.Workload`.
        """
        tally, found, wrong, unnoticed = Tally(), dict[str, bytes](), ["nothing was done"], list[str]()
        empty, self._unpacked = self._unpacked, False
        for _ in range(self._attempts):
            tally.add("attempts")
            trouble = "" if empty else self._process(lab, "rm", lambda: self._clean(lab.kernel, tally), tally)
            empty = empty or not trouble
            if not trouble:
                trouble = self._process(lab, "make", lambda: self._make(lab.kernel, tally), tally)
            if not trouble:
                found.clear()
                trouble = self._process(lab, "sum", lambda: self._sum(lab.kernel, found, tally), tally)
            unnoticed = [] if trouble else list(self._differences(found))
            wrong = [trouble] if trouble else unnoticed
            if not wrong:
                break
            self._get_ready(lab, tally)
        self._process(lab, "sync", lambda: _drop_caches(lab.kernel), Tally())
        return WorkloadResult(not wrong, digest(found), tuple(wrong), tally.counts, tuple(unnoticed))

    def rest(self, lab: Lab) -> None:
        """Let the tasks that have ended be reaped."""
        lab.kernel.run(REST)

    def _process(self, lab: Lab, name: str, body: Callable[[], None], tally: Tally) -> str:
        """Run a process to its end; returns what it died of, or "" when all went well."""

        def program() -> str:
            try:
                body()
            except FileError as error:
                tally.add("errors")
                return str(error)
            except SomeTrouble as trouble:
                return str(trouble)
            return ""

        thread = lab.kernel.start(name, program)
        thread.detached = True
        deadline = lab.kernel.machine.clock.now + _PATIENCE
        while not thread.run.dead:
            if lab.kernel.machine.clock.now >= deadline:
                return f"process {name} hangs"
            lab.kernel.run(_STEP)
        if thread.killed:
            tally.add("killed")
            return f"process {name} was killed by signal {thread.exit_code}"
        return str(thread.result)

    def _get_ready(self, lab: Lab, tally: Tally) -> None:
        """Let a recovery come to its end; a volume that can no longer be written is made anew."""
        lab.kernel.run(_SETTLE)
        state = self._process(lab, "check", lambda: self._check_writable(lab.kernel), Tally())
        if not state:
            return
        self._process(lab, "umount", lambda: lab.kernel.files.umount(MOUNT_POINT), Tally())
        lab.kernel.run(_SETTLE)
        lab.disk.insert(self.volume)
        self.written.clear()
        tally.add("reformatted")
        self._process(lab, "mount", lambda: _mount(lab.kernel), Tally())

    @staticmethod
    def _check_writable(kernel: Kernel) -> None:
        kernel.files.write_file(f"{MOUNT_POINT}/.writable", b"yes")
        kernel.files.unlink(f"{MOUNT_POINT}/.writable")

    def _differences(self, found: dict[str, bytes]) -> Iterator[str]:
        for path in sorted(self.expected.keys() | found.keys()):
            if path not in found:
                yield f"{path} is missing"
            elif path not in self.expected:
                yield f"{path} is not of this tree"
            elif found[path] != self.expected[path]:
                yield f"{path} is not what was written"

    def _work(self, kernel: Kernel, tally: Tally) -> Programs:
        return Programs(kernel, tally, self._cycles_a_byte, self.written)

    def _clean(self, kernel: Kernel, tally: Tally) -> None:
        self._work(kernel, tally).remove_tree(TREE_PATH)

    def _make(self, kernel: Kernel, tally: Tally) -> None:
        """The process: tar, make, make again."""
        work = self._work(kernel, tally)
        work.untar(self._archive)
        sources = [path for path in self.expected if path.endswith(".c")]
        objects = {object_of(path): work.compile(path, self.expected[object_of(path)]) for path in sources}
        work.link(objects, self.expected[PROGRAM])
        work.check_up_to_date(sources)

    def _sum(self, kernel: Kernel, found: dict[str, bytes], tally: Tally) -> None:
        """The process that reads everything back, not from memory but from the disk."""
        _drop_caches(kernel)
        work = self._work(kernel, tally)
        for path in work.find(TREE_PATH):
            found[path.removeprefix(f"{TREE_PATH}/")] = work.read(path)
        # What is wrong is made again by the next attempt.
        for path, data in found.items():
            if self.expected.get(path) != data:
                tally.add("redone")
                work.unlink(f"{TREE_PATH}/{path}")


def _mount(kernel: Kernel) -> None:
    kernel.files.mount(DEVICE, MOUNT_POINT, "vfat", OPTIONS)


def _drop_caches(kernel: Kernel) -> None:
    """Write everything to the disk and have nothing in memory: what is read next comes from the disk."""
    kernel.files.sync()
    kernel.files.shrink_caches()
