"""What a TopView job needs while it runs, and what follows from its success."""

from decimal import Decimal
from typing import Any

from infra.sandbox.files import Bucket
from infra.sandbox.guesses import SPEED_FIELD
from infra.sandbox.material import Material
from infra.sandbox.records import Job, PrivateAvatar, Upload
from infra.sandbox.topview.notices import NoticeSender
from infra.sandbox.topview.order import PHOTO, UPLOADED_VIDEO
from infra.sandbox.topview.pricing import price
from infra.sandbox.topview.stock import ALL_VOICES, PUBLIC_AVATARS
from infra.sandbox.topview.uploads import PICTURES
from infra.sandbox.truth import Truth

_ZERO_SHOT, _PHOTO = 1, 2


class TopViewJobs:
    """Videos from uploads and stock; private avatars; notices."""

    def __init__(self, truth: Truth, bucket: Bucket, notices: NoticeSender) -> None:
        self._truth, self._bucket, self._notices = truth, bucket, notices

    async def gather(self, job: Job) -> Material | None:
        """All inputs are here already."""
        if job.call == "avatar_submit":
            return None
        avatar_id = job.body.get("aiAvatarId")
        voice_id = job.body.get("voiceoverId") or PUBLIC_AVATARS.get(avatar_id or "", {}).get("voiceoverIdDefault")
        face = self._face(job)
        recording = self._upload(job.body.get("audioFileId"))
        is_picture = face is not None and face.format in PICTURES
        return Material(
            look=face.id if face else str(avatar_id),
            picture=self._bucket.path(face) if face and is_picture else None,
            footage=self._bucket.path(face) if face and not is_picture else None,
            recording=self._bucket.path(recording) if recording else None,
            script=str(job.body.get("ttsText") or ""),
            language=ALL_VOICES[voice_id]["language"] if voice_id else "en",
            speed=float(job.body.get(SPEED_FIELD) or 1.0),
        )

    def _face(self, job: Job) -> Upload | None:
        """The picture or footage of who speaks, None for an avatar in stock."""
        made = self._truth.avatars.get(str(job.body.get("aiAvatarId")))
        return self._upload(made.upload_id if made else job.body.get("imageFileId") or job.body.get("videoFileId"))

    def _upload(self, file_id: Any) -> Upload | None:
        return self._truth.uploads.get(str(file_id))

    def price(self, job: Job, seconds: float) -> Decimal:
        """Credits, fixed on success."""
        return price(str(job.body.get("modeType") or "0"), seconds)

    def complete(self, job: Job) -> None:
        """Keep the person as a private avatar: on request, and always for a photo."""
        upload_id = job.body.get("imageFileId") or job.body.get("videoFileId")
        source = str(job.body.get("avatarSourceFrom"))
        asked = source == UPLOADED_VIDEO and job.body.get("isSave2CustomAiAvatar") in (True, "true")
        if not upload_id or not (asked or source == PHOTO or job.call == "avatar_submit"):
            return
        job.avatar_id = f"p-{job.id}"
        kind = _PHOTO if source == PHOTO else _ZERO_SHOT
        name = f"Avatar {len(self._truth.avatars) + 1}"
        self._truth.save_avatar(PrivateAvatar(id=job.avatar_id, name=name, upload_id=str(upload_id), type=kind))

    async def report(self, job: Job) -> None:
        """Send the notice that was asked for."""
        await self._notices.send(job)
