"""Ports: which ones the studio needs, whether they are free, and who holds one that is not."""

import random
import socket
from collections import Counter
from dataclasses import dataclass

import psutil

from infra.studio.config import HOST, PORT_NAMES, StudioConfig
from infra.studio.processes import describe
from tasks.errors import StudioError

GRPC_OFFSET = 10_000
"""SeaweedFS listens for gRPC at each HTTP port plus this."""

OBJECT_STORE_SERVICES = {"s3": 0, "master": 1000, "volume": 1001, "filer": 1002, "admin": 1003}
"""Services of the object store, and how far above the S3 port each one listens."""


# Below what Linux gives to outgoing connections, any of which might take a port between the look and the start.
_S3_PORTS, _PORTS = range(10_000, 21_700), range(22_800, 32_700)
_dice = random.SystemRandom()


class PortTaken(StudioError):
    """A port that the studio needs is in use by another process."""


@dataclass(frozen=True)
class PortUse:
    """One port and what it is for."""

    port: int
    part: str
    service: str
    change: str


def needed_ports(config: StudioConfig) -> list[PortUse]:
    """Every port that a start of this studio will listen on."""
    prefect = PortUse(config.prefect_port, "Prefect server", "API and UI", _change("prefect_port"))
    webhooks = PortUse(config.webhook_port, "webhooks", "notices of providers", _change("webhook_port"))
    sandbox = PortUse(config.sandbox_port, "sandbox", "stand-in for the providers", _change("sandbox_port"))
    change = f"{_change('s3_port')}; its internal ports move with it"
    store = [
        PortUse(config.s3_port + offset + extra, "object store", service + kind, change)
        for service, offset in OBJECT_STORE_SERVICES.items()
        for extra, kind in ((0, ""), (GRPC_OFFSET, " gRPC"))
    ]
    return [prefect, *store, webhooks, *([sandbox] if config.sandbox else [])]


def _change(name: str) -> str:
    return f"studio up --{name.replace('_', '-')} NUMBER, or set STUDIO_{name.upper()}"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # Servers set this too: a port whose last connections are only lingering is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """Who listens on a port, as far as this user may know; empty when unknown."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
        if listens and connection.pid:
            return describe(psutil.Process(connection.pid))
    return ""


def require_free(uses: list[PortUse]) -> None:
    """Check ports before anything is started.

    Raises:
        PortTaken: names the first one in use, for what it is needed, who holds it and how to choose another.
    """
    twice = [port for port, times in Counter(use.port for use in uses).items() if times > 1]
    if twice:
        raise PortTaken(
            f"port {twice[0]} is wanted by two parts at once.",
            fix=f"Choose {', '.join(f'STUDIO_{name.upper()}' for name in PORT_NAMES)} further apart.",
        )
    for use in uses:
        if not is_free(use.port):
            holder = holder_of(use.port)
            by = f" by {holder}" if holder else ""
            raise PortTaken(
                f"port {use.port}, needed for the {use.part} ({use.service}), is in use{by}.",
                fix=f"Stop that process, or choose another port: {use.change}.",
            )


def free_ports() -> dict[str, int]:
    """Choose ports that are free now, by the names of their settings; for tests and second studios.

    Raises:
        PortTaken: no free set was found.
    """
    for _ in range(50):
        ports = dict(zip(PORT_NAMES, _dice.sample(_PORTS, len(PORT_NAMES)), strict=True))
        ports["s3_port"] = _dice.choice(_S3_PORTS)
        wanted = [use.port for use in needed_ports(StudioConfig.model_validate({**ports, "sandbox": True}))]
        if len(set(wanted)) == len(wanted) and all(map(is_free, wanted)):
            return ports
    raise PortTaken("no set of free ports was found in 50 tries.", fix="See what listens on this machine: ss -ltn")
