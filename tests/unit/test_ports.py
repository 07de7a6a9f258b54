"""Ports: needed, free, taken."""

import os
import socket

import pytest

from infra.studio.config import StudioConfig
from infra.studio.ports import PortTaken, PortUse, free_ports, is_free, needed_ports, require_free


@pytest.fixture
def taken_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield server.getsockname()[1]


def test_every_port_of_the_object_store_is_checked() -> None:
    """Internal services and gRPC ports count as needed, so that a start never half fails on one of them."""
    ports = {use.port for use in needed_ports(StudioConfig(prefect_port=4200, s3_port=8333, webhook_port=8350))}

    expected = {4200, 8333, 9333, 9334, 9335, 9336, 18333, 19333, 19334, 19335, 19336, 8350}
    assert expected == ports


def test_the_sandbox_needs_a_port_only_when_it_runs() -> None:
    """A studio without the sandbox starts although somebody else listens at the sandbox's port."""
    without, beside = ({use.port for use in needed_ports(StudioConfig(sandbox=runs))} for runs in (False, True))

    assert beside - without == {8340}


def test_a_listening_port_is_not_free(taken_port: int) -> None:
    """A port with a listener is found in use, although address reuse is switched on for the check."""
    assert not is_free(taken_port)


def test_a_lingering_port_is_free() -> None:
    """Connections in TIME_WAIT after a quick down and up do not count as a taken port."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()

    assert is_free(port)


def test_a_taken_port_is_explained(taken_port: int) -> None:
    """The message names the part, the port, the holder and the way out."""
    uses = [PortUse(taken_port, "object store", "filer", "studio up --s3-port NUMBER")]

    with pytest.raises(PortTaken) as caught:
        require_free(uses)

    told = str(caught.value)
    for fact in (str(taken_port), "object store", "filer", f"pid {os.getpid()}", "--s3-port NUMBER"):
        assert fact in told


def test_chosen_ports_are_all_free() -> None:
    """A second studio, or a test, gets ports of which every derived one is free too."""
    config = StudioConfig.model_validate({**free_ports(), "sandbox": True})

    require_free(needed_ports(config))
