"""Bytes in and out: the bucket behind upload addresses, and the links to finished videos."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from infra.sandbox.records import Refusal, Upload, Vendor
from infra.sandbox.signing import Signer, xml_error
from infra.sandbox.truth import Truth

_OK = 200


class Bucket:
    """Takes the bytes of uploads, as S3 does behind a signed address.

    Args:
        truth: knows the uploads.
        signer: knows the addresses that were given out.
        folder: where the bytes go.
    """

    def __init__(self, truth: Truth, signer: Signer, folder: Path) -> None:
        self._truth, self._signer, self._folder = truth, signer, folder

    def address(self, origin: str, upload: Upload) -> str:
        """A signed address to PUT the bytes of an upload to."""
        return self._signer.sign("PUT", origin, f"/bucket/topview/{upload.id}", self._truth.knobs.upload_url_seconds)

    def path(self, upload: Upload) -> Path:
        """Where the bytes of an upload are."""
        return self._folder / f"{upload.id}.{upload.format}"

    async def put(self, request: Request) -> Response:
        """Store one upload, as a whole or not at all."""
        refusal = self._judge(request)
        if refusal:
            status, code, message = refusal
            self._truth.add_refusal(Refusal(vendor="topview", call="upload_put", code=str(status), message=code))
            return xml_error(status, code, message)
        upload = self._truth.uploads[request.path_params["file_id"]]
        part = self._folder / f"{upload.id}.part"
        digest, size = hashlib.sha256(), 0
        try:
            with part.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
                    digest.update(chunk)
                    size += len(chunk)
        except ClientDisconnect:
            part.unlink()
            raise
        part.rename(self.path(upload))
        self._truth.save_upload(upload.model_copy(update={"size": size, "sha256": digest.hexdigest()}))
        return Response(status_code=_OK, headers={"ETag": f'"{digest.hexdigest()[:32]}"'})

    def _judge(self, request: Request) -> tuple[int, str, str] | None:
        """Status, code and message of what is wrong with an upload, before its bytes are read."""
        fault = self._signer.find_fault("PUT", request.url.path, request.query_params)
        if fault:
            return 403, fault, "Request has expired" if fault == "AccessDenied" else "The signature does not match"
        if "authorization" in request.headers or "topview-uid" in request.headers:
            return 400, "InvalidArgument", "Only one way to authorize is allowed: the signed address"
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "MissingContentLength", "You must provide the Content-Length HTTP header"
        if int(length) > self._truth.knobs.max_input_bytes:
            return 400, "EntityTooLarge", "The upload exceeds the largest allowed size"
        return None


class Results:
    """Hands out finished videos, for as long as their links live.

    Args:
        truth: knows how long that is.
        signer: signs the links.
        folder: where the videos are, in a folder for each vendor.
    """

    def __init__(self, truth: Truth, signer: Signer, folder: Path) -> None:
        self._truth, self._signer, self._folder = truth, signer, folder

    def link(self, origin: str, vendor: Vendor, name: str) -> str:
        """A fresh link to a video."""
        return self._signer.sign("GET", origin, f"/files/{vendor}/{name}", self._truth.knobs.link_seconds)

    def getter(self, vendor: Vendor) -> Callable[[Request], Awaitable[Response]]:
        """The download call of a vendor, which sends a video or the range of it that is asked for."""

        async def get(request: Request) -> Response:
            fault = self._signer.find_fault("GET", request.url.path, request.query_params)
            if fault:
                self._truth.add_refusal(Refusal(vendor=vendor, call="result", code="403", message=fault))
                return _denied(fault)
            # The path is signed, so it is one that was given out.
            path = self._folder / vendor / request.path_params["name"]
            if not path.is_file():
                return xml_error(404, "NoSuchKey", "The specified key does not exist")
            return FileResponse(path, media_type="video/mp4")

        return get


def _denied(fault: str) -> Response:
    stale = fault == "AccessDenied"
    return xml_error(403, fault, "Request has expired" if stale else "The signature does not match the request")
