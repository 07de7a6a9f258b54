"""Callbacks about stream tasks and drives (section 6): signed, and repeated when nobody accepts them."""

import asyncio
import hashlib
import logging
import secrets
import time
import uuid
from typing import Any, Literal

import httpx

from infra.sandbox.tls import trusted
from infra.sandbox.truth import Truth
from infra.sandbox.zego.background import Background
from infra.sandbox.zego.guesses import CALLBACK_TIMEOUT_SECONDS
from infra.sandbox.zego.records import Callback

_PAUSES = (2, 4, 8, 16, 32)
"""Seconds before each repetition."""
_KEPT_ANSWER = 500

log = logging.getLogger("studio.sandbox")


class CallbackSender:
    """Posts events until they are answered with 2xx, six times at most; each event on its own, so order is not kept.

    Args:
        truth: where events and attempts are kept.
        app_id: the account that events are about.
        secret: its CallbackSecret.
        url: where events go unless a setting says otherwise; empty is nowhere.
    """

    def __init__(self, truth: Truth, app_id: int, secret: str, url: str) -> None:
        self._truth, self._app_id, self._secret, self._url = truth, app_id, secret, url
        self._background = Background()
        self.sent: list[Callback] = truth.kept(Callback)

    def tell(self, task_id: str, event_type: Literal[3, 4], detail: dict[str, Any]) -> None:
        """Report an event that has just happened, unless nobody wants to hear it."""
        url = self._url if self._truth.knobs.zego_callback_url is None else self._truth.knobs.zego_callback_url
        if not url or not self._truth.knobs.send_notices:
            return
        event = Callback(
            id=uuid.uuid4().hex,
            task_id=task_id,
            event_type=event_type,
            event_time=round(time.time() * 1000),
            detail=detail,
            url=url,
        )
        self.sent.append(event)
        self._truth.keep(event, event.id)
        self._background.start(self._deliver(event), f"callback {event.id}")

    def resume(self) -> None:
        """Go on with what a former process did not deliver."""
        for event in self.sent:
            if not event.is_over:
                self._background.start(self._deliver(event), f"callback {event.id}")

    async def stop(self) -> None:
        """Drop what is being delivered; the events stay as they are."""
        await self._background.stop()

    def forget(self) -> None:
        """Forget all events; ``stop`` before."""
        self.sent.clear()

    async def _deliver(self, event: Callback) -> None:
        while not event.is_over:
            if event.attempts:
                await asyncio.sleep(_PAUSES[event.attempts - 1] * self._truth.knobs.zego_callback_pause_scale)
            event.accepted, event.answer = await self._post(event)
            event.attempts += 1
            event.given_up = not event.accepted and event.attempts > len(_PAUSES)
            self._truth.keep(event, event.id)
        log.info("callback sent task=%s accepted=%s attempts=%d", event.task_id, event.accepted, event.attempts)

    async def _post(self, event: Callback) -> tuple[bool, str]:
        """Whether the answer was 2xx, and the answer, or why none came."""
        nonce, timestamp = str(secrets.randbelow(10**9)), str(int(time.time()))
        body = {
            "AppId": self._app_id,
            "EventType": event.event_type,
            "Nonce": nonce,
            "Timestamp": timestamp,
            "Signature": _signature(self._secret, timestamp, nonce),
            "EventTime": event.event_time,
            "TaskId": event.task_id,
            "Detail": event.detail,
        }
        try:
            async with httpx.AsyncClient(timeout=CALLBACK_TIMEOUT_SECONDS, trust_env=False, verify=trusted()) as client:
                answer = await client.post(event.url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return False, type(error).__name__
        return answer.is_success, f"{answer.status_code} {answer.text[:_KEPT_ANSWER]}"


def _signature(secret: str, timestamp: str, nonce: str) -> str:
    """SHA-1 over the three, sorted as strings, as 40 lowercase hexadecimal digits."""
    return hashlib.sha1("".join(sorted((secret, timestamp, nonce))).encode(), usedforsecurity=False).hexdigest()
