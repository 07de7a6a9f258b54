"""TopView's rules, checked before anything is uploaded or paid; sections are those of the vendor page."""

from dataclasses import dataclass

from tasks.errors import Problem
from tasks.models import (
    ClipAvatar,
    CustomAvatar,
    PortraitAvatar,
    RecordingSpeech,
    RenderRequest,
    ScriptSpeech,
    StockAvatar,
)
from tasks.providers.base import MediaSet
from tasks.providers.common import too_short
from tasks.providers.topview.assumptions import AVATAR2_SECONDS, AVATAR4_AVATARS, AVATAR4_SECONDS
from tasks.providers.topview.models import AVATAR1, AVATAR2, AVATAR4, BODY_FIELDS

SLOWEST, FASTEST = 0.8, 1.2

MODE_TYPES = {"avatar1": AVATAR1, "avatar2": AVATAR2, "avatar4": AVATAR4}
_LONGEST_SPEECH = {"avatar2": AVATAR2_SECONDS, "avatar4": AVATAR4_SECONDS}

# Section 3.1, by what the studio's own look into a file calls it.
_FORMATS = {
    "avatar.image": ("png", "jpg", "jpeg", "bmp", "webp"),
    "avatar.video": ("mp4", "mov"),
    "speech.audio": ("mp3", "wav", "m4a"),
}


@dataclass(frozen=True)
class Options:
    """What the operator allows and knows.

    Args:
        speed_field: field in which the speaking rate is sent; empty sends none.
        allow_avatar4: whether the undocumented mode may be used.
    """

    speed_field: str = ""
    allow_avatar4: bool = False


def mode_of(request: RenderRequest) -> str:
    """The mode that a request asks for: avatar1, avatar2 or avatar4; 'auto' follows from the avatar."""
    if request.topview.mode != "auto":
        return request.topview.mode
    return "avatar2" if isinstance(request.avatar, PortraitAvatar) else "avatar1"


def request_problems(request: RenderRequest, options: Options) -> list[Problem]:
    """The rules that the request alone decides."""
    problems = [*_mode_problems(request, options), *_caption_problems(request), *_saving_problems(request)]
    if isinstance(request.speech, ScriptSpeech):
        problems += _voice_problems(request, request.speech) + _speed_problems(request.speech, options)
    return problems


def media_problems(request: RenderRequest, media: MediaSet) -> list[Problem]:
    """The rules that the media decide: formats that can be uploaded, and the length of the speech."""
    problems = []
    avatar, recording = media.get("avatar"), media.get("speech")
    if avatar is not None:
        field = "avatar.image" if isinstance(request.avatar, PortraitAvatar) else "avatar.video"
        problems += _format_problems(field, avatar.extension)
    if isinstance(request.speech, RecordingSpeech) and recording is not None:
        problems += _format_problems("speech.audio", recording.extension)
        problems += _length_problems(mode_of(request), recording.seconds) + too_short(recording)
    return problems


def _mode_problems(request: RenderRequest, options: Options) -> list[Problem]:
    mode, is_portrait = mode_of(request), isinstance(request.avatar, PortraitAvatar)
    if mode == "avatar1" and is_portrait:
        return [
            Problem(
                "topview.mode",
                "avatar1 only changes the mouth of filmed footage; it takes no portrait.",
                "Choose avatar2 or auto, or give a clip.",
            )
        ]
    if mode != "avatar4":
        return []
    problems = []
    if not options.allow_avatar4:
        problems.append(
            Problem(
                "topview.mode",
                "avatar4 is not documented for this endpoint and not allowed in this studio.",
                "Choose avatar2, or let the operator set STUDIO_TOPVIEW_AVATAR4=true.",
            )
        )
    if request.avatar.kind not in AVATAR4_AVATARS:
        problems.append(
            Problem(
                "topview.mode",
                f"avatar4 brings pictures to life; it takes no {request.avatar.kind} avatar.",
                "Choose avatar1 or avatar2, or give a portrait.",
            )
        )
    return problems


def _caption_problems(request: RenderRequest) -> list[Problem]:
    options, avatar = request.topview, request.avatar
    if not options.caption_id or isinstance(avatar, StockAvatar):
        return []
    if isinstance(avatar, ClipAvatar):
        if options.save_avatar:
            return []
        fix = "Set topview.save_avatar as well, use a stock avatar, or leave the captions out."
        return [Problem("topview.caption_id", "captions are ignored for a clip that is not kept as an avatar.", fix)]
    return [
        Problem(
            "topview.caption_id",
            f"there are no captions for a {avatar.kind} avatar.",
            "Use a stock avatar, or leave the captions out.",
        )
    ]


def _saving_problems(request: RenderRequest) -> list[Problem]:
    """A portrait is always kept by TopView, so the wish to keep it is granted without being sent."""
    if not request.topview.save_avatar or not isinstance(request.avatar, StockAvatar | CustomAvatar):
        return []
    return [
        Problem(
            "topview.save_avatar",
            f"a {request.avatar.kind} avatar is an avatar already.",
            "Leave it out; it is for clips.",
        )
    ]


def _voice_problems(request: RenderRequest, speech: ScriptSpeech) -> list[Problem]:
    if speech.voice or isinstance(request.avatar, StockAvatar):
        return []
    return [
        Problem(
            "speech.voice",
            f"only stock avatars have a voice of their own; a {request.avatar.kind} avatar needs one for a script.",
            "Take a voice id from `studio catalog topview voices`, or give a recording.",
        )
    ]


def _speed_problems(speech: ScriptSpeech, options: Options) -> list[Problem]:
    if speech.speed == 1:
        return []
    problems = []
    if not SLOWEST <= speech.speed <= FASTEST:
        problems.append(
            Problem(
                "speech.speed",
                f"TopView speaks at {SLOWEST} to {FASTEST}, not at {speech.speed:g}.",
                f"Choose a speed from {SLOWEST} to {FASTEST}.",
            )
        )
    if not options.speed_field:
        problems.append(
            Problem(
                "speech.speed",
                "the name of TopView's field for the speed is not documented, and none is set in this studio.",
                "Leave the speed at 1, or let the operator set STUDIO_TOPVIEW_SPEED_FIELD.",
            )
        )
    elif options.speed_field in BODY_FIELDS:
        problems.append(
            Problem(
                "speech.speed",
                f"STUDIO_TOPVIEW_SPEED_FIELD names {options.speed_field!r}, which means something else to TopView.",
                "Leave the speed at 1, or let the operator correct STUDIO_TOPVIEW_SPEED_FIELD.",
            )
        )
    return problems


def _format_problems(field: str, extension: str) -> list[Problem]:
    allowed = _FORMATS[field]
    if extension in allowed:
        return []
    names = ", ".join(name.upper() for name in allowed)
    return [Problem(field, f"TopView takes no {extension.upper()} file here.", f"Save it as one of {names}.")]


def _length_problems(mode: str, seconds: float | None) -> list[Problem]:
    longest = _LONGEST_SPEECH.get(mode)
    if longest is None or seconds is None or seconds <= longest:
        return []
    fix = "Cut it into several videos" + (", or give a clip and choose avatar1." if mode == "avatar2" else ".")
    return [Problem("speech.audio", f"it lasts {seconds:.1f} s; {mode} takes at most {longest} s.", fix)]
