"""BUG(): the kernel has noticed that its own state is impossible."""


class KernelBug(Exception):  # noqa: N818 - an event of the guest
    """What ``BUG()`` is in Linux 2.4: an invalid opcode, and then an oops."""
