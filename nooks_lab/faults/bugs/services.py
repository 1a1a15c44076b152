"""The service of each extension: brought up, used a little and checked end to end, taken down."""

from nooks_lab.cards import CARD_OF
from nooks_lab.extensions import CLASSES
from nooks_lab.faults.bugs.scene import Scene, Service
from nooks_lab.kernel.module import Parameters
from nooks_lab.lab import Lab
from nooks_lab.station.station import TcpStation
from nooks_lab.toolchain.elf import ObjectFile
from nooks_lab.web_server import ADDRESS, PORT, Page, WebServer
from nooks_lab.workloads.build_programs import MOUNT_POINT
from nooks_lab.workloads.compile_local import DEVICE as DISK
from nooks_lab.workloads.compile_local import OPTIONS
from nooks_lab.workloads.fat_volume import format_volume
from nooks_lab.workloads.network import ADDRESS as OURS
from nooks_lab.workloads.network import DEVICE, LINK_SECONDS, NETMASK
from nooks_lab.workloads.play_tune import Player, PlayTune
from nooks_lab.workloads.tune import Tune

STATION = "10.0.0.1"
"""The host at the far end of the wire."""

TUNE_SECONDS = 0.04
"""Shorter than a fragment of the sound drivers' rings."""

PING_BYTES = (56, 1000)
"""One that drivers copy, and one whose buffer they hand on."""

VOLUME_BYTES = 256 << 10
"""A disk that is soon full."""

PAGE = "/index.html"
CONTENTS = bytes(range(256)) * 4
"""Of the page, and of files."""


class NetworkService:
    """An interface that is up, and a station that answers pings."""

    def __init__(self, extension: str) -> None:
        self.devices: tuple[str, ...] = (CARD_OF[extension],)
        self._extension = extension

    def start(self, scene: Scene, driver: ObjectFile, parameters: Parameters | None) -> None:
        """Load it and bring its interface up; see :class:`.Service`."""
        lab = scene.lab
        TcpStation.on(lab.peer, STATION)
        lab.insmod(driver, parameters)
        self.resume(scene)

    def resume(self, scene: Scene) -> None:
        """Bring the interface up."""
        lab = scene.lab
        if lab.kernel.net.by_name(DEVICE) is None:
            scene.failed.append(f"there is no interface {DEVICE}")
            return
        if lab.nooks is not None:
            lab.nooks.recovery.scripts[self._extension] = [lambda: _configure(lab)]
        if scene.process("ifconfig", lambda: _configure(lab)):
            scene.failed.append(f"{DEVICE} cannot be brought up")
        lab.run(LINK_SECONDS)

    def stop(self, scene: Scene) -> None:
        """Take the interface down, and unload the driver."""
        self.close(scene)
        scene.rmmod(self._extension)

    def close(self, scene: Scene) -> None:
        """Take the interface down."""
        net = scene.lab.kernel.net
        device = net.by_name(DEVICE)
        if device is not None:
            scene.process("ifconfig", lambda: net.close(device))

    def use(self, scene: Scene) -> None:
        """Ping the station."""
        inet = scene.lab.kernel.inet
        for number, size in enumerate(PING_BYTES, 1):

            def ping(size: int = size, number: int = number) -> bool:
                return inet.ping(STATION, size, number, timeout=0.2) is not None

            if scene.process("ping", ping) is False:
                scene.failed.append(f"a ping of {size} bytes has no answer")
        # The answers' traces vanish.
        scene.lab.run(0.02)


def _configure(lab: Lab) -> int:
    device = lab.kernel.net.by_name(DEVICE)
    if device is None:
        return -1
    result = lab.kernel.net.open(device)
    lab.kernel.inet.configure(DEVICE, OURS, NETMASK)
    return result


class SoundService:
    """A short tune through /dev/dsp."""

    def __init__(self, extension: str) -> None:
        self._play = PlayTune(extension, Tune(TUNE_SECONDS))
        self.devices = self._play.devices
        self._extension = extension

    def start(self, scene: Scene, driver: ObjectFile, parameters: Parameters | None) -> None:
        """Load it: its devices are the service."""
        scene.lab.insmod(driver, parameters)

    def resume(self, scene: Scene) -> None:
        """Nothing has to be brought up."""

    def stop(self, scene: Scene) -> None:
        """Unload it."""
        scene.rmmod(self._extension)

    def use(self, scene: Scene) -> None:
        """Play the tune, and compare what is heard."""
        started = scene.lab.machine.clock.now
        self._play.player = player = Player(scene.lab.kernel, self._play.tune)
        scene.process("mpg123", player.run)
        heard = self._play.judge(scene.lab, started, []).wrong
        (scene.failed if player.errors else scene.wrong).extend(heard)


