"""Steers a sandbox and reads its truth, wherever it runs."""

import time
from collections.abc import Callable
from typing import Any

import httpx

WAIT_SECONDS = 60.0
_ENDED = {"success", "fail", "completed", "failed"}
_STREAM_OVER = {2, 5}


class SandboxControl:
    """The control side of a sandbox.

    Args:
        address: of the sandbox, as http://host:port.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client = httpx.Client(timeout=WAIT_SECONDS, trust_env=False)

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._client.get(f"{self.address}/control/health", timeout=2).json()["ok"])
        except httpx.TransportError:
            return False

    def truth(self) -> dict[str, Any]:
        """What was asked, accepted, refused and charged, by vendor."""
        return self._call("GET", "truth")

    def submissions(self, vendor: str) -> list[dict[str, Any]]:
        """Every accepted submission of a vendor, oldest first."""
        return self.truth()[vendor]["submissions"]

    def polls(self, vendor: str) -> list[dict[str, Any]]:
        """When each video of a vendor was accepted and ended, how often it was asked for, and when its end was seen."""
        return self._call("GET", "polls")[vendor]

    def streams(self) -> list[dict[str, Any]]:
        """Every stream task that ZEGO accepted, oldest first."""
        return self.truth()["zego"]["streams"]

    def live_streams(self) -> list[dict[str, Any]]:
        """The stream tasks that have not ended."""
        return [stream for stream in self.streams() if stream["status"] not in _STREAM_OVER]

    def drives(self) -> list[dict[str, Any]]:
        """Every drive that ZEGO accepted, oldest first."""
        return self.truth()["zego"]["drives"]

    def cut_sockets(self) -> int:
        """Close ZEGO's drive sockets hard, as a lost network does; returns how many."""
        return self._call("POST", "zego/cut", {})["cut"]

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change settings; returns all of them."""
        return self._call("PUT", "settings", changes) if changes else self._call("GET", "settings")

    def arm(self, vendor: str, call: str, fault: str, times: int = 1, **args: Any) -> int:
        """Spoil the next such calls; returns the fault's id."""
        body = {"vendor": vendor, "call": call, "fault": fault, "times": times, "args": args}
        return self._call("POST", "faults", body)["id"]

    def clear(self) -> None:
        """Disarm all faults and let held calls go on."""
        self._call("DELETE", "faults")

    def held(self) -> list[dict[str, Any]]:
        """The calls that are being held."""
        return self._call("GET", "held")

    def wait_held(self, number: int = 1, seconds: float = WAIT_SECONDS) -> list[dict[str, Any]]:
        """Wait until so many calls are being held."""
        held: list[dict[str, Any]] = []

        def reached() -> bool:
            held[:] = self.held()
            return len(held) == number

        _wait(reached, seconds, lambda: f"{len(held)} calls are held, not {number}")
        return held

    def wait_ended(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no job is under way."""

        def over() -> bool:
            truth = self.truth()
            return all(job["status"] in _ENDED for vendor in truth.values() for job in vendor.get("submissions", []))

        _wait(over, seconds, lambda: "jobs are still under way")

    def wait_streams_over(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until no stream task of ZEGO lives."""
        live: list[dict[str, Any]] = []

        def over() -> bool:
            live[:] = self.live_streams()
            return not live

        _wait(over, seconds, lambda: f"{len(live)} streams still live")

    def release(self) -> None:
        """Let all held calls go on."""
        self._call("POST", "release", {})

    def reset(self) -> None:
        """Make it forget everything, settings included."""
        self._call("POST", "reset", {})

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._client.request(method, f"{self.address}/control/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


def _wait(reached: Callable[[], bool], seconds: float, tell: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{tell()} after {seconds:g} s")
        time.sleep(0.05)
