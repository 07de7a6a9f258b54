"""Upload credential and upload check (TopView's upload pages); the bytes go to the bucket."""

import uuid
from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.sandbox.files import Bucket
from infra.sandbox.gate import Gate, Refused
from infra.sandbox.records import Upload
from infra.sandbox.signing import origin_of
from infra.sandbox.topview.envelope import BAD_PARAMETER, NOT_FOUND, flag, needed_text, success
from infra.sandbox.truth import Truth

VIDEOS = frozenset({"mp4", "mov", "avi"})
PICTURES = frozenset({"png", "jpg", "jpeg", "bmp", "webp"})
SOUNDS = frozenset({"mp3", "wav", "m4a"})


class Uploads:
    """Gives out file ids and addresses, and knows which files came."""

    def __init__(self, truth: Truth, bucket: Bucket) -> None:
        self._truth, self.bucket = truth, bucket

    def routes(self, gate: Gate) -> list[Route]:
        """The two calls."""
        return [
            Route("/v1/upload/credential", gate.guard("upload_credential", self.give_credential)),
            Route("/v1/upload/check", gate.guard("upload_check", self.check)),
        ]

    async def give_credential(self, request: Request) -> Response:
        """A file id and the address to PUT its bytes to."""
        extension = needed_text(request.query_params, "format").lower()
        flag(request.query_params, "needAccelerateUrl")
        if extension not in VIDEOS | PICTURES | SOUNDS:
            raise Refused(BAD_PARAMETER, f"Unsupported format: {extension}")
        upload = Upload(id=uuid.uuid4().hex, format=extension)
        self._truth.save_upload(upload)
        address = self.bucket.address(origin_of(request), upload)
        name = f"{upload.id}.{extension}"
        return success({"fileId": upload.id, "uploadUrl": address, "fileName": name, "format": extension})

    async def check(self, request: Request) -> Response:
        """Whether the bytes of a file are there."""
        upload = self._truth.uploads.get(needed_text(request.query_params, "fileId"))
        if upload is None:
            raise Refused(NOT_FOUND, "The fileId does not exist")
        return success(upload.sha256 is not None)

    def stored(self, field: str, file_id: str, formats: Collection[str]) -> Upload:
        """An upload that is there and of a fitting format; raises ``Refused``."""
        upload = self._truth.uploads.get(file_id)
        if upload is None or upload.sha256 is None:
            raise Refused(NOT_FOUND, f"{field} does not exist")
        if upload.format not in formats:
            raise Refused(BAD_PARAMETER, f"{field} has the format {upload.format}")
        return upload
