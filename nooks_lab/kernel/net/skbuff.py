"""Socket buffers (Linux 2.4 ``net/core/skbuff.c``).

A packet's data has pages of its own, shared with nothing else.
"""

from typing import Any

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.page_alloc import PageAllocator
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.memory import PAGE_SIZE

HEADROOM = 16
"""What ``dev_alloc_skb`` reserves in front."""


class SocketBuffers:
    """Allocation, freeing and queues of ``struct sk_buff``."""

    def __init__(self, types: Types, memory: LinearMemory, slab: SlabAllocator, pages: PageAllocator) -> None:
        self._types, self._memory, self._slab, self._pages = types, memory, slab, pages
        self._size = types.size("sk_buff")
        self._shared = types.size("skb_shared_info")

    def view(self, address: int) -> Any:
        """Return a packet by address."""
        return self._types.view("sk_buff", address)

    @export(cycles=300)
    def alloc_skb(self, size: int, gfp_mask: int) -> int:
        """Return an empty packet with room for ``size`` bytes, or 0."""
        order = self._order(size)
        address = self._slab.zalloc(self._size)
        data = self._pages.alloc(order) if address and order is not None else 0
        if not data or order is None:
            self._slab.kfree(address)
            return 0
        skb = self.view(address)
        room = (PAGE_SIZE << order) - self._shared & ~15
        skb.head = skb.data = skb.tail = data
        skb.end = data + room
        skb.truesize = (PAGE_SIZE << order) + self._size
        skb.users.counter = 1
        self._memory.fill(skb.end, self._shared, 0)
        self._memory.set_u32(skb.end, 1)
        return address

    def _order(self, size: int) -> int | None:
        total = size + self._shared + 15
        order = max(0, (total - 1 >> 12).bit_length())
        return order if order < 6 else None

    @export(cycles=300)
    def dev_alloc_skb(self, length: int) -> int:
        """Return a packet for reception, with some headroom."""
        address = self.alloc_skb(length + HEADROOM, 0)
        if address:
            skb = self.view(address)
            skb.data = skb.tail = skb.data + HEADROOM
        return address

    @export(cycles=250)
    def kfree_skb(self, skb: int) -> None:
        """Drop a reference; the last one frees the packet."""
        if skb:
            self.release(skb)

    def release(self, address: int) -> None:
        """Drop a reference to a packet.

        Raises
        ------
        KernelBug
            When the packet is still on a queue, or has no reference left.
        """
        skb = self.view(address)
        users = skb.users.counter
        if users < 1:
            raise KernelBug(f"kfree_skb of packet {address:08x}, which has no reference")
        if skb.list:
            raise KernelBug(f"kfree_skb of packet {address:08x}, which is still on a queue")
        skb.users.counter = users - 1
        if users == 1:
            self.free(address)

    def free(self, address: int) -> None:
        """``__kfree_skb``: free a packet that has no reference left.

        Raises
        ------
        KernelBug
            When it has one, or its fields make no sense.
        """
        skb = self.view(address)
        if skb.users.counter:
            raise KernelBug(f"packet {address:08x} is freed with {skb.users.counter} references")
        span = skb.truesize - self._size
        if not 0 < span <= PAGE_SIZE << 5 or span & PAGE_SIZE - 1:
            raise KernelBug(f"packet {address:08x} has the impossible truesize {skb.truesize}")
        self._pages.free(skb.head, max(0, (span >> 12).bit_length() - 1))
        self._slab.free(address)

    @export(cycles=20)
    def skb_over_panic(self, skb: int, sz: int, here: int) -> None:
        """``skb_put`` went past the end."""
        raise KernelBug(f"skput:over: {here:08x}:{sz}")

    @export(cycles=20)
    def skb_under_panic(self, skb: int, sz: int, here: int) -> None:
        """``skb_push`` went before the start."""
        raise KernelBug(f"skput:under: {here:08x}:{sz}")

    def make(self, data: bytes, headroom: int = HEADROOM) -> int:
        """Return a packet that holds ``data``, or 0."""
        address = self.alloc_skb(len(data) + headroom, 0)
        if address:
            skb = self.view(address)
            start = skb.head + headroom
            skb.data, skb.tail, skb.len = start, start + len(data), len(data)
            self._memory.write(start, data)
        return address

    def data(self, address: int) -> bytes:
        """Return the bytes of a packet."""
        skb = self.view(address)
        return self._memory.read(skb.data, skb.len)

    def queue_init(self, head: int) -> None:
        """Make an empty ``struct sk_buff_head``."""
        queue = self._types.view("sk_buff_head", head)
        queue.next = queue.prev = head
        queue.qlen = 0

    def queue_tail(self, head: int, address: int) -> None:
        """Put a packet last."""
        queue, skb = self._types.view("sk_buff_head", head), self.view(address)
        last = queue.prev
        skb.list, skb.next, skb.prev = head, head, last
        self._memory.set_u32(last, address)
        queue.prev = address
        queue.qlen += 1

    def dequeue(self, head: int) -> int:
        """Take the first packet, or 0."""
        queue = self._types.view("sk_buff_head", head)
        address = queue.next
        if address == head:
            return 0
        self.unlink(address)
        return int(address)

    def unlink(self, address: int) -> None:
        """Take a packet off the queue that it is on."""
        skb = self.view(address)
        queue = self._types.view("sk_buff_head", skb.list)
        queue.qlen -= 1
        following, before = skb.next, skb.prev
        self._memory.set_u32(before, following)
        self._memory.set_u32(following + 4, before)
        skb.next = skb.prev = skb.list = 0

    def purge(self, head: int) -> None:
        """Free every packet of a queue."""
        while address := self.dequeue(head):
            self.release(address)
