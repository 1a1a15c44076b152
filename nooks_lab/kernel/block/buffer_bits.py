"""Bits of ``buffer_head.b_state`` and of ``page.flags``, and the lists of buffers (``linux/fs.h``, ``linux/mm.h``)."""

BH_UPTODATE, BH_DIRTY, BH_LOCK, BH_REQ, BH_MAPPED, BH_NEW, BH_ASYNC = (1 << bit for bit in range(7))
BUF_CLEAN, BUF_LOCKED, BUF_DIRTY = range(3)
PG_LOCKED, PG_ERROR, PG_REFERENCED, PG_UPTODATE, PG_DIRTY = (1 << bit for bit in range(5))
