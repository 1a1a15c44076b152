"""printk: conversions as the C library makes them, and the ring."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.exports import VaList
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.printk import LOG_BUF_LEN


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with nl.boot() as lab:
        yield lab.kernel


def sprintf(kernel: Kernel, text: str, *words: int) -> str:
    """Format with the variable arguments on the stack, as machine code passes them."""
    buffer, fmt = kernel.slab.alloc(1024), kernel.slab.alloc(256)
    kernel.memory.write(fmt, text.encode() + b"\0")
    esp = kernel.machine.cpu.esp
    kernel.memory.write(esp - 64, b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in words))
    length = kernel.printk.sprintf(buffer, fmt, VaList(kernel.memory, esp - 64))
    result = kernel.memory.string(buffer)
    kernel.slab.free(buffer)
    kernel.slab.free(fmt)
    assert length == len(result)
    return result.decode("latin-1")


@pytest.mark.parametrize(
    ("text", "words", "shown"),
    [
        ("%d%%", (-5,), "-5%"),
        ("%u", (-1,), "4294967295"),
        ("%08x|%-8x|%8X", (0xBEEF, 0xBEEF, 0xBEEF), "0000beef|beef    |    BEEF"),
        ("%#x %#o", (255, 8), "0xff 010"),
        ("%+d % d", (3, 3), "+3  3"),
        ("%5.3d|", (7,), "  007|"),
        ("%c%3c", (0x41, 0x42), "A  B"),
        ("%*d", (5, 42), "   42"),
        ("%p", (0xC0100000,), "c0100000"),
        ("%lld", (-2, -1), "-2"),
        ("%hd %hhx", (0xFFFF, 0x1234), "-1 34"),
        ("%ld %lu", (-1, 1), "-1 1"),
        ("%s", (0,), "<NULL>"),
        ("100%", (), "100%"),
    ],
)
def test_conversions(kernel: Kernel, text: str, words: tuple[int, ...], shown: str) -> None:
    assert sprintf(kernel, text, *words) == shown


@given(
    st.sampled_from(["", "-", "0", "+", "#", "-#"]),
    st.integers(0, 14),
    st.one_of(st.none(), st.integers(0, 12)),
    st.sampled_from("dxXo"),
    st.integers(-(1 << 31), (1 << 31) - 1),
)
def test_numbers_come_out_as_in_python(
    kernel: Kernel, flags: str, width: int, precision: int | None, kind: str, value: int
) -> None:
    if kind != "d":
        value &= 0xFFFFFFFF
        flags = flags.replace("+", "")
    if kind == "o" or kind == "d" or value == 0:
        # Python writes 0o and knows no octal 0; C has no prefix for zero.
        flags = flags.replace("#", "")
    if precision is not None:
        flags = flags.replace("0", "")
    text = f"%{flags}{width or ''}{'' if precision is None else f'.{precision}'}{kind}"
    if precision == 0 and value == 0:
        return
    expected = text % value
    if "#" in flags and kind == "X":
        expected = expected.replace("0x", "0X")
    assert sprintf(kernel, text, value) == expected


def test_the_log_drops_its_levels(kernel: Kernel) -> None:
    kernel.log("<3>eth0: trouble\n<6>eth0: fine\n")
    assert kernel.dmesg().endswith("eth0: trouble\neth0: fine\n")


@pytest.mark.parametrize("count", [1, 700, 5000])
def test_the_ring_keeps_the_newest(count: int) -> None:
    with nl.boot() as lab:
        for number in range(count):
            lab.kernel.log(f"line {number:06d}\n")
        text = lab.dmesg()
        assert text.endswith(f"line {count - 1:06d}\n")
        assert len(text) <= LOG_BUF_LEN
        kept = [line for line in text.split("\n") if line.startswith("line ")]
        assert kept == [f"line {number:06d}" for number in range(count - len(kept), count)]
        assert len(kept) == min(count, LOG_BUF_LEN // 12)


def test_a_text_longer_than_the_ring_leaves_its_end() -> None:
    with nl.boot() as lab:
        lab.kernel.log("x" * LOG_BUF_LEN + "the end")
        assert lab.dmesg().endswith("xthe end")
        assert len(lab.dmesg()) == LOG_BUF_LEN


def test_snprintf_keeps_within_its_buffer(kernel: Kernel) -> None:
    buffer, fmt = kernel.slab.zalloc(64), kernel.slab.alloc(64)
    kernel.memory.write(fmt, b"0123456789\0")
    kernel.memory.fill(buffer, 64, 0xEE)
    assert kernel.printk.snprintf(buffer, 5, fmt, VaList(kernel.memory, buffer)) == 10
    assert kernel.memory.read(buffer, 6) == b"0123\0\xee"
