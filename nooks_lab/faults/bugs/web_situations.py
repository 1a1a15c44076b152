"""What brings kHTTPd's bugs out."""

from nooks_lab.faults.bugs.scene import Scene
from nooks_lab.faults.bugs.services import CONTENTS, WebService

OTHER = "/other.html"


def publish(scene: Scene, page: bytes) -> None:
    """Write to kHTTPd's table of pages."""
    scene.process("publish", lambda: scene.lab.kernel.sysctl.write("net/khttpd/page", page))


def publish_and_fetch(scene: Scene) -> None:
    """Publish another page, fetch it, publish it again, fetch it again, take it out."""
    assert isinstance(scene.service, WebService)
    for version in range(2):
        contents = CONTENTS + bytes([version])
        publish(scene, f"{OTHER} text/html\n".encode() + contents)
        status, body = scene.service.fetch(scene, OTHER)
        if status and b" 200 " not in status:
            scene.failed.append(f"GET {OTHER}: {status.decode('latin-1')}")
        elif status and body != contents:
            scene.wrong.append(f"{len(body)} bytes came that are not the page {OTHER}")
    publish(scene, f"{OTHER}\n".encode())


def nothing(scene: Scene) -> None:
    """The service is used before and after."""
