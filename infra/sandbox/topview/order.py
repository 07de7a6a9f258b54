"""The rules of TopView's submit, field by field (its submit page). Nothing is charged before they hold."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from infra.sandbox.gate import Refused
from infra.sandbox.guesses import MODES_FOR_PHOTOS, SPEED_FIELD
from infra.sandbox.topview.envelope import (
    BAD_FORMAT,
    BAD_PARAMETER,
    MISSING,
    NOT_FOUND,
    choice,
    flag,
    needed_text,
    text,
)
from infra.sandbox.topview.stock import ALL_VOICES, CAPTIONS

UPLOADED_VIDEO, PUBLIC, PRIVATE, PHOTO = "0", "1", "2", "3"
UPLOADED_AUDIO, SCRIPT = "0", "1"

Body = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """A submit that keeps all rules, so far as they can be seen without the files."""

    source: str
    audio: str
    mode: str
    saves: bool
    video_file: str | None
    image_file: str | None
    avatar: str | None
    audio_file: str | None
    script: str | None
    voice: str | None
    speed: float
    notice_url: str | None


def read_order(body: Body, public: Collection[str], private: Collection[str]) -> Order:
    """Read and judge the body of a submit.

    Args:
        body: as it came.
        public: ids of the public avatars.
        private: ids of the account's own avatars.

    Raises:
        Refused: 4003 for a field that is missing, 4000 for a value or a combination that is not allowed, 4001 for a
            wrong type, 4004 for an id that does not exist.
    """
    source = _needed_choice(body, "avatarSourceFrom", "0123")
    audio = _needed_choice(body, "audioSourceFrom", "01")
    mode = _mode(body, source)
    saves = flag(body, "isSave2CustomAiAvatar")
    order = Order(
        source=source,
        audio=audio,
        mode=mode,
        saves=saves,
        video_file=_only_if(body, "videoFileId", wanted=source == UPLOADED_VIDEO),
        image_file=_only_if(body, "imageFileId", wanted=source == PHOTO),
        avatar=_only_if(body, "aiAvatarId", wanted=source in {PUBLIC, PRIVATE}),
        audio_file=_only_if(body, "audioFileId", wanted=audio == UPLOADED_AUDIO),
        script=_only_if(body, "ttsText", wanted=audio == SCRIPT),
        voice=_voice(body, source, audio),
        speed=_speed(body, audio),
        notice_url=notice_address(body, needed=False),
    )
    if order.avatar and order.avatar not in (public if source == PUBLIC else private):
        raise Refused(NOT_FOUND, "aiAvatarId does not exist")
    _check_caption(body, captions_are_drawn=source == PUBLIC or (source == UPLOADED_VIDEO and saves))
    return order


def notice_address(body: Body, *, needed: bool) -> str | None:
    """The ``noticeUrl``; raises ``Refused`` for what is no http address."""
    url = needed_text(body, "noticeUrl") if needed else text(body, "noticeUrl")
    try:
        good = url is None or (urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname))
    except ValueError:
        good = False
    if not good:
        raise Refused(BAD_PARAMETER, "noticeUrl must be an http or https address")
    return url


def _needed_choice(body: Body, name: str, allowed: str) -> str:
    value = choice(body, name, allowed)
    if value is None:
        raise Refused(MISSING, f"Required parameter is null: {name}")
    return value


def _only_if(body: Body, name: str, *, wanted: bool) -> str | None:
    """A text that must be there when its source is chosen, and must not be there otherwise."""
    if wanted:
        return needed_text(body, name)
    if text(body, name) is not None:
        raise Refused(BAD_PARAMETER, f"{name} does not go with the chosen source")
    return None


def _mode(body: Body, source: str) -> str:
    mode = choice(body, "modeType", "012")
    if source == PHOTO and mode is None:
        raise Refused(MISSING, "Required parameter is null: modeType")
    fits = mode in MODES_FOR_PHOTOS if source == PHOTO else mode in {None, "0", "1"}
    if not fits:
        raise Refused(BAD_PARAMETER, f"modeType {mode} does not go with avatarSourceFrom {source}")
    return mode or "0"


def _voice(body: Body, source: str, audio: str) -> str | None:
    """A public avatar has a voice of its own; anybody else needs one to say a text."""
    voice = text(body, "voiceoverId")
    if audio != SCRIPT:
        if voice is not None:
            raise Refused(BAD_PARAMETER, "voiceoverId goes with audioSourceFrom 1 only")
        return None
    if voice is None and source != PUBLIC:
        raise Refused(MISSING, "Required parameter is null: voiceoverId")
    if voice is not None and voice not in ALL_VOICES:
        raise Refused(NOT_FOUND, "voiceoverId does not exist")
    return voice


def _speed(body: Body, audio: str) -> float:
    given = body.get(SPEED_FIELD)
    if given is None:
        return 1.0
    try:
        speed = float(given)
    except (TypeError, ValueError) as error:
        raise Refused(BAD_FORMAT, f"{SPEED_FIELD} must be a number") from error
    if audio != SCRIPT or not 0.8 <= speed <= 1.2:
        raise Refused(BAD_PARAMETER, f"{SPEED_FIELD} must be 0.8 to 1.2, and goes with audioSourceFrom 1 only")
    return speed


def _check_caption(body: Body, *, captions_are_drawn: bool) -> None:
    caption = text(body, "captionId")
    if caption is None:
        return
    if not captions_are_drawn:
        raise Refused(BAD_PARAMETER, "captionId does not go with the chosen source")
    if caption not in {row["captionId"] for row in CAPTIONS}:
        raise Refused(NOT_FOUND, "captionId does not exist")
