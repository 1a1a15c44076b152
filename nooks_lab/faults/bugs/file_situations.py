"""What brings VFAT's bugs out."""

from nooks_lab.faults.bugs.scene import Scene
from nooks_lab.faults.bugs.services import CONTENTS
from nooks_lab.kernel.errno import ENOSPC
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.files import O_CREAT, O_RDWR
from nooks_lab.workloads.build_programs import MOUNT_POINT

LONG_NAME = f"{MOUNT_POINT}/{'A name as long as names may be, ' * 6}.txt"
_CHUNK = 16 << 10


def fill_the_disk(scene: Scene) -> None:
    """Write until the disk is full, read all of it back from there, and remove it."""
    files, path = scene.lab.kernel.files, f"{MOUNT_POINT}/full"
    chunks: list[bytes] = []

    def fill() -> None:
        fd = files.open(path, O_RDWR | O_CREAT)
        try:
            while True:
                data = bytes([len(chunks) + 1]) * _CHUNK
                chunks.append(data[: files.write(fd, data)])
        except FileError as error:
            if error.errno != ENOSPC:
                raise
        finally:
            files.close(fd)

    def look() -> None:
        files.sync()
        files.shrink_caches()
        read = files.read_file(path)
        whole = b"".join(chunks)
        if read[: len(whole)] != whole:
            scene.wrong.append("what was written to the full disk is not what is there")

    def remove() -> None:
        files.unlink(path)
        files.sync()

    scene.process("dd", fill)
    scene.process("cmp", look)
    scene.process("rm", remove)


def list_files_in_use(scene: Scene) -> None:
    """List a directory a few times while files in it are open, and go on using them."""
    files = scene.lab.kernel.files
    names = [f"{MOUNT_POINT}/file {number}" for number in range(3)]

    def program() -> None:
        opened = [files.open(name, O_RDWR | O_CREAT) for name in names]
        for fd in opened:
            files.write(fd, CONTENTS)
        for _ in range(3):
            files.listdir(MOUNT_POINT)
        for fd in opened:
            files.write(fd, CONTENTS)
            files.close(fd)
        files.sync()
        files.shrink_caches()
        for name in names:
            if files.read_file(name) != 2 * CONTENTS:
                scene.wrong.append(f"{name} is not what was written")
            files.unlink(name)

    scene.process("sh", program)


def use_a_long_name(scene: Scene) -> None:
    """Make a file with a long name, find it, remove it."""
    files = scene.lab.kernel.files

    def program() -> None:
        for _ in range(3):
            files.write_file(LONG_NAME, CONTENTS)
            files.sync()
            files.shrink_caches()
            if files.read_file(LONG_NAME) != CONTENTS:
                scene.wrong.append("the file with the long name is not what was written")
            files.unlink(LONG_NAME)

    scene.process("sh", program)


def nothing(scene: Scene) -> None:
    """The service is used before and after."""
