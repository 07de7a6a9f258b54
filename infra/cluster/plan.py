"""From the compose file to processes of this machine: which command, environment and folder each container becomes.

Commands and environments are taken over as they are. Only what cannot be the same without containers is replaced: the
addresses of services, the ports that they listen on, and the folders inside of the image.
"""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from infra.cluster.compose import Compose, Service
from tasks.errors import StudioError

HOST = "127.0.0.1"
SOURCE = Path(__file__).resolve().parents[2]
CONTAINERFILE = SOURCE / "infra" / "image" / "Containerfile"
IMAGE = "digital-human-studio"
HOME_IN_IMAGE = "/home/studio"
GRPC_OFFSET = 10_000
"""SeaweedFS listens for gRPC at each of its ports plus this."""

_LOWEST, _HIGHEST = 11_000, 21_000
"""Below the kernel's range of outgoing ports, with the gRPC ports too."""
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - is replaced, never bound


@dataclass(frozen=True)
class Member:
    """One container, as a process."""

    service: str
    index: int
    command: tuple[str, ...]
    environment: dict[str, str]
    """What the image and the compose file set, nothing else."""
    folder: Path
    """Working folder."""
    ports: dict[int, int]
    """Ports in the container and on this machine."""
    volumes: tuple[Path, ...] = ()
    """Folders that outlive it."""
    healthcheck: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Such as ``worker-0``."""
        return f"{self.service}-{self.index}"


@dataclass
class Ports:
    """Gives every port of every container a free one on loopback; the first use decides."""

    _given: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def of(self, service: str, index: int, port: int) -> int:
        """The port of this machine. Index -1 is the address of the whole service where it has several containers."""
        return self._given.setdefault((service, index, port), self._free())

    def _free(self) -> int:
        random, given = SystemRandom(), set(self._given.values())
        for _ in range(500):
            port = random.randrange(_LOWEST, _HIGHEST)
            if not {port, port + GRPC_OFFSET} & given and _is_free(port) and _is_free(port + GRPC_OFFSET):
                return port
        raise StudioError(f"no free port between {_LOWEST} and {_HIGHEST}.", fix="See what listens: ss -ltn")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


class Plan:
    """All processes of one cluster.

    Args:
        compose: the file, filled in.
        profiles: which services run beside those that always do.
        folder: where volumes and homes are kept.
    """

    def __init__(self, compose: Compose, profiles: frozenset[str], folder: Path) -> None:
        self.services = compose.chosen(profiles)
        self.folder = folder
        self._ports = Ports()
        self._image_environment = read_image_environment()
        self.members = {
            name: [self._member(name, service, index) for index in range(service.deploy.replicas)]
            for name, service in self.services.items()
        }

    def address(self, service: str, port: int) -> str:
        """``host:port`` at which a service is reached, whichever of its containers answers."""
        one = self.services[service].deploy.replicas == 1
        return f"{HOST}:{self._ports.of(service, 0 if one else -1, port)}"

    def localized(self, text: str) -> str:
        """A text with addresses of services replaced by those on this machine."""
        for name, service in self.services.items():
            for port in service.expose:
                text = re.sub(rf"(?<![\w.-]){name}:{port}(?!\d)", self.address(name, int(port)), text)
        return text

    def _member(self, name: str, service: Service, index: int) -> Member:
        home = self.folder / "homes" / f"{name}-{index}"
        ports = {int(port): self._ports.of(name, index, int(port)) for port in service.expose}
        mounts = {target: self.folder / "volumes" / volume for volume, target in map(_mount, service.volumes)}
        folders = {HOME_IN_IMAGE: home, "/opt/studio": SOURCE} | mounts

        def here(text: str) -> str:
            return _with_folders(self.localized(text), folders)

        def own(text: str) -> str:
            return _with_ports(_with_own_address(here(text), name), ports)

        set_by_image = self._image_environment if _is_ours(service) else {}
        health = [own(word) for word in service.healthcheck.test] if service.healthcheck else []
        return Member(
            service=name,
            index=index,
            command=tuple(own(word) for word in service.command),
            environment={key: here(value) for key, value in {**set_by_image, **service.environment}.items()},
            folder=Path(here(service.working_dir or HOME_IN_IMAGE)),
            ports=ports,
            volumes=tuple(mounts.values()),
            healthcheck=tuple(_health_command(health)),
        )


def _is_ours(service: Service) -> bool:
    return service.image.partition(":")[0] == IMAGE


def _mount(volume: str) -> tuple[str, str]:
    name, _, target = volume.partition(":")
    if not target.startswith("/") or "/" in name:
        raise StudioError(f"{volume!r} is no named volume.", fix="Write name:/folder.")
    return name, target


def _with_folders(text: str, folders: Mapping[str, Path]) -> str:
    for inside, here in folders.items():
        text = re.sub(rf"(?<![\w./-]){re.escape(inside)}(?![\w-])", str(here), text)
    return text


def _with_own_address(word: str, name: str) -> str:
    """Everything listens on loopback; the option ``-ip=NAME`` names the container itself."""
    word = re.sub(rf"(?<![\d.]){re.escape(_ANY_ADDRESS)}(?![\d.])", HOST, word)
    return re.sub(rf"={re.escape(name)}$", f"={HOST}", word)


def _with_ports(word: str, ports: Mapping[int, int]) -> str:
    # One pass: a port that was put in must not be taken for one that is to be replaced.
    return re.sub(r"(?<![\d.])\d+(?![\d.])", lambda found: str(ports.get(int(found[0]), found[0])), word)


def _health_command(test: list[str]) -> list[str]:
    match test:
        case []:
            return []
        case ["CMD", *command]:
            return command
        case ["CMD-SHELL", script]:
            return ["sh", "-c", script]
    raise StudioError(f"{test!r} is no health check that is understood.", fix="Begin it with CMD or CMD-SHELL.")


def read_image_environment(path: Path = CONTAINERFILE) -> dict[str, str]:
    """What the image's ENV instructions set.

    Raises:
        StudioError: there is a form other than NAME=value.
    """
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    words = [word for line in text.splitlines() if line.startswith("ENV ") for word in line.split()[1:]]
    pairs = [word.partition("=") for word in words]
    if not pairs or any(not sign or "$" in value or '"' in value for _, sign, value in pairs):
        raise StudioError(f"an ENV of {path} is not understood.", fix="Write ENV NAME=value, without quotes.")
    return {name: value for name, _, value in pairs}


def search_path(interpreter: Path) -> str:
    """PATH of every process: the studio's environment, PostgreSQL's programs where Debian keeps them, the system's."""
    postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return os.pathsep.join([str(interpreter.parent), *map(str, postgres[:1]), os.defpath, "/usr/local/bin"])
