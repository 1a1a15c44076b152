"""A system in a domain, made by hand: the pictures need no running one."""

import pytest

from nooks_lab.views.domains import DomainShot, DomainsSnapshot, ObjectShot
from nooks_lab.views.page_rights import PageRights, Region

REGIONS = (Region("direct map", 0xC0000000, 0xC0100000), Region("vmalloc area", 0xC1800000, 0xC1840000))


def table(owner: str, right: int) -> PageRights:
    pages = [region.end - region.start >> 12 for region in REGIONS]
    return PageRights(owner, REGIONS, tuple(bytes([right]) * count for count in pages))


@pytest.fixture
def native() -> DomainsSnapshot:
    return DomainsSnapshot(("e1000",), table("Linux kernel", 2), ())


@pytest.fixture
def isolated() -> DomainsSnapshot:
    objects = (
        ObjectShot("net_device", 0xC0001000, 0xC0002000, "explicit"),
        ObjectShot("sk_buff", 0xC0003000, 0xC0004000, "explicit"),
        ObjectShot("sk_buff", 0xC0003100, 0xC0004100, "explicit"),
        ObjectShot("heap block", 0, 0xC0002800, "explicit"),
        ObjectShot("irqaction", 0xC0005000, 0, "explicit"),
    )
    writable = {0xC0002000: "heap", 0xC0004000: "heap", 0xC0006000: "stack"}
    domain = DomainShot("e1000", 1, False, ("e1000",), objects, writable, table("domain of e1000", 1))
    return DomainsSnapshot((), table("Linux kernel", 2), (domain,))
