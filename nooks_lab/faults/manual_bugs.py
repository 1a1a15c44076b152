"""Bugs put into the e1000 by hand, each an edit of its source that a programmer could have made.

The authors of Nooks "removed checks for NULL pointers, failed to initialize stack and heap variables
properly, dereferenced a user-level pointer, and freed a resource multiple times" (paper, section 5.2.3).
"""

from dataclasses import dataclass
from typing import Literal

from nooks_lab import extensions
from nooks_lab.faults.wild_store import PatchError
from nooks_lab.toolchain.elf import ObjectFile

BugClass = Literal[
    "null check removed",
    "uninitialised stack variable",
    "uninitialised heap variable",
    "user pointer dereferenced",
    "double free",
]
Operation = Literal["receive", "transmit", "open", "close", "ioctl", "set MTU", "timer"]


class UnknownBug(LookupError):  # noqa: N818 - the sentence is for the user
    """No bug of that name; the message lists those there are."""


@dataclass(frozen=True)
class ManualBug:
    """One mistake in one place of the driver.

    Attributes
    ----------
    id : str
        Its name, such as ``null-check-1``.
    kind : str
        Which of the paper's mistakes it is.
    summary : str
        What the driver does wrong, in one sentence.
    function : str
        The function of the source that is changed.  Where the compiler put it into its caller, an oops names
        that one.
    before, after : str
        The unchanged source text, which stands in the driver once, and what replaces it.
    operation : str
        The operation of the driver's interface in which the mistake shows.
    situation : str
        What has to be so for it to show, in one sentence.
    """

    id: str
    kind: BugClass
    summary: str
    function: str
    before: str
    after: str
    operation: Operation
    situation: str


_NULL_CHECKS = (
    ManualBug(
        "null-check-1",
        "null check removed",
        "The receive ring is refilled without asking whether there was memory for another packet.",
        "e1000_alloc_rx_buffers",
        before="\t\tif (!skb) {\n\t\t\terr = -ENOMEM;\n\t\t\tbreak;\n\t\t}\n\t\tskb_reserve(",
        after="\t\tskb_reserve(",
        operation="receive",
        situation="With large frames a packet takes four pages in a row, and memory is in smaller pieces.",
    ),
    ManualBug(
        "null-check-2",
        "null check removed",
        "A ring's descriptors are cleared without asking whether they were allocated.",
        "e1000_setup_ring",
        before="\tif (!ring->desc) {\n\t\tvfree(ring->buffer_info);\n\t\tring->buffer_info = NULL;\n"
        "\t\treturn -ENOMEM;\n\t}\n",
        after="",
        operation="open",
        situation="A ring of 1,024 descriptors takes four pages in a row, and memory is in smaller pieces.",
    ),
    ManualBug(
        "null-check-3",
        "null check removed",
        "Every entry of a ring is taken for a packet, also the empty ones.",
        "e1000_clean_ring",
        before="\t\tif (!buffer->skb)\n\t\t\tcontinue;\n",
        after="",
        operation="close",
        situation="No transmission is under way, so that the ring's entries hold NULL.",
    ),
)

_STACK = (
    ManualBug(
        "stack-1",
        "uninitialised stack variable",
        "The LED's timer gets a record on the stack that does not say which adapter is meant.",
        "e1000_phys_id",
        before="\tblink.adapter = adapter;\n",
        after="",
        operation="timer",
        situation="A process asks for the LED to blink (ETHTOOL_PHYS_ID) and sleeps; the timer fires.",
    ),
    ManualBug(
        "stack-2",
        "uninitialised stack variable",
        "The list of dropped packets, a queue head on the stack, is used without being made empty.",
        "e1000_clean_ring",
        before="\tskb_queue_head_init(&dropped);\n",
        after="",
        operation="set MTU",
        situation="The interface is up, so that its receive ring is full of packets.",
    ),
    ManualBug(
        "stack-3",
        "uninitialised stack variable",
        "The EEPROM's version is printed through a pointer that was never set.",
        "e1000_get_drvinfo",
        before="\tchar image[E1000_EEPROM_VERSION_LEN];\n",
        after="\tchar *image;\n",
        operation="ioctl",
        situation="A process asks who the driver is (ETHTOOL_GDRVINFO).",
    ),
)

_HEAP = (
    ManualBug(
        "heap-1",
        "uninitialised heap variable",
        "A ring's entries are not cleared, so that those never used name packets that never were.",
        "e1000_setup_ring",
        before="\tmemset(ring->buffer_info, 0, info_size);\n",
        after="",
        operation="close",
        situation="The entries' memory had another use before.",
    ),
    ManualBug(
        "heap-2",
        "uninitialised heap variable",
        "The register dump is allocated, but its cursor is not pointed at its first word.",
        "e1000_get_regs",
        before="\tdump->next = dump->words;\n",
        after="",
        operation="ioctl",
        situation="A process asks for the registers (ETHTOOL_GREGS).",
    ),
    ManualBug(
        "heap-3",
        "uninitialised heap variable",
        "The EEPROM's image is allocated, but its count of words does not start at zero.",
        "e1000_get_eeprom",
        before="\timage->count = 0;\n",
        after="",
        operation="ioctl",
        situation="A process asks for the EEPROM (ETHTOOL_GEEPROM) twice; freed memory is used again.",
    ),
)

