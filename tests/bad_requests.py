"""Requests that must be refused, by what is wrong with them: what the form says no to, and what the media say no to.

Each row: name, change to a good request, the field that the message must name, and words of the way out.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

GOOD: dict[str, Any] = {
    "title": "A good request",
    "avatar": {"kind": "portrait", "image": "s3://staging/good/face.png"},
    "speech": {"kind": "script", "text": "Hello there."},
    "output": {"resolution": "512p"},
}
MISSING = object()


@dataclass(frozen=True)
class Bad:
    """One way to get it wrong."""

    name: str
    change: dict[str, Any]
    field: str
    fix: str

    def request(self) -> dict[str, Any]:
        """The good request with the change in it; dotted names reach into groups."""
        request = deepcopy(GOOD)
        for dotted, value in self.change.items():
            group, _, name = dotted.partition(".")
            target, key = (request.setdefault(group, {}), name) if name else (request, group)
            if value is MISSING:
                target.pop(key)
            else:
                target[key] = value
        return request


def _portrait(reference: str) -> dict[str, Any]:
    return {"avatar.image": reference}


def _clip(reference: str) -> dict[str, Any]:
    return {"avatar": {"kind": "clip", "video": reference}}


def _recording(reference: str) -> dict[str, Any]:
    return {"speech": {"kind": "recording", "audio": reference}}


FORM = [
    Bad("no avatar", {"avatar": MISSING}, "avatar", "--image, --clip"),
    Bad("no speech", {"speech": MISSING}, "speech", "--audio"),
    Bad("no picture", {"avatar.image": MISSING}, "avatar.image", "Fill it in"),
    Bad("unknown kind of avatar", {"avatar.kind": "hologram"}, "avatar.kind", "portrait"),
    Bad(
        "neither this nor that",
        {"avatar": {"image": "s3://abc/d", "video": "s3://abc/d"}},
        "avatar",
        "Keep one of them",
    ),
    Bad("dots in a key", _portrait("s3://staging/../archive/x.png"), "avatar.image", "whole key"),
    Bad("avatar is a text", {"avatar": "s3://staging/good/face.png"}, "avatar", "fields"),
    Bad("unknown field", {"colour": "red"}, "colour", "spelling"),
    Bad("unknown field in a group", {"output.framerate": 25}, "output.framerate", "spelling"),
    Bad("odd frame rate", {"output.fps": 7}, "output.fps", "24, 25 or 30"),
    Bad("odd resolution", {"output.resolution": "8k"}, "output.resolution", "720p"),
    Bad("unknown provider", {"provider": "hollywood"}, "provider", "auto"),
    Bad("empty script", {"speech.text": ""}, "speech.text", "at least 1 character"),
    Bad("script of signs only", {"speech.text": "... !?"}, "speech.text", "Write at least one word"),
    Bad("script too long", {"speech.text": "word " * 5000}, "speech.text", "at most 20000"),
    Bad("language is no tag", {"speech.language": "English!"}, "speech.language", "en-GB"),
    Bad("too fast", {"speech.speed": 3}, "speech.speed", "less than or equal to 2"),
    Bad("speed is a word", {"speech.speed": "fast"}, "speech.speed", "number"),
    Bad("local path", _portrait("portraits/me.png"), "avatar.image", "studio render"),
    Bad("ftp", _portrait("ftp://example.com/me.png"), "avatar.image", "https://"),
    Bad("bucket without key", _portrait("s3://staging"), "avatar.image", "s3://bucket/key"),
    Bad("password in the address", _portrait("https://me:secret@example.com/a.png"), "avatar.image", "pre-signed"),
    Bad("too many tags", {"tags": ["tag"] * 21}, "tags", "at most 20"),
    Bad("tag with odd signs", {"tags": ["<script>"]}, "tags.0", "letters"),
    Bad("title too long", {"title": "t" * 201}, "title", "at most 200"),
    Bad("label of two lines", {"labels": {"text": "AI\nmade"}}, "labels.text", "one line"),
    Bad("label that nobody sees", {"labels": {"text": "\u3164"}}, "labels.text", "Write words"),
    Bad("label too short-lived", {"labels": {"seconds": 1}}, "labels.seconds", "Write 0"),
]

MEDIA = [
    Bad("language the voice cannot speak", {"speech.language": "zh-CN"}, "speech.language", "recording"),
    Bad("script the voice cannot read", {"speech.text": "你好 欢迎来到演播室"}, "speech.text", "recording"),
    Bad("unknown voice", {"speech.voice": "nobody"}, "speech.voice", "heart"),
    Bad("stock avatar for the local one", {"avatar": {"kind": "stock", "avatar_id": "7"}}, "avatar.kind", "portrait"),
    Bad(
        "custom avatar for the local one",
        {"avatar": {"kind": "custom", "custom_avatar_id": "7"}},
        "avatar.kind",
        "portrait",
    ),
    Bad("object that is not there", _portrait("s3://staging/good/nothing.png"), "avatar.image", ""),
    Bad("bucket that is not allowed", _portrait("s3://secrets/a.png"), "avatar.image", "staging"),
    Bad("plain http", _portrait("http://example.com/a.png"), "avatar.image", "https"),
    Bad("loopback address", _portrait("https://127.0.0.1/a.png"), "avatar.image", ""),
    Bad("address of the cloud's metadata", _portrait("https://169.254.169.254/latest"), "avatar.image", ""),
    Bad("text instead of a picture", _portrait("s3://staging/bad/text.png"), "avatar.image", ""),
    Bad("empty file", _portrait("s3://staging/bad/empty.png"), "avatar.image", ""),
    Bad("picture of one pixel", _portrait("s3://staging/bad/pixel.png"), "avatar.image", "larger"),
    Bad("half a picture", _portrait("s3://staging/bad/half.png"), "avatar.image", ""),
    Bad("picture without a face", _portrait("s3://staging/bad/no-face.png"), "avatar.image", "face"),
    Bad("face too small", _portrait("s3://staging/bad/tiny-face.png"), "avatar.image", ""),
    Bad("playlist instead of sound", _recording("s3://staging/bad/list.m3u8"), "speech.audio", ""),
    Bad("picture instead of sound", _recording("s3://staging/good/face.png"), "speech.audio", ""),
    Bad("sound of a blink", _recording("s3://staging/bad/blink.wav"), "speech.audio", ""),
    Bad("sound instead of a picture", _portrait("s3://staging/good/speech.wav"), "avatar.image", ""),
    Bad("picture instead of a clip", _clip("s3://staging/good/face.png"), "avatar.video", ""),
]
