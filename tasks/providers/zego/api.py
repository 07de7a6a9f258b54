"""One account at ZEGO over HTTP: a fresh signature for every try, and no secret in anything that leaves here."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import JsonValue

from tasks.errors import ProviderError, ProviderRejected
from tasks.http import Answer, ApiClient, own_network
from tasks.providers.zego.clock import warn_of_skew
from tasks.providers.zego.envelope import SignatureExpired, facts_of, is_envelope, open_envelope
from tasks.providers.zego.models import PROVIDER, Documented, read_answer
from tasks.providers.zego.signature import signed_params

Turn = Callable[[str], Awaitable[None]]
"""Waits until one try of the named action may be made: 10 a second are allowed for each (section 1.1)."""

_HIDDEN = "(hidden)"
_PATH = "/"

log = logging.getLogger("studio.zego")

M = TypeVar("M", bound=Documented)


async def no_wait(_action: str) -> None:
    """The turn of an account that nobody else asks."""


@dataclass(frozen=True)
class Call:
    """One call of an action.

    Args:
        action: its name.
        body: its business parameters.
        task_id: the stream task concerned, for errors.
        private: texts of the body that no error may show, such as a signed link.
        opens_stream: it may cost money, so it gets a connection of its own.
    """

    action: str
    body: Mapping[str, JsonValue] = field(repr=False)
    task_id: str = ""
    private: tuple[str, ...] = field(default=(), repr=False)
    opens_stream: bool = False


class ZegoApi:
    """Makes the calls of one account, one try each, but for a second one after a signature that was too old.

    Args:
        base_url: address of the API, without its query.
        app_id: the project.
        server_secret: what calls are signed with.
        turn: waited for before every try.

    Raises:
        ProviderRejected: the ServerSecret cannot be right, for example because a line end was copied with it.
    """

    def __init__(self, *, base_url: str, app_id: int, server_secret: str, turn: Turn) -> None:
        if not server_secret or server_secret != server_secret.strip():
            raise ProviderRejected(
                f"the ServerSecret of {PROVIDER} is empty, or begins or ends with a blank or a line end.",
                provider=PROVIDER,
                fix="Copy it again into the ZEGO credentials block, without blanks around it.",
            )
        self._app_id, self._secret, self._turn = app_id, server_secret, turn
        self._http = ApiClient(PROVIDER, base_url, dict, body_decides=is_envelope)
        self.base_url = self._http.base_url
        self.own_network = own_network(self.base_url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    def with_turn(self, turn: Turn) -> "ZegoApi":
        """The same account, with another turn."""
        api = copy(self)
        api._turn = turn  # noqa: SLF001 - its own copy
        return api

    async def read(self, call: Call, model: type[M]) -> tuple[M, Answer]:
        """Make a call whose answer has ``Data``.

        Raises:
            ProviderUnavailable: also where ``Data`` is no object.
            ProviderError: what ``make`` raises.
        """
        data, answer = await self.make(call)
        return read_answer(model, data, call=call.action, **facts_of(answer, call.task_id)), answer

    async def make(self, call: Call) -> tuple[JsonValue, Answer]:
        """Make a call; the answer's ``Data``, and the answer for errors about it.

        Raises:
            ProviderError: as ``open_envelope`` and the HTTP client say.
        """
        try:
            return await self._try(call)
        except SignatureExpired as error:
            # It may have waited on its way; a second refusal is about the clock.
            log.warning("call repeated with a fresh signature action=%s cause=%s", call.action, error)
        return await self._try(call)

    async def _try(self, call: Call) -> tuple[JsonValue, Answer]:
        await self._turn(call.action)
        params = signed_params(self._app_id, self._secret, call.action, now=time.time())
        send = self._http.submit if call.opens_stream else self._http.ask
        secrets = (*call.private, self._secret, params["Signature"])
        async with _explained(call):
            answer = await send(_PATH, call.body, params, hidden=secrets)
            warn_of_skew(answer.date, datetime.now(UTC))
            # Before anything of it is cut off: half of a secret would not be found any more.
            clean = replace(answer, body=_without(secrets, answer.body))
            return open_envelope(clean, call.action, call.task_id), clean


@asynccontextmanager
async def _explained(call: Call) -> AsyncIterator[None]:
    """Name action and task in errors: the path says nothing to people, as all actions have one."""
    try:
        yield
    except ProviderError as error:
        error.message = error.message.replace(f"POST {_PATH}", call.action, 1)
        error.args = (error.message,)
        error.job_id = error.job_id or call.task_id
        raise


def _without(secrets: Collection[str], said: Any) -> Any:
    """What the vendor wrote; refusals tend to quote what they refuse."""
    if isinstance(said, str):
        for secret in secrets:
            said = said.replace(secret, _HIDDEN)
        return said
    if isinstance(said, list):
        return [_without(secrets, item) for item in said]
    if isinstance(said, dict):
        return {_without(secrets, name): _without(secrets, item) for name, item in said.items()}
    return said
