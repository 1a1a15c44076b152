"""kHTTPd brought into service: the drivers loaded, its pages published, now and after each recovery."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nooks_lab.kernel.sysctl import SysctlError
from nooks_lab.lab import Lab

EXTENSION, CARD = "khttpd", "e1000"
ADDRESS, NETMASK, PORT = "10.0.0.2", "255.255.255.0", 80
SETTLE_SECONDS = 0.05
"""For the link to come up."""

LARGEST_PAGE = 61440
"""Bytes that fit into a user's buffer, with the line that names the page."""


class PageError(ValueError):
    """A page that cannot be published; one sentence that names it."""


@dataclass(frozen=True)
class Page:
    """A page's media type and contents."""

    type: str
    data: bytes


@dataclass
class WebServer:
    """kHTTPd as a user of the simulated PC has it.

    Attributes
    ----------
    pages : dict of str to Page
        What is published, by path; published again when kHTTPd has been recovered.
    """

    lab: Lab
    pages: dict[str, Page] = field(default_factory=dict)

    def start(self, parameters: Mapping[str, int | str] | None = None) -> None:
        """Load the network driver and kHTTPd, and publish the pages.

        Parameters
        ----------
        parameters : mapping, optional
            kHTTPd's module parameters.

        Raises
        ------
        PageError
            When a page cannot be published.
        ModuleError
            When an extension cannot be loaded.
        """
        for name, page in self.pages.items():
            _check(name, page)
        lab = self.lab
        if CARD not in lab.kernel.modules.loaded:
            lab.insmod(CARD)
            lab.ifup("eth0", ADDRESS, NETMASK)
            lab.run(SETTLE_SECONDS)
        lab.insmod(EXTENSION, dict(parameters or {}))
        if lab.nooks is not None:
            lab.nooks.recovery.scripts[EXTENSION] = [self._publish_all]
        lab.kernel.in_task("publish", self._publish_all)

    def publish(self, name: str, page: Page) -> bool:
        """Put a page into kHTTPd's table, or in place of another; False while kHTTPd is being recovered.

        Raises
        ------
        PageError
            When kHTTPd would not take it.
        """
        _check(name, page)
        self.pages[name] = page

        def body() -> bool:
            try:
                self._write(name)
            except SysctlError:
                # It comes back with the start-up script, which publishes all pages.
                return False
            return True

        return self.lab.kernel.in_task("publish", body)

    def statistics(self) -> dict[str, int]:
        """Return kHTTPd's own counters, which begin anew with each recovery; none while it is being recovered."""

        def body() -> bytes:
            try:
                return self.lab.kernel.sysctl.read("net/khttpd/statistics")
            except SysctlError:
                return b""

        words = self.lab.kernel.in_task("cat", body).decode().split()
        return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}

    def _publish_all(self) -> int:
        for name in self.pages:
            self._write(name)
        return 0

    def _write(self, name: str) -> None:
        page = self.pages[name]
        self.lab.kernel.sysctl.write("net/khttpd/page", f"{name} {page.type}\n".encode() + page.data)


def _check(name: str, page: Page) -> None:
    if not name.startswith("/") or len(name.encode()) > 255 or set(name) & set(" \n"):
        raise PageError(
            f"{name!r} is no path of a page: it begins with a slash, and has 255 bytes and no spaces"
        )
    if not page.type or len(page.type.encode()) > 63 or set(page.type) & set(" \r\n"):
        raise PageError(f"page {name}: {page.type!r} is no media type of 63 bytes and no spaces")
    if len(page.data) + len(name) + len(page.type) + 2 > LARGEST_PAGE:
        raise PageError(f"page {name} has {len(page.data)} bytes; {LARGEST_PAGE - 400} fit")