class VfatService:
    """A mounted volume on a small disk."""

    devices: tuple[str, ...] = ("disk",)

    def start(self, scene: Scene, driver: ObjectFile, parameters: Parameters | None) -> None:
        """Put an empty volume into the PC, load the driver, mount."""
        lab = scene.lab
        lab.disk.insert(format_volume(VOLUME_BYTES, 12, 1))
        lab.insmod(driver, parameters)
        if lab.nooks is not None:
            lab.nooks.recovery.scripts["vfat"] = [lambda: _mount(lab)]
        scene.process("mount", lambda: _mount(lab))

    def resume(self, scene: Scene) -> None:
        """Nothing has to be brought up."""

    def stop(self, scene: Scene) -> None:
        """Unmount the volume and unload the driver."""
        files = scene.lab.kernel.files
        scene.process("umount", lambda: files.umount(MOUNT_POINT))
        scene.process("sync", files.shrink_caches)
        scene.rmmod("vfat")

    def use(self, scene: Scene) -> None:
        """Write a file, read it from the disk, remove it."""
        path, files = f"{MOUNT_POINT}/A file in use.txt", scene.lab.kernel.files

        def program() -> bytes:
            files.write_file(path, CONTENTS)
            files.sync()
            files.shrink_caches()
            data = files.read_file(path)
            files.unlink(path)
            files.sync()
            files.shrink_caches()
            return data

        read = scene.process("sh", program)
        if read is not None and read != CONTENTS:
            scene.wrong.append("a file that was read from the disk is not what was written")


def _mount(lab: Lab) -> None:
    lab.kernel.files.mount(DISK, MOUNT_POINT, "vfat", OPTIONS)


class WebService:
    """A page in memory, fetched by a client."""

    devices: tuple[str, ...] = ("e1000",)

    def start(self, scene: Scene, driver: ObjectFile, parameters: Parameters | None) -> None:
        """Load the network driver and kHTTPd, and publish the page."""
        scene.lab.substitutes["khttpd"] = driver
        self.clients(scene.lab)
        if parameters:
            raise ValueError("kHTTPd is started without parameters here")
        WebServer(scene.lab, {PAGE: Page("text/html", CONTENTS)}).start()

    def clients(self, lab: Lab) -> TcpStation:
        """Return the clients' host, which stands at the far end of the wire from the first use on."""
        return TcpStation.on(lab.peer, STATION)

    def resume(self, scene: Scene) -> None:
        """Nothing has to be brought up."""

    def stop(self, scene: Scene) -> None:
        """Unload kHTTPd."""
        scene.rmmod("khttpd")

    def fetch(self, scene: Scene, name: str = PAGE) -> tuple[bytes, bytes]:
        """Ask for a page; returns the status line and the body, both empty when no whole answer came."""
        clients, lab = self.clients(scene.lab), scene.lab
        connection = clients.connect(ADDRESS, PORT)
        connection.send(f"GET {name} HTTP/1.0\r\n\r\n".encode())
        answer = bytearray()
        for _ in range(200):
            lab.run(0.01)
            answer += connection.read()
            if connection.error or (connection.ended and not connection.available):
                break
        if connection.error or not connection.ended:
            scene.failed.append(f"GET {name}: {connection.error or 'no answer in time'}")
            connection.abort()
            return b"", b""
        connection.end()
        head, _, body = bytes(answer).partition(b"\r\n\r\n")
        return head.partition(b"\r\n")[0], body

    def use(self, scene: Scene) -> None:
        """Fetch the page, and compare."""
        status, body = self.fetch(scene)
        if status and b" 200 " not in status:
            scene.failed.append(f"GET {PAGE}: {status.decode('latin-1')}")
        elif status and body != CONTENTS:
            scene.wrong.append(f"{len(body)} bytes came that are not the page")
        # The PC remembers a connection for a second, the station for two.
        scene.lab.run(2.2)


def service(extension: str) -> Service:
    """Return an extension's service.

    Raises
    ------
    LookupError
        When there is no such extension.
    """
    if CLASSES.get(extension) == "network":
        return NetworkService(extension)
    if CLASSES.get(extension) == "sound":
        return SoundService(extension)
    if extension == "vfat":
        return VfatService()
    if extension == "khttpd":
        return WebService()
    raise LookupError(f"the extension {extension!r} has no service")
