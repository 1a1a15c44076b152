"""Network drivers whose machine code breaks while they run: recoveries in a row, and what they leave behind."""

import random

import broken_text
import pytest
from nic_traffic import DEVICE, DRIVERS, PEER, Traffic, frame

from nooks_lab.cards import MAC
from nooks_lab.faults import census
from nooks_lab.faults.checksums import kernel_checksums
from nooks_lab.machine.pci import COMMAND, COMMAND_MASTER
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.replay import SYSTEM_ENDS

RECOVERIES = 25
WARM_UP = 4
"""The first recoveries set up what stays: page tables of the kernel, wrappers, stacks."""


def strike(traffic: Traffic, nooks: Nooks, dice: random.Random, number: int) -> bool:
    """Break an instruction in the midst of traffic; True when the driver ran into it."""
    lab, done = traffic.lab, len(nooks.recoveries)
    lab.run(dice.random() / 1000)
    address, before = broken_text.break_one(lab, traffic.driver, dice)
    for _ in range(2):
        lab.peer.send(frame(dice.randint(60, 1514), number))
        if lab.kernel.net.by_name(DEVICE) is not None:
            lab.kernel.send_frame(DEVICE, frame(dice.randint(60, 1514), number, MAC, PEER))
        lab.run(0.005)
    if nooks.recovery.running or len(nooks.recoveries) > done:
        lab.run(0.1)
        return True
    broken_text.mend(lab, traffic.driver, address, before)
    return False


@pytest.mark.parametrize("driver", DRIVERS)
def test_recoveries_in_a_row_leave_nothing_behind_and_the_traffic_goes_on(driver: str) -> None:
    traffic, dice = Traffic(driver, nooks=True), random.Random(driver)
    nooks = traffic.lab.nooks
    assert nooks is not None
    try:
        counts, checksums, places = [], [], set()
        for number in range(2000):
            if strike(traffic, nooks, dice, number):
                recovery = nooks.recoveries[-1]
                assert (recovery.ok, recovery.leaked) == (True, 0)
                assert traffic.works()
                places.add(recovery.trigger)
                counts.append(census.take(traffic.lab))
                checksums.append(kernel_checksums(traffic.lab))
            if len(counts) == RECOVERIES:
                break
        assert len(counts) == len(nooks.recoveries) == RECOVERIES
        assert len(places) > RECOVERIES / 2
        assert counts[WARM_UP:] == [counts[WARM_UP]] * (RECOVERIES - WARM_UP)
        assert checksums[WARM_UP:] == [checksums[WARM_UP]] * (RECOVERIES - WARM_UP)
        assert validate(nooks) == []
    finally:
        traffic.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_natively_the_same_bytes_end_the_system(driver: str) -> None:
    traffic, dice = Traffic(driver, nooks=False), random.Random(driver)

    def strikes() -> None:
        for number in range(2000):
            address, before = broken_text.break_one(traffic.lab, driver, dice)
            traffic.receive([frame(60, number)])
            traffic.send([frame(60, number, MAC, PEER)])
            broken_text.mend(traffic.lab, driver, address, before)

    try:
        with pytest.raises(SYSTEM_ENDS):
            strikes()
    finally:
        traffic.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_driver_that_is_not_restarted_leaves_its_device_without_the_bus(driver: str) -> None:
    traffic = Traffic(driver, nooks=True)
    lab, nooks = traffic.lab, traffic.lab.nooks
    assert nooks is not None
    nooks.policy = Policy(Rule(action="disable"))
    try:
        dice = random.Random(driver)
        while not strike(traffic, nooks, dice, 0):
            pass
        slot = lab.nic.function.device
        assert nooks.domains == []
        assert not lab.machine.pci.config_read(slot, COMMAND, 2) & COMMAND_MASTER
        assert lab.kernel.resources.claimed(lab.kernel.variable("ioport_resource")) == []
    finally:
        traffic.close()
