"""Putting packets into the middle of a queue (Linux 2.4 ``skb_append``, ``skb_insert``)."""

from typing import Any

from nooks_lab.kernel.structs import Types


def skb_append(types: Types, queue: Any, before: int, new: int) -> None:
    """Put a packet behind another one of a queue.

    Parameters
    ----------
    queue : view of struct sk_buff_head
    before : int
        Address of the packet in front; the queue's own address puts the new one first.
    new : int
        Address of a packet that is on no queue.
    """
    skb = types.view("sk_buff", new)
    # A queue's head and a packet begin with the same two links.
    link = types.view("sk_buff_head", before)
    following = link.next
    skb.list, skb.next, skb.prev = queue.address, following, before
    types.view("sk_buff_head", following).prev = new
    link.next = new
    queue.qlen += 1
