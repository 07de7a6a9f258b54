"""mingyan's two calls, one try each, with errors that say whether they may be made again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import JsonValue

from tasks.errors import JobUnknown, ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from tasks.http import Answer, ApiClient
from tasks.providers.mingyan.assumptions import NO_FUNDS, REFUSING_CODES, WRONG_ADDRESS
from tasks.providers.mingyan.models import PROVIDER, Call, CreateVideo, GatewayError, VideoAnswer, read_answer

PREFIX = "kyyReactApiServer"
TOO_FAST, TIMED_OUT = 429, 408
LATER = "Run the request again later."
TOP_UP = "Top up the account, then run the request again."


def normal_base_url(address: str) -> str:
    """The address with the gateway's prefix exactly once: its pages print it both in base address and in paths.

    Whatever follows the prefix is dropped, so that an address copied with a path of the pages works too.
    """
    parts = urlsplit(address.strip())
    folders = [folder for folder in parts.path.split("/") if folder]
    if PREFIX in folders:
        folders = folders[: folders.index(PREFIX)]
    return "/".join([f"{parts.scheme}://{parts.netloc}", *folders, PREFIX])


class MingyanClient:
    """Calls of one account.

    Args:
        base_url: address of the gateway, with or without its prefix.
        api_key: the key, without the word Bearer.
    """

    def __init__(self, *, base_url: str, api_key: str) -> None:
        self.base_url = normal_base_url(base_url)
        self._key = api_key
        self._api = ApiClient(PROVIDER, self.base_url, self._headers)

    def __repr__(self) -> str:
        """Without the key."""
        return f"MingyanClient(base_url={self.base_url!r})"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    async def create_video(self, order: CreateVideo) -> VideoAnswer:
        """POST /v1/digitalHuman/videos. The answer has a job id; the job may have failed already.

        Raises:
            ProviderRejected: refused, or failed at once without a job id.
            ProviderBusy: not accepted now.
            ProviderUnavailable: no usable answer; ``sent`` says whether a job may exist.
        """
        with self._explained():
            answer = await self._api.submit("/v1/digitalHuman/videos", order.body())
            found = self._read(answer, "submit")
            if found.job_id:
                return found
            if found.status == "failed" or NO_FUNDS.search(found.error):
                raise ProviderRejected(
                    f"mingyan refused the job: {found.error or 'no reason given'}.", **_facts_of(answer)
                )
            told = f": {found.error}" if found.error else ""
            raise ProviderUnavailable(
                f"mingyan answered the submission without a job id{told}.", sent=True, **_facts_of(answer)
            )

    async def query_video(self, job_id: str) -> VideoAnswer:
        """GET /v1/result/{id}. The answer has a status.

        Raises:
            JobUnknown: mingyan does not know the job.
            ProviderRejected: the question is refused, for example for the key.
            ProviderBusy: asked too fast.
            ProviderUnavailable: no usable answer.
        """
        with self._explained(job_id):
            answer = await self._api.query(f"/v1/result/{quote(job_id, safe='')}")
            found = self._read(answer, "query")
            if found.job_id and found.job_id != job_id and found.has_own_id:
                raise ProviderUnavailable(
                    f"mingyan answered about job {found.job_id[:80]} instead.", sent=True, **_facts_of(answer)
                )
            if found.status:
                return found
            told = f": {found.error}" if found.error else ""
            raise ProviderUnavailable(f"mingyan answered without a status{told}.", sent=True, **_facts_of(answer))

    def _read(self, answer: Answer, call: Call) -> VideoAnswer:
        found = read_answer(self._without_key(answer.body), call)
        if isinstance(found, GatewayError):
            raise _error_of(found, answer)
        return found

    def _without_key(self, said: JsonValue) -> JsonValue:
        """What the vendor wrote; refusals of keys tend to quote them."""
        if isinstance(said, str):
            return said.replace(self._key, "(key)")
        if isinstance(said, list):
            return [self._without_key(item) for item in said]
        if isinstance(said, dict):
            return {str(self._without_key(name)): self._without_key(item) for name, item in said.items()}
        return said

    @contextmanager
    def _explained(self, job_id: str = "") -> Iterator[None]:
        """Give errors what only this vendor's client knows, and keep the key out of what the vendor quotes."""
        try:
            yield
        except ProviderError as error:
            error.message = str(self._without_key(error.message))
            error.args = (error.message,)
            error.job_id = job_id
            if isinstance(error, ProviderRejected):
                if NO_FUNDS.search(error.message) or error.status == 402:
                    error.fix = TOP_UP
                if job_id and error.status == 404 and WRONG_ADDRESS not in error.message:
                    raise _unknown(error) from error
            raise


def _error_of(found: GatewayError, answer: Answer) -> ProviderError:
    """What an envelope with an error means: only some codes say that nothing was accepted."""
    text = f"mingyan answered with code {found.code}: {found.message.rstrip('.')}."
    facts = _facts_of(answer) | {"code": found.code}
    code = int(found.code) if found.code.isascii() and found.code.isdecimal() else 0
    if NO_FUNDS.search(found.message):
        return ProviderRejected(text, fix=TOP_UP, **facts)
    if code == TOO_FAST:
        return ProviderBusy(text, fix=LATER, **facts)
    if code in REFUSING_CODES and code != TIMED_OUT:
        return ProviderRejected(text, fix="Check the request, and the account in mingyan's console.", **facts)
    return ProviderUnavailable(text, sent=True, fix=LATER, **facts)


def _facts_of(answer: Answer) -> dict[str, Any]:
    return {"provider": PROVIDER, "status": answer.status, "request_id": answer.request_id}


def _unknown(error: ProviderError) -> JobUnknown:
    return JobUnknown(
        f"mingyan does not know job {error.job_id}.",
        provider=PROVIDER,
        status=error.status,
        request_id=error.request_id,
        job_id=error.job_id,
        fix="It is too new, too old, or of another account; look for it in mingyan's console.",
    )
