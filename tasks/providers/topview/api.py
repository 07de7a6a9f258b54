"""One account at TopView over HTTP: its headers, its envelope, and no secret in anything that leaves here."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from tasks.errors import ProviderError, ProviderRejected
from tasks.http import Answer, ApiClient, own_network
from tasks.providers.topview.contract import PROVIDER
from tasks.providers.topview.envelope import open_envelope

_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
_HIDDEN = "[hidden]"
# Shorter texts stand in ordinary words and numbers too.
_SHORTEST_HIDDEN = 6


class TopViewApi:
    """Makes the calls of one account, one try each.

    Args:
        base_url: address of the API, without ``/v1``.
        uid: the account's user id.
        api_key: the account's key.

    Raises:
        ProviderRejected: user id or key cannot be sent, for example because a line end was copied with it.
    """

    def __init__(self, base_url: str, uid: str, api_key: str) -> None:
        for name, value in (("user id", uid), ("API key", api_key)):
            if not _HEADER_SAFE.fullmatch(value):
                raise ProviderRejected(
                    f"the {name} of {PROVIDER} is empty, or holds blanks, line ends or signs that no header can carry.",
                    provider=PROVIDER,
                    fix="Copy it again into the TopView credentials block, without blanks around it.",
                )
        self._secrets = [value for value in (api_key, uid) if len(value) >= _SHORTEST_HIDDEN]
        headers = {"Topview-Uid": uid, "Authorization": f"Bearer {api_key}"}
        self._http = ApiClient(PROVIDER, base_url, lambda: headers)
        self.base_url = self._http.base_url
        self.own_network = own_network(self.base_url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r})"

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, call: str, job_id: str = ""
    ) -> tuple[JsonValue, Answer]:
        """GET, and take the result out of the envelope. Raises what ``open_envelope`` and the HTTP client raise."""
        async with self._without_secrets():
            return self._opened(await self._http.query(path, params), call, job_id)

    async def post(self, path: str, body: Mapping[str, JsonValue], *, call: str) -> tuple[JsonValue, Answer]:
        """POST what costs nothing."""
        async with self._without_secrets():
            return self._opened(await self._http.ask(path, body), call)

    async def post_paid(self, path: str, body: Mapping[str, JsonValue], *, call: str) -> tuple[JsonValue, Answer]:
        """POST what may cost money, on a connection of its own."""
        async with self._without_secrets():
            return self._opened(await self._http.submit(path, body), call)

    def _opened(self, answer: Answer, call: str, job_id: str = "") -> tuple[JsonValue, Answer]:
        clean = replace(answer, body=self._hide(answer.body))
        return open_envelope(clean, call=call, job_id=job_id), clean

    @asynccontextmanager
    async def _without_secrets(self) -> AsyncIterator[None]:
        """Keep the key out of errors: they quote what a server said, and a server may quote the key."""
        try:
            yield
        except ProviderError as error:
            error.message = self._hide_in(error.message)
            error.request_id = self._hide_in(error.request_id)
            error.args = (error.message,)
            raise

    def _hide(self, value: Any) -> Any:
        """An answer without the account's secrets, as deep as they may be; the credit log holds the key in clear."""
        if isinstance(value, str):
            return self._hide_in(value)
        if isinstance(value, list):
            return [self._hide(item) for item in value]
        if isinstance(value, dict):
            return {self._hide_in(name): self._hide(item) for name, item in value.items()}
        return value

    def _hide_in(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return text
