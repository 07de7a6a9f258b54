"""Every call of TopView's Video Avatar pages, one try each; sections are those of the vendor page."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from tasks.errors import ProviderRejected
from tasks.http import FetchRefused, put_file
from tasks.providers.topview.api import TopViewApi
from tasks.providers.topview.assumptions import LOGGED_TASK_TYPE, log_time
from tasks.providers.topview.catalogs import Catalogs
from tasks.providers.topview.contract import PROVIDER, note, read_answer, unreadable
from tasks.providers.topview.envelope import NOT_FOUND
from tasks.providers.topview.models import (
    Accepted,
    AvatarTask,
    CreditBalance,
    CreditRow,
    TaskAnswer,
    UploadCredential,
)
from tasks.providers.topview.paging import read_pages


class TopViewClient:
    """One account at TopView. All calls raise ``ProviderError`` subclasses.

    Args:
        base_url: address of the API, without ``/v1``.
        uid: the account's user id.
        api_key: the account's key.

    Raises:
        ProviderRejected: user id or key cannot be sent.
    """

    def __init__(self, *, base_url: str, uid: str, api_key: str) -> None:
        self._api = TopViewApi(base_url, uid, api_key)
        self.base_url = self._api.base_url
        self.own_network = self._api.own_network
        self.catalogs = Catalogs(self._api)

    def __repr__(self) -> str:
        return f"TopViewClient(base_url={self.base_url!r})"

    async def upload_credential(self, extension: str) -> UploadCredential:
        """Section 3.1: ask where a file with this extension may be put.

        Raises:
            ProviderUnavailable: the answer names no file or no address.
        """
        call = "upload_credential"
        raw, answer = await self._api.get("/v1/upload/credential", {"format": extension}, call=call)
        credential = read_answer(UploadCredential, raw, call=call)
        if not credential.file_id or not credential.upload_url:
            raise unreadable(call, "no fileId or no uploadUrl", status=answer.status, request_id=answer.request_id)
        return credential

    async def put(self, upload_url: str, path: Path) -> None:
        """Section 3.2: bring the bytes to the storage, without the account's headers.

        Raises:
            ProviderRejected: the storage refused them, or the address must not be connected to.
            ProviderUnavailable: the connection broke or the storage is in trouble.
        """
        try:
            await put_file(upload_url, path, provider=PROVIDER, allow_private=self.own_network)
        except FetchRefused as refused:
            raise ProviderRejected(
                f"{PROVIDER} gave an upload address that is not connected to: {refused.message}",
                provider=PROVIDER,
                fix="Check the base URL in the TopView credentials block.",
            ) from refused

    async def is_stored(self, file_id: str) -> bool:
        """Section 3.3: whether the bytes have arrived."""
        call = "upload_check"
        try:
            raw, _ = await self._api.get("/v1/upload/check", {"fileId": file_id}, call=call)
        except ProviderRejected as error:
            if error.code != NOT_FOUND:
                raise
            return False
        if not isinstance(raw, bool):
            note(call, "result is not true or false")
        return raw is True or raw == "true"

    async def submit(self, body: Mapping[str, JsonValue]) -> Accepted:
        """Section 4: start a render; costs credits.

        Raises:
            ProviderUnavailable: nobody knows whether it was accepted, also where the answer names no task.
        """
        return await self._start("/v1/video_avatar/task/submit", body, "submit")

    async def query(self, task_id: str) -> TaskAnswer:
        """Section 5: ask how a render is; the link to the video leads to the faster network.

        Raises:
            JobUnknown: the account has no such task.
            ProviderUnavailable: also where the answer is about another task.
        """
        call = "query"
        params = {"taskId": task_id, "needCloudFrontUrl": "true"}
        raw, http = await self._api.get("/v1/video_avatar/task/query", params, call=call, job_id=task_id)
        answer = read_answer(TaskAnswer, raw, call=call, job_id=task_id)
        if answer.task_id not in {None, task_id}:
            raise unreadable(call, "another task", status=http.status, request_id=http.request_id, job_id=task_id)
        return answer

    async def check_notice_url(self, url: str) -> JsonValue:
        """Section 6.1: let TopView look at a webhook address; what the result means is not documented.

        Raises:
            ProviderRejected: TopView does not like it.
        """
        raw, _ = await self._api.post("/notice/notice_url/check", {"noticeUrl": url}, call="notice_check")
        return raw

    async def submit_avatar(self, video_file_id: str, *, notice_url: str = "") -> Accepted:
        """Section 7: make a private avatar from an uploaded video; may cost credits."""
        body: dict[str, JsonValue] = {"videoFileId": video_file_id}
        if notice_url:
            body["noticeUrl"] = notice_url
        return await self._start("/v1/common_task/video2aiAvatar/submit", body, "avatar_submit")

    async def query_avatar(self, task_id: str) -> AvatarTask:
        """Section 7: ask how the making of a private avatar is.

        Raises:
            JobUnknown: the account has no such task.
        """
        call = "avatar_query"
        params = {"taskId": task_id}
        raw, _ = await self._api.get("/v1/common_task/video2aiAvatar/query", params, call=call, job_id=task_id)
        return read_answer(AvatarTask, raw, call=call, job_id=task_id)

    async def credit_balance(self) -> CreditBalance:
        """Section 10: how many credits are left, and until when."""
        call = "credit_detail"
        raw, _ = await self._api.get("/user/credit/detail", call=call)
        return read_answer(CreditBalance, raw, call=call)

    def credit_log(self, since: datetime, *, task_type: str = LOGGED_TASK_TYPE) -> AsyncIterator[CreditRow]:
        """Section 10: what was charged since then; pages are read while the rows are taken."""
        params = {"taskType": task_type, "startTime": log_time(since)}
        return read_pages(self._api, "/user/credit/logs", params, CreditRow, call="credit_logs")

    async def _start(self, path: str, body: Mapping[str, JsonValue], call: str) -> Accepted:
        raw, answer = await self._api.post_paid(path, body, call=call)
        facts: dict[str, Any] = {"status": answer.status, "request_id": answer.request_id}
        accepted = read_answer(Accepted, raw, call=call, **facts)
        if not accepted.task_id:
            raise unreadable(call, "no taskId", **facts)
        return accepted
