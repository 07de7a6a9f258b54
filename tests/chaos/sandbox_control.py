"""Steers the sandbox of a running studio, and reads its truth."""

import time
from typing import Any

import httpx

WAIT_SECONDS = 60.0
_ENDED = {"success", "fail", "completed", "failed"}


class SandboxControl:
    """The control side of a sandbox.

    Args:
        address: of the sandbox, as http://host:port.
    """

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=f"{address}/control/", timeout=30, trust_env=False)

    def submissions(self, vendor: str) -> list[dict[str, Any]]:
        """Every submission that a vendor has accepted."""
        return self._call("GET", "truth")[vendor]["submissions"]

    def set(self, **settings: Any) -> None:
        """Change settings."""
        self._call("PUT", "settings", settings)

    def arm(self, vendor: str, call: str, fault: str) -> None:
        """Spoil the next such call."""
        self._call("POST", "faults", {"vendor": vendor, "call": call, "fault": fault, "times": 1, "args": {}})

    def clear(self) -> None:
        """Disarm all faults and let held calls go on."""
        self._call("DELETE", "faults")

    def wait_held(self, number: int) -> None:
        """Wait until so many calls are being held."""
        self._wait(lambda: len(self._call("GET", "held")) == number, f"{number} calls are not held")

    def wait_ended(self) -> None:
        """Wait until no job is under way."""

        def over() -> bool:
            truth = self._call("GET", "truth")
            return all(job["status"] in _ENDED for vendor in truth.values() for job in vendor["submissions"])

        self._wait(over, "jobs are still under way")

    def _wait(self, reached: Any, told: str) -> None:
        end = time.monotonic() + WAIT_SECONDS
        while not reached():
            if time.monotonic() > end:
                raise TimeoutError(f"{told} after {WAIT_SECONDS:g} s")
            time.sleep(0.05)

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._client.request(method, path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()
