"""What the programs ethtool and mii-tool ask of a network driver: requests in user memory, passed on by an ioctl."""

from nooks_lab.kernel.sched import Thread
from nooks_lab.kernel.uaccess import USER_BASE, USER_PAGES
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_SIZE

SIOCETHTOOL, SIOCGMIIREG = 0x8946, 0x8948
GDRVINFO, GREGS, GLINK, GEEPROM, PHYS_ID = 0x3, 0x4, 0xA, 0xB, 0x1C
EEPROM_BYTES, REGS_BYTES, DRVINFO_BYTES = 128, 48, 196
USER_END = USER_BASE + USER_PAGES * PAGE_SIZE

_IFR_DATA = 16


def words(*values: int) -> bytes:
    """Return 32-bit numbers as they lie in memory."""
    return b"".join(value.to_bytes(4, "little") for value in values)


def start(lab: Lab, useraddr: int) -> Thread:
    """Start a process that passes a request on; the ifreq is the kernel's copy, as behind the system call."""
    return lab.kernel.start("ethtool", lambda: system_call(lab, SIOCETHTOOL, words(useraddr)))


def system_call(lab: Lab, command: int, data: bytes) -> int:
    """Pass a request on in this process.

    Parameters
    ----------
    data : bytes
        What stands in the ``struct ifreq`` behind the interface's name.
    """
    kernel = lab.kernel
    ifreq = kernel.slab.zalloc(kernel.types.size("ifreq"))
    kernel.memory.write(ifreq, b"eth0")
    kernel.memory.write(ifreq + _IFR_DATA, data)
    try:
        return kernel.net.ioctl(kernel.net.by_name("eth0"), ifreq, command)
    finally:
        kernel.slab.free(ifreq)


def get_phy_register(lab: Lab, phy: int, register: int) -> int:
    """Ask for a register of a PHY, as mii-tool does; returns the driver's result."""
    data = b"".join(value.to_bytes(2, "little") for value in (phy, register, 0, 0))
    return lab.kernel.in_task("mii-tool", lambda: system_call(lab, SIOCGMIIREG, data))


def ioctl(lab: Lab, useraddr: int) -> int:
    """Pass a request on and wait for the result."""
    process = start(lab, useraddr)
    lab.kernel.wait(process)
    return int(process.result)


def request(lab: Lab, head: bytes, room: int = 0) -> tuple[int, bytes]:
    """Put a request with room for an answer into user memory; returns the result and what is there then."""
    address = lab.kernel.user.place(head + bytes(room))
    result = ioctl(lab, address)
    return result, lab.kernel.memory.read(address, len(head) + room)


def request_without_room(lab: Lab, head: bytes) -> int:
    """The request is user memory's last bytes: what the driver puts behind it finds no page."""
    address = USER_END - len(head)
    lab.kernel.memory.write(address, head)
    return ioctl(lab, address)


def get_drvinfo(lab: Lab) -> tuple[int, bytes]:
    """Ask who the driver is."""
    return request(lab, words(GDRVINFO), DRVINFO_BYTES - 4)


def get_link(lab: Lab) -> tuple[int, bytes]:
    """Ask whether there is a link."""
    return request(lab, words(GLINK, 0))


def get_regs(lab: Lab) -> tuple[int, bytes]:
    """Ask for the registers."""
    return request(lab, words(GREGS, 0, REGS_BYTES), REGS_BYTES)


def get_regs_without_room(lab: Lab) -> int:
    """Ask for the registers with a buffer that ends too early."""
    return request_without_room(lab, words(GREGS, 0, REGS_BYTES))


def get_eeprom(lab: Lab, offset: int = 0, size: int = EEPROM_BYTES) -> tuple[int, bytes]:
    """Ask for bytes of the EEPROM."""
    return request(lab, words(GEEPROM, 0, offset, size), size)


def get_eeprom_without_room(lab: Lab) -> int:
    """Ask for the EEPROM with a buffer that ends too early."""
    return request_without_room(lab, words(GEEPROM, 0, 0, EEPROM_BYTES))


def blink(lab: Lab, seconds: int = 1) -> int:
    """Have the LED blink; the process sleeps meanwhile."""
    return request(lab, words(PHYS_ID, seconds))[0]
