"""I/O ports: what Nooks does about them (claims) and what it cannot do (``in`` and ``out``)."""

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cards import MAC
from nooks_lab.faults.armed_e1000 import numbered_frame
from nooks_lab.lab import Lab
from nooks_lab.machine.devices import pcnet32_registers as reg
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.toolchain.elf import ObjectFile

_INTRUDER = """
#include <linux/module.h>
#include <asm/io.h>
int init_module(void)
{
	(void)inl(0xc000 + 0x18);
	return 0;
}
void cleanup_module(void) {}
"""
"""Reads a reset register that is another extension's."""

_CLAIMANT = """
#include <linux/errno.h>
#include <linux/ioport.h>
#include <linux/module.h>
int init_module(void)
{
	if (request_region(0xc010, 4, "claimant"))
		return -EINVAL;
	if (!request_region(0xc080, 4, "claimant"))
		return -EBUSY;
	return 0;
}
void cleanup_module(void) { release_region(0xc080, 4); }
"""


@pytest.fixture
def lab():
    with nl.boot(nooks=True, devices=("pcnet32",)) as booted:
        booted.insmod("pcnet32")
        assert booted.ifup("eth0", "10.0.0.2", "255.255.255.0") == 0
        booted.run(0.05)
        yield booted


def module(name: str, text: str) -> ObjectFile:
    return extensions.build(name, text)


def passes(lab: Lab, number: int) -> bool:
    lab.peer.received.clear()
    lab.kernel.send_frame("eth0", numbered_frame(MAC, number))
    lab.run(0.02)
    return numbered_frame(MAC, number) in [data for _, data in lab.peer.received]


def test_ports_of_another_domain_are_not_protected(lab: Lab) -> None:
    assert passes(lab, 1)
    lab.insmod(module("intruder.c", _INTRUDER))
    # The chip is reset, and nobody has noticed who did it.
    assert lab.nic.state.csr[reg.CSR0] == reg.CSR0_STOP
    assert lab.nooks.recoveries == []
    assert not passes(lab, 2)
    # The driver's own watch over its transmitter mends it, once enough frames wait.
    for number in range(40):
        lab.kernel.send_frame("eth0", numbered_frame(MAC, 100 + number))
    lab.run(12)
    assert "transmit timed out" in lab.dmesg()
    assert passes(lab, 3)
    assert lab.nooks.recoveries == []


def test_a_port_is_claimed_once_whoever_asks(lab: Lab) -> None:
    lab.insmod(module("claimant.c", _CLAIMANT))
    claimed = lab.kernel.resources.claimed(lab.kernel.variable("ioport_resource"))
    assert claimed == [(0xC000, 0xC01F), (0xC080, 0xC083)]
    assert validate(lab.nooks) == []
    lab.kernel.rmmod("claimant")
    assert lab.kernel.resources.claimed(lab.kernel.variable("ioport_resource")) == [(0xC000, 0xC01F)]
