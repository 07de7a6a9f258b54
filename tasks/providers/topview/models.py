"""TopView's answers, read leniently, and its submit body, checked strictly before anything is sent."""

from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from tasks.providers.topview.contract import Documented

AVATAR1, AVATAR2, AVATAR4 = "0", "1", "2"


class UploadCredential(Documented):
    """Section 3.1: where one file may be put, for an unknown time."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"format"})

    file_id: str | None = None
    upload_url: str | None = Field(None, repr=False)
    file_name: str | None = None
    format: str | None = None


class Accepted(Documented):
    """Section 4: the answer to a submission."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"status", "errorMsg", "subTaskId", "noticeUuid"})

    task_id: str | None = None
    status: str | None = None
    error_msg: str | None = None
    sub_task_id: str | None = None
    notice_uuid: str | None = None


class TaskAnswer(Documented):
    """Section 5: how a task is. Fields that were only observed may miss."""

    may_miss: ClassVar[frozenset[str]] = frozenset(
        {"errorMsg", "outputVideoUrl", "inputVideoFileId", "inputAudioFileId", "inputImageFileId", "costCredit"}
    )

    task_id: str | None = None
    status: str | None = None
    error_msg: str | None = None
    output_video_url: str | None = Field(None, repr=False)
    input_video_file_id: str | None = None
    input_audio_file_id: str | None = None
    input_image_file_id: str | None = None
    cost_credit: Any = None


class Ethnicity(Documented):
    """Section 7."""

    ethnicity_id: str | None = None
    ethnicity_name: str | None = None


class AiAvatar(Documented):
    """Section 7: an avatar of TopView or of the account. Its id is ``aiavatarId`` here and ``aiAvatarId`` when sent."""

    may_miss: ClassVar[frozenset[str]] = frozenset(
        {"gender", "ethnicities", "voiceoverIdDefault", "faceSquareConfig", "type", "coverUrl", "previewVideoUrl"}
    )

    aiavatar_id: str | None = None
    aiavatar_name: str | None = None
    gender: str | None = None
    cover_url: str | None = Field(None, repr=False)
    preview_video_url: str | None = Field(None, repr=False)
    ethnicities: list[Ethnicity] | None = None
    voiceover_id_default: str | None = None
    face_square_config: Any = Field(None, repr=False)
    type: Any = None


class AvatarTask(Documented):
    """Section 7: how the making of a private avatar is."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"errorMsg", "aiAvatar", "costCredit"})

    task_id: str | None = None
    status: str | None = None
    error_msg: str | None = None
    ai_avatar: AiAvatar | None = None
    cost_credit: Any = None


class Voice(Documented):
    """Section 7: a voice; its id is ``voiceId`` here and ``voiceoverId`` when sent."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"gender", "age", "style", "accent", "demoAudioUrl"})

    voice_id: str | None = None
    voice_name: str | None = None
    language: str | None = None
    gender: str | None = None
    age: str | None = None
    style: str | None = None
    accent: str | None = None
    demo_audio_url: str | None = Field(None, repr=False)


class Caption(Documented):
    """Section 7: a style of captions; the page does not list all its fields."""

    is_whole: ClassVar[bool] = False
    may_miss: ClassVar[frozenset[str]] = frozenset({"thumbnail"})

    caption_id: str | None = None
    thumbnail: str | None = Field(None, repr=False)


class CreditBalance(Documented):
    """Section 10: what is left. The map of API keys is not read."""

    may_come: ClassVar[frozenset[str]] = frozenset({"uid", "apiKeyMap"})

    remain_credit: Any = None
    expired_time: Any = None


class CreditRow(Documented):
    """Section 10: one charge. The log holds user id and API key in clear; they are not read."""

    may_come: ClassVar[frozenset[str]] = frozenset({"uid", "apiKey"})

    date: Any = None
    cost_credit: Any = None
    task_id: str | None = None
    task_type: str | None = None


class SubmitBody(BaseModel):
    """Section 4: the body of a submission, with every conditional rule of the page.

    ``modeType`` 2 is not on the page; whether it may be used is the settings' affair.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)

    avatar_source_from: Literal["0", "1", "2", "3"]
    video_file_id: str | None = Field(None, min_length=1)
    ai_avatar_id: str | None = Field(None, min_length=1)
    image_file_id: str | None = Field(None, min_length=1)
    mode_type: Literal["0", "1", "2"]
    audio_source_from: Literal["0", "1"]
    audio_file_id: str | None = Field(None, min_length=1)
    tts_text: str | None = Field(None, min_length=1)
    voiceover_id: str | None = Field(None, min_length=1)
    caption_id: str | None = Field(None, min_length=1)
    is_save2_custom_ai_avatar: Literal[True] | None = Field(None, alias="isSave2CustomAiAvatar")
    notice_url: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _follows_the_page(self) -> Self:
        source = self.avatar_source_from
        wanted = {"0": "videoFileId", "1": "aiAvatarId", "2": "aiAvatarId", "3": "imageFileId"}[source]
        given = {
            "videoFileId": self.video_file_id,
            "aiAvatarId": self.ai_avatar_id,
            "imageFileId": self.image_file_id,
        }
        if {name for name, value in given.items() if value} != {wanted}:
            raise ValueError(f"avatarSourceFrom {source} takes {wanted} and no other avatar")
        if source == "3" and self.mode_type == AVATAR1:
            raise ValueError("avatarSourceFrom 3 takes modeType 1")
        if self.audio_source_from == "0":
            if not self.audio_file_id or self.tts_text or self.voiceover_id:
                raise ValueError("audioSourceFrom 0 takes audioFileId, no ttsText and no voiceoverId")
        elif not self.tts_text or self.audio_file_id:
            raise ValueError("audioSourceFrom 1 takes ttsText and no audioFileId")
        elif not self.voiceover_id and source != "1":
            raise ValueError("ttsText takes voiceoverId, except with a public avatar")
        if self.caption_id and source != "1" and not (source == "0" and self.is_save2_custom_ai_avatar):
            raise ValueError("captionId takes a public avatar, or a video that is saved")
        if self.is_save2_custom_ai_avatar and source != "0":
            raise ValueError("isSave2CustomAiAvatar takes an uploaded video")
        return self


BODY_FIELDS = frozenset(field.alias or name for name, field in SubmitBody.model_fields.items())
"""The fields of the page; the field of the speaking rate must be none of them."""
