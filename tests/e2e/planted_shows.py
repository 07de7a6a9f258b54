"""Live shows of every kind, good and bad, at a vendor that repeats secrets wherever it can."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha1
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.e2e.api import StudioApi
from tests.servers.sandbox_control import SandboxControl

SIGNATURE = re.compile(rb"(?<![\w-])Signature(?:=|%3D|\\?[\"']\s*:\s*\\?[\"'])[0-9a-f]{32,40}(?![0-9a-f])")
"""A signature of ours in a query, or of a callback in JSON; those of S3 links are longer and called otherwise."""
SOCKET_ADDRESS = re.compile(rb"wss://[^\s\"']+[?&]Token=[\w-]{8,}")
OVER = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


class Shows:
    """Starts shows and waits for their ends.

    Args:
        api: of the studio.
        sandbox: which plays the vendor.
        secret: the right ServerSecret, which the vendor quotes.
        callback_secret: the CallbackSecret.
        save_block: saves the credentials block with this ServerSecret.
    """

    def __init__(
        self,
        api: StudioApi,
        sandbox: SandboxControl,
        *,
        secret: str,
        callback_secret: str,
        save_block: Callable[[str], None],
    ) -> None:
        self._api, self._sandbox, self._save_block = api, sandbox, save_block
        self._secret, self._callback_secret = secret, callback_secret

    def broadcast_all_kinds(self, wrong_secret: str) -> None:
        """One good show, and one of each kind that goes wrong."""
        self._ends("good", {"Completed"})
        self._save_block(wrong_secret)
        self._ends("wrong secret", {"Failed"})
        self._save_block(self._secret)

        self._arm("create", "lost_answer")
        self._ends("lost answer", {"Completed"})
        quoting = f"not with ServerSecret {self._secret}"
        # A message shows the beginning of an answer: 130 signs later the secret would be cut in two.
        for said in (quoting, "." * 130 + quoting):
            self._arm("create", "business", code="400000016", message=said)
            self._ends("quoted by code", {"Failed"})
        self._arm("create", "fail", reason=quoting)
        self._ends("quoted by the stream", {"Failed", "Broken off"})
        self._arm("text", "business", code="400000009", message=quoting)
        self._ends("quoted by a drive", {"Partly performed"})
        # Few enough that a cue may outlast them, so none is left for another show.
        either = {"Completed", "Partly performed"}
        self._arm("ws", "status", times=2, status=500, body={"error": quoting})
        self._ends("quoted with 500", either)
        self._arm("socket", "reset", times=2)
        self._ends("no socket", either)
        self._sandbox.settings(zego_clock_skew_seconds=3600)
        self._ends("wrong clock", {"Failed"})
        self._sandbox.settings(zego_clock_skew_seconds=0)
        self._kill_in_the_middle()
        self._knock_at_the_door()

    def _arm(self, call: str, fault: str, times: int = 1, **args: Any) -> None:
        self._sandbox.arm("zego", call, fault, times=times, **args)

    def _start(self, title: str, *more: dict[str, Any]) -> str:
        cues = [{"text": "Good evening."}, {"script": "Good evening again."}, *more]
        rundown = {"title": title, "avatar": "dh-anna", "room": f"room-{uuid4().hex[:8]}", "timbre": "tb-en-calm"}
        return self._api.start_flow("broadcast-show", {"show": {"rundown": rundown | {"cues": cues}}})

    def _ends(self, title: str, states: set[str]) -> None:
        run = self._api.wait_for(self._start(title), lambda run: run["state"]["type"] in OVER, 400)
        assert run["state"]["name"] in states, (title, run["state"])

    def _kill_in_the_middle(self) -> None:
        run_id = self._start("crash", {"pause": 300})
        self._api.wait_for(run_id, lambda _run: "show-preview" in self._api.artifacts(run_id), 120)
        for process in self._api.flow_processes(run_id):
            process.kill()
        self._api.wait_for(run_id, lambda run: run["state"]["type"] == "CRASHED", 120)
        self._sandbox.wait_streams_over(240)

    def _knock_at_the_door(self) -> None:
        """Callbacks with a wrong signature, and with a right one around nonsense."""
        address = f"{self._api.studio.config.webhook_address}/zego"
        for secret, told in (
            ("wrong", {}),
            (self._callback_secret, {"EventTime": "soon"}),
            (self._callback_secret, {}),
        ):
            words = {"Timestamp": "1470820198", "Nonce": "123412"}
            digest = sha1("".join(sorted([secret, *words.values()])).encode()).hexdigest()  # noqa: S324 - the vendor's
            detail = {"Status": 3, "FailReason": secret}
            fields = {"EventType": 3, "TaskId": f"stranger {secret}", "Detail": detail, "EventTime": 0, **told}
            httpx.post(address, json={**words, **fields, "Signature": digest}, timeout=30)


def socket_tokens(sandbox_folder: Path) -> dict[str, str]:
    """The tokens of all drive sockets, from the vendor's own books, by names for people."""
    (books,) = sandbox_folder.glob("*.db")
    with closing(sqlite3.connect(f"file:{books}?mode=ro", uri=True)) as database:
        dump = "\n".join(database.iterdump())
    found = sorted(set(re.findall(r'"token":"([\w-]{20,})"', dump)))
    return {f"drive socket token {number}": token for number, token in enumerate(found, start=1)}
