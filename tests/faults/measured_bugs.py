"""What comes of each bug, natively and under Nooks: measured once, and the same ever since."""

from dataclasses import dataclass

from nooks_lab.campaign.outcome import Outcome


@dataclass(frozen=True)
class Measured:
    """Both outcomes, and what set the first recovery off (a regular expression)."""

    native: Outcome
    nooks: Outcome
    trigger: str = ""


NO_EFFECT, CRASH, PROCESS_KILLED = Outcome.NO_EFFECT, Outcome.CRASH, Outcome.PROCESS_KILLED
FAILURE, SILENT_CORRUPTION = Outcome.FAILURE, Outcome.SILENT_CORRUPTION
RECOVERED, RECOVERY_FAILED = Outcome.RECOVERED, Outcome.RECOVERY_FAILED

MEASURED = {
    "null-check-1": Measured(
        CRASH, RECOVERED, r"page fault: read of \w{8} at e1000_alloc_rx_buffers \[e1000\] .*"
    ),
    "null-check-2": Measured(PROCESS_KILLED, RECOVERED, r"page fault: write to 00000000 at memset .*"),
    "null-check-3": Measured(
        PROCESS_KILLED, RECOVERED, r"page fault: write to 00000008 at e1000_clean_ring \[e1000\] .*"
    ),
    "stack-1": Measured(CRASH, RECOVERED, r"page fault: read of 5a5a5a62 at e1000_blink_led \[e1000\] .*"),
    "stack-2": Measured(
        PROCESS_KILLED, RECOVERED, r"page fault: read of \w{8} at e1000_clean_ring \[e1000\] .*"
    ),
    "stack-3": Measured(SILENT_CORRUPTION, RECOVERED, r"sprintf: \w{8} is no memory of domain e1000"),
    "heap-1": Measured(
        PROCESS_KILLED, RECOVERED, r"page fault: write to 5a5a5a62 at e1000_clean_ring \[e1000\] .*"
    ),
    "heap-2": Measured(
        PROCESS_KILLED, RECOVERED, r"page fault: write to 5a5a5a5a at e1000_ioctl \[e1000\] .*"
    ),
    "heap-3": Measured(PROCESS_KILLED, RECOVERED, r"page fault: write to \w{8} at e1000_ioctl \[e1000\] .*"),
    "user-pointer-1": Measured(
        NO_EFFECT, RECOVERED, r"page fault: read of \w{8} at e1000_ioctl \[e1000\] .*"
    ),
    "user-pointer-2": Measured(
        NO_EFFECT, RECOVERED, r"page fault: write to \w{8} at e1000_ioctl \[e1000\] .*"
    ),
    "user-pointer-3": Measured(PROCESS_KILLED, RECOVERED, r"page fault: write to 08058000 at memcpy .*"),
    "double-free-1": Measured(PROCESS_KILLED, RECOVERED, r"kfree: \w{8} is no object of domain e1000"),
    "double-free-2": Measured(NO_EFFECT, RECOVERED, r"pci_map_single: 5a5a5a5a is no buffer of domain e1000"),
    "double-free-3": Measured(NO_EFFECT, RECOVERED, r"free_irq: \w{8} is no irqaction of domain e1000"),
    "3c59x-null-operation": Measured(
        CRASH, RECOVERY_FAILED, r"net_device\.open: \w{8}: it has no hard_start_xmit, .*"
    ),
    "3c59x-open-leak": Measured(NO_EFFECT, NO_EFFECT),
    "3c59x-receiver-not-stopped": Measured(SILENT_CORRUPTION, SILENT_CORRUPTION),
    "3c59x-swapped-arguments": Measured(FAILURE, FAILURE),
    "3c90x-free-then-zero": Measured(NO_EFFECT, RECOVERED, r"page fault: write to \w{8} at memset .*"),
    "3c90x-packet-not-freed": Measured(NO_EFFECT, NO_EFFECT),
    "3c90x-swapped-arguments": Measured(
        PROCESS_KILLED, RECOVERED, r"pci_unmap_single: 5a5a5a5a is no dma mapping of domain 3c90x"
    ),
    "e1000-irq-not-freed": Measured(CRASH, NO_EFFECT),
    "e1000-off-by-one-ring": Measured(FAILURE, FAILURE),
    "e1000-overflow-in-check": Measured(SILENT_CORRUPTION, SILENT_CORRUPTION),
    "e1000-sleep-in-interrupt": Measured(
        CRASH, RECOVERED, r"wrapper of a kernel call: scheduling in interrupt"
    ),
    "e1000-tail-before-address": Measured(NO_EFFECT, NO_EFFECT),
    "e1000-timer-not-deleted": Measured(CRASH, NO_EFFECT),
    "es1371-divide-by-zero": Measured(CRASH, RECOVERED, r"divide error at es1371_drain \[es1371\] .*"),
    "es1371-endless-poll": Measured(CRASH, RECOVERED, r"livelock: \w+ does not return"),
    "es1371-interrupt-not-acknowledged": Measured(
        CRASH, RECOVERED, r"livelock: interrupts of line 11 have taken 100% of [\d,]+ cycles"
    ),
    "es1371-uninitialised-list": Measured(CRASH, NO_EFFECT),
    "khttpd-byte-order": Measured(FAILURE, FAILURE),
    "khttpd-no-terminator": Measured(FAILURE, FAILURE),
    "khttpd-reference-not-taken": Measured(
        PROCESS_KILLED, RECOVERED, r"page fault: read of 5a5a5a6e at strcmp .*"
    ),
    "khttpd-use-after-free": Measured(
        PROCESS_KILLED, RECOVERED, r"sock_release: \w{8} still waits on the socket"
    ),
    "pcnet32-error-path-leak": Measured(NO_EFFECT, NO_EFFECT),
    "pcnet32-freed-before-sent": Measured(SILENT_CORRUPTION, SILENT_CORRUPTION),
    "pcnet32-goes-on-with-null": Measured(
        CRASH, RECOVERED, r"page fault: write to \w{8} at pcnet32_interrupt \[pcnet32\] .*"
    ),
    "pcnet32-length-trusted": Measured(
        CRASH, RECOVERED, r"skb_put of 4080 bytes leaves packet \w{8}, at \w{8}"
    ),
    "pcnet32-missing-unlock": Measured(NO_EFFECT, NO_EFFECT),
    "sb-module-not-held": Measured(PROCESS_KILLED, FAILURE),
    "sb-signed-length": Measured(
        FAILURE, RECOVERED, r"copy_from_user: 2147487744 bytes are more than there can be"
    ),
    "sb-use-after-free": Measured(
        PROCESS_KILLED, RECOVERED, r"free_pages: 5a5a5a5a is no pages of domain sb"
    ),
    "sb-wrong-sizeof": Measured(FAILURE, FAILURE),
    "vfat-brelse-twice": Measured(
        PROCESS_KILLED, RECOVERY_FAILED, r"page fault: write to \w{8} at memcpy .*"
    ),
    "vfat-byte-order": Measured(FAILURE, FAILURE),
    "vfat-iput-twice": Measured(
        PROCESS_KILLED, RECOVERED, r"iput: \w{8} is no inode reference of domain vfat"
    ),
    "vfat-lock-taken-twice": Measured(FAILURE, FAILURE),
    "vfat-missing-unlock": Measured(FAILURE, FAILURE),
    "vfat-off-by-one-cluster": Measured(FAILURE, FAILURE),
    "vfat-wrong-sizeof": Measured(PROCESS_KILLED, NO_EFFECT),
}