_USER_POINTERS = (
    ManualBug(
        "user-pointer-1",
        "user pointer dereferenced",
        "The ethtool command is read straight through the user's pointer.",
        "e1000_ethtool_ioctl",
        before="\tif (copy_from_user(&ethcmd, useraddr, sizeof(ethcmd)))\n\t\treturn -EFAULT;\n",
        after="\tethcmd = *(u32 *)useraddr;\n",
        operation="ioctl",
        situation="A process asks for the link's state (ETHTOOL_GLINK); its pointer is good.",
    ),
    ManualBug(
        "user-pointer-2",
        "user pointer dereferenced",
        "The link's state is stored straight through the user's pointer.",
        "e1000_get_link",
        before="\treturn copy_to_user(useraddr, &link, sizeof(link)) ? -EFAULT : 0;\n",
        after="\t*(struct ethtool_value *)useraddr = link;\n\treturn 0;\n",
        operation="ioctl",
        situation="A process asks for the link's state (ETHTOOL_GLINK); its pointer is good.",
    ),
    ManualBug(
        "user-pointer-3",
        "user pointer dereferenced",
        "The EEPROM's bytes go to the user by memcpy.",
        "e1000_get_eeprom",
        before="\tif (!err && copy_to_user(useraddr + sizeof(eeprom), bytes, eeprom.len))\n"
        "\t\terr = -EFAULT;\n",
        after="\tif (!err)\n\t\tmemcpy(useraddr + sizeof(eeprom), bytes, eeprom.len);\n",
        operation="ioctl",
        situation="A process asks for the EEPROM (ETHTOOL_GEEPROM) with a buffer that ends too early.",
    ),
)

_DOUBLE_FREES = (
    ManualBug(
        "double-free-1",
        "double free",
        "An error path frees the register dump, and then runs into the free at the end.",
        "e1000_get_regs",
        before="\t    copy_to_user(useraddr + sizeof(regs), dump->words, regs.len))\n\t\terr = -EFAULT;\n",
        after="\t    copy_to_user(useraddr + sizeof(regs), dump->words, regs.len)) {\n\t\tkfree(dump);\n"
        "\t\terr = -EFAULT;\n\t}\n",
        operation="ioctl",
        situation="A process asks for the registers (ETHTOOL_GREGS) with a buffer that ends too early.",
    ),
    ManualBug(
        "double-free-2",
        "double free",
        "A packet that cannot be sent is freed, but sent all the same, and freed again when it has gone.",
        "e1000_xmit_frame",
        before="\t\tdev_kfree_skb_any(skb);\n\t\treturn 0;\n\t}\n",
        after="\t\tdev_kfree_skb_any(skb);\n\t}\n",
        operation="transmit",
        situation="A process sends a frame that is longer than the device can take.",
    ),
    ManualBug(
        "double-free-3",
        "double free",
        "When the device cannot be started, its interrupt line is freed there and again by the caller.",
        "e1000_up",
        before="\t\te1000_reset_hw(adapter);\n\t\te1000_clean_all_rings(adapter);\n\t\treturn err;\n",
        after="\t\te1000_reset_hw(adapter);\n\t\te1000_clean_all_rings(adapter);\n"
        "\t\tfree_irq(netdev->irq, netdev);\n\t\treturn err;\n",
        operation="open",
        situation="With large frames a packet takes four pages in a row, and memory is in smaller pieces.",
    ),
)

_CATALOGUE = (*_NULL_CHECKS, *_STACK, *_HEAP, *_USER_POINTERS, *_DOUBLE_FREES)


def catalogue() -> tuple[ManualBug, ...]:
    """Return all bugs, by class (paper, section 5.2.3)."""
    return _CATALOGUE


def manual_bug(name: str) -> ManualBug:
    """Return a bug by its id.

    Raises
    ------
    UnknownBug
        When there is none of that id.
    """
    for bug in _CATALOGUE:
        if bug.id == name:
            return bug
    raise UnknownBug(f"unknown bug {name!r}; there are: {', '.join(bug.id for bug in _CATALOGUE)}")


def faulty_source(bug: ManualBug) -> str:
    """Return the e1000's source with one bug (paper, section 5.2.3).

    Parameters
    ----------
    bug : ManualBug
        From :func:`catalogue`, or one of your own.

    Raises
    ------
    PatchError
        When the text to be replaced does not stand in the driver exactly once.
    """
    text = extensions.source("e1000").read_text()
    count = text.count(bug.before)
    if count != 1:
        raise PatchError(f"{bug.id}: e1000.c has this text {count} times, not once: {bug.before!r}")
    return text.replace(bug.before, bug.after)


def faulty_driver(bug: ManualBug) -> ObjectFile:
    """Compile the e1000 with one bug.

    Raises
    ------
    PatchError
        See :func:`faulty_source`.
    CompileError
        When the replacement is no C.
    """
    path = extensions.source("e1000")
    return extensions.build("e1000.c", faulty_source(bug), include=(path.parent,))
