"""Everything that mingyan would refuse or could not fetch, found before anything is uploaded or paid."""

import logging
from pathlib import Path

import av

from tasks.addresses import why_unfetchable
from tasks.errors import Problem
from tasks.models import ClipAvatar, PortraitAvatar, RecordingSpeech, RenderRequest
from tasks.providers.base import MediaSet, ProbedMedia
from tasks.providers.common import too_short
from tasks.providers.mingyan.assumptions import AUDIO_SURE, AUDIO_UNSURE, CLIP_CODECS, CLIP_CONTAINERS

_EXPORT_SOUND = "Export it as WAV, MP3 or M4A."
_EXPORT_CLIP = "Export it as MP4 (H.264)."

log = logging.getLogger("studio.mingyan")


def request_problems(request: RenderRequest) -> list[Problem]:
    """The rules that the request alone decides: mingyan takes a clip and a recording, nothing else."""
    problems = []
    if isinstance(request.avatar, PortraitAvatar):
        problems.append(
            Problem(
                "avatar.kind",
                "mingyan re-renders the mouth in a clip; it cannot bring a picture to life.",
                "Give a clip of the person, or choose topview or local.",
            )
        )
    elif not isinstance(request.avatar, ClipAvatar):
        problems.append(
            Problem(
                "avatar.kind",
                f"mingyan has no {request.avatar.kind} avatars.",
                "Give a clip of the person, or choose topview.",
            )
        )
    if not isinstance(request.speech, RecordingSpeech):
        problems.append(
            Problem(
                "speech.kind",
                "mingyan has no voices; it takes a recording.",
                "Record it, or choose topview or local, which speak a script.",
            )
        )
    return problems


def address_problems(address: str, *, vendor_is_inside: bool) -> list[Problem]:
    """Whether mingyan can fetch the inputs from the staging bucket.

    Args:
        address: where staged files are read, as http(s)://host[:port].
        vendor_is_inside: the vendor itself is on our own network, such as the sandbox.
    """
    wrong = why_unfetchable(address, vendor_is_inside=vendor_is_inside)
    if not wrong:
        return []
    return [
        Problem(
            "provider",
            f"mingyan fetches clip and recording itself, but cannot from {address!r}: {wrong}.",
            "Set 'Public endpoint' in the storage block to an address of the object store that the internet reaches, "
            "such as https://media.example.com.",
        )
    ]


def media_problems(media: MediaSet) -> list[Problem]:
    """The rules on the files; opens the clip to see its coding."""
    problems = []
    if recording := media.get("speech"):
        problems += _recording_problems(recording) + too_short(recording)
    if clip := media.get("avatar"):
        problems += _clip_problems(clip)
    return problems


def _recording_problems(recording: ProbedMedia) -> list[Problem]:
    found = recording.extension
    if found in AUDIO_UNSURE:
        log.warning("recording in a format that mingyan may not take format=%s", found)
    elif found not in AUDIO_SURE:
        return [Problem("speech.audio", f"mingyan does not list {found.upper()} recordings.", _EXPORT_SOUND)]
    return []


def _clip_problems(clip: ProbedMedia) -> list[Problem]:
    if clip.kind != "video":
        return []
    if clip.extension not in CLIP_CONTAINERS:
        wrong = f"the clip is {clip.extension.upper()}; only MP4 is known to work at mingyan."
        return [Problem("avatar.video", wrong, _EXPORT_CLIP)]
    codec = _codec_of(clip.path)
    if codec not in CLIP_CODECS:
        wrong = f"the clip is coded as {codec or 'something unknown'}; only H.264 is known to work at mingyan."
        return [Problem("avatar.video", wrong, _EXPORT_CLIP)]
    return []


def _codec_of(path: Path) -> str:
    """FFmpeg's name of the first moving picture's coding; empty where there is none."""
    options = {"protocol_whitelist": "file", "format_whitelist": "mov"}
    with av.open(str(path), format="mov", options=options) as container:
        for stream in container.streams.video:
            if not stream.disposition & av.stream.Disposition.attached_pic:
                return stream.codec_context.name
    return ""
