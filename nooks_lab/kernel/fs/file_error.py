"""What a call on files could not do."""

from nooks_lab.kernel.errno import (
    EBADF,
    EBUSY,
    EEXIST,
    EFBIG,
    EINVAL,
    EIO,
    EISDIR,
    EMFILE,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOTDIR,
    ENOTEMPTY,
    ENOTTY,
    ENXIO,
    EROFS,
    EXDEV,
)

_REASONS = {
    ENOENT: "there is no such file or directory",
    EIO: "input/output error",
    ENXIO: "there is no such device",
    EBADF: "the file is not open, or not open for this",
    ENOMEM: "no memory",
    EBUSY: "it is in use",
    EEXIST: "it exists already",
    EXDEV: "old and new name are on different filesystems",
    ENODEV: "there is no such filesystem type or device",
    ENOTDIR: "it is no directory",
    EISDIR: "it is a directory",
    EINVAL: "invalid argument",
    EMFILE: "the process has too many open files",
    ENOTTY: "the file has no such ioctl",
    EFBIG: "the file would be too large",
    ENOSPC: "no space is left on the device",
    EROFS: "the filesystem is mounted read-only",
    ENAMETOOLONG: "the name is too long",
    ENOTEMPTY: "the directory is not empty",
}


class FileError(OSError):
    """What a call on files could not do, with Linux's error number in ``errno``.

    Parameters
    ----------
    errno : int
        Positive.
    what : str
        The file or the call.
    """

    def __init__(self, errno: int, what: str = "") -> None:
        # A broken filesystem may return any number.
        reason = _REASONS.get(errno, f"error {errno}")
        super().__init__(errno, f"{what}: {reason}" if what else reason)


def checked(result: int, what: str = "") -> int:
    """Return a result that is no error.

    Raises
    ------
    FileError
        When it is a negative error number.
    """
    if result < 0:
        raise FileError(-result, what)
    return result
