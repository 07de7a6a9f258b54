"""Requests that a paid vendor would refuse, or that would cost money for nothing: all are refused before any upload.

Each row: name, vendor, what is different from a good request, the field that the message must name, and words of the
way out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tasks.storage import ObjectStore
from tests.media_files import write_clip, write_sound

Vendor = Literal["topview", "mingyan"]

CLIP = {"kind": "clip", "video": "s3://staging/good/clip.mp4"}
PORTRAIT = {"kind": "portrait", "image": "s3://staging/good/face.png"}
STOCK = {"kind": "stock", "avatar_id": "3327"}
CUSTOM = {"kind": "custom", "custom_avatar_id": "p-9001"}
RECORDING = {"kind": "recording", "audio": "s3://staging/good/speech.wav"}
SCRIPT = {"kind": "script", "text": "Hello there."}
VOICED = SCRIPT | {"voice": "v-en-ada"}
GOOD: dict[str, Any] = {"title": "A good request", "avatar": CLIP, "speech": RECORDING}


@dataclass(frozen=True)
class VendorBad:
    """One way to get it wrong at a vendor."""

    name: str
    vendor: Vendor
    change: dict[str, Any]
    field: str
    fix: str

    def __str__(self) -> str:
        return f"{self.vendor}: {self.name}"

    def request(self) -> dict[str, Any]:
        """A good request with the change in it; None takes a field away."""
        request = GOOD | {"provider": self.vendor, "title": self.name} | self.change
        return {name: value for name, value in request.items() if value is not None}


def _topview(name: str, field: str, fix: str, **change: Any) -> VendorBad:
    return VendorBad(name, "topview", change, field, fix)


def _mingyan(name: str, field: str, fix: str, **change: Any) -> VendorBad:
    return VendorBad(name, "mingyan", change, field, fix)


def _clip(key: str) -> dict[str, Any]:
    return {"kind": "clip", "video": f"s3://staging/{key}"}


def _recording(key: str) -> dict[str, Any]:
    return {"kind": "recording", "audio": f"s3://staging/{key}"}


TOPVIEW = [
    _topview("portrait in avatar1", "topview.mode", "avatar2", avatar=PORTRAIT, topview={"mode": "avatar1"}),
    _topview("avatar4, not allowed", "topview.mode", "TOPVIEW_AVATAR4", avatar=PORTRAIT, topview={"mode": "avatar4"}),
    _topview("clip in avatar4", "topview.mode", "give a portrait", topview={"mode": "avatar4"}),
    _topview("stock avatar in avatar4", "topview.mode", "give a portrait", avatar=STOCK, topview={"mode": "avatar4"}),
    _topview("own avatar in avatar4", "topview.mode", "give a portrait", avatar=CUSTOM, topview={"mode": "avatar4"}),
    _topview("mode that is none", "topview.mode", "avatar1", topview={"mode": "avatar9"}),
    _topview("captions on a portrait", "topview.caption_id", "stock", avatar=PORTRAIT, topview={"caption_id": "c-1"}),
    _topview("captions on an own avatar", "topview.caption_id", "stock", avatar=CUSTOM, topview={"caption_id": "c-1"}),
    _topview("captions on a clip that is not kept", "topview.caption_id", "save_avatar", topview={"caption_id": "c-1"}),
    _topview(
        "caption id too long", "topview.caption_id", "at most 200", avatar=STOCK, topview={"caption_id": "c" * 201}
    ),
    _topview("keep a stock avatar", "topview.save_avatar", "clips", avatar=STOCK, topview={"save_avatar": True}),
    _topview("keep an own avatar", "topview.save_avatar", "clips", avatar=CUSTOM, topview={"save_avatar": True}),
    _topview("keep perhaps", "topview.save_avatar", "boolean", topview={"save_avatar": "perhaps"}),
    _topview("option that is none", "topview.quality", "spelling", topview={"quality": "best"}),
    _topview("clip and script without a voice", "speech.voice", "catalog topview voices", speech=SCRIPT),
    _topview("portrait and script without a voice", "speech.voice", "catalog", avatar=PORTRAIT, speech=SCRIPT),
    _topview("own avatar and script without a voice", "speech.voice", "catalog", avatar=CUSTOM, speech=SCRIPT),
    _topview("speaks too slowly", "speech.speed", "0.8 to 1.2", speech=VOICED | {"speed": 0.7}),
    _topview("speaks too fast", "speech.speed", "0.8 to 1.2", speech=VOICED | {"speed": 1.3}),
    _topview("speed without a field for it", "speech.speed", "TOPVIEW_SPEED_FIELD", speech=VOICED | {"speed": 1.1}),
    _topview("nothing to say", "speech.text", "at least 1 character", speech=VOICED | {"text": " "}),
    _topview("stock avatar without id", "avatar.avatar_id", "Fill it in", avatar={"kind": "stock"}),
    _topview("stock avatar with an empty id", "avatar.avatar_id", "at least 1", avatar=STOCK | {"avatar_id": " "}),
    _topview(
        "own avatar with a long id",
        "avatar.custom_avatar_id",
        "at most 200",
        avatar=CUSTOM | {"custom_avatar_id": "i" * 201},
    ),
    _topview("WebM clip", "avatar.video", "MP4, MOV", avatar=_clip("bad/clip.webm")),
    _topview("FLAC recording", "speech.audio", "MP3, WAV, M4A", speech=_recording("bad/speech.flac")),
    _topview("OGG recording", "speech.audio", "MP3, WAV, M4A", speech=_recording("bad/speech.ogg")),
    _topview(
        "speech too long for avatar2",
        "speech.audio",
        "choose avatar1",
        speech=_recording("bad/long.wav"),
        topview={"mode": "avatar2"},
    ),
    _topview(
        "speech too long for a portrait",
        "speech.audio",
        "several videos",
        avatar=PORTRAIT,
        speech=_recording("bad/long.wav"),
    ),
    _topview("clip that is not there", "avatar.video", "Upload it", avatar=_clip("good/nothing.mp4")),
    _topview("half a clip", "avatar.video", "", avatar=_clip("bad/half.mp4")),
]

MINGYAN = [
    _mingyan("portrait", "avatar.kind", "Give a clip", avatar=PORTRAIT),
    _mingyan("stock avatar", "avatar.kind", "Give a clip", avatar=STOCK),
    _mingyan("own avatar", "avatar.kind", "Give a clip", avatar=CUSTOM),
    _mingyan("script", "speech.kind", "Record it", speech=SCRIPT),
    _mingyan("stock avatar and script", "speech.kind", "Record it", avatar=STOCK, speech=SCRIPT),
    _mingyan("portrait and script", "avatar.kind", "Give a clip", avatar=PORTRAIT, speech=SCRIPT),
    _mingyan("model version 3", "mingyan.model_version", "1 or 2", mingyan={"model_version": 3}),
    _mingyan("model version as a word", "mingyan.model_version", "1 or 2", mingyan={"model_version": "two"}),
    _mingyan("side face perhaps", "mingyan.side_face", "boolean", mingyan={"side_face": "perhaps"}),
    _mingyan("tilted face of 7", "mingyan.tilted_face", "boolean", mingyan={"tilted_face": 7}),
    _mingyan("option that is none", "mingyan.sideFace", "Did you mean side_face?", mingyan={"sideFace": 1}),
    _mingyan("options as a text", "mingyan", "fields", mingyan="model 2"),
    _mingyan("WebM clip", "avatar.video", "MP4 (H.264)", avatar=_clip("bad/clip.webm")),
    _mingyan("MOV clip", "avatar.video", "MP4 (H.264)", avatar=_clip("bad/clip.mov")),
    _mingyan("MP4 with another coding", "avatar.video", "MP4 (H.264)", avatar=_clip("bad/clip-mpeg4.mp4")),
    _mingyan("FLAC recording", "speech.audio", "WAV, MP3 or M4A", speech=_recording("bad/speech.flac")),
    _mingyan("OGG recording", "speech.audio", "WAV, MP3 or M4A", speech=_recording("bad/speech.ogg")),
    _mingyan("clip that is not there", "avatar.video", "Upload it", avatar=_clip("good/nothing.mp4")),
    _mingyan("recording that is not there", "speech.audio", "Upload it", speech=_recording("good/nothing.wav")),
    _mingyan("picture instead of a clip", "avatar.video", "", avatar=_clip("good/face.png")),
    _mingyan("sound instead of a clip", "avatar.video", "", avatar=_clip("good/speech.wav")),
    _mingyan("half a clip", "avatar.video", "", avatar=_clip("bad/half.mp4")),
    _mingyan("empty clip", "avatar.video", "", avatar=_clip("bad/empty.png")),
    _mingyan("picture instead of a recording", "speech.audio", "", speech=_recording("good/face.png")),
    _mingyan("playlist instead of a recording", "speech.audio", "", speech=_recording("bad/list.m3u8")),
    _mingyan(
        "bucket that is not allowed", "avatar.video", "staging", avatar={"kind": "clip", "video": "s3://secrets/a"}
    ),
    _mingyan("plain http", "avatar.video", "https", avatar={"kind": "clip", "video": "http://example.com/a.mp4"}),
    _mingyan("loopback address", "speech.audio", "", speech={"kind": "recording", "audio": "https://127.0.0.1/a.wav"}),
    _mingyan("local path", "avatar.video", "studio render", avatar={"kind": "clip", "video": "clips/me.mp4"}),
    _mingyan("no speech", "speech", "--audio", speech=None),
]


async def stage_vendor_media(store: ObjectStore, folder: Path) -> None:
    """Upload what the rows refer to, beyond what the other refusals use."""
    clip = write_clip(folder / "clip.mp4")
    files = {
        "good/clip.mp4": clip.read_bytes(),
        "bad/half.mp4": clip.read_bytes()[: clip.stat().st_size // 2],
        "bad/clip.webm": write_clip(folder / "clip.webm", codec="libvpx").read_bytes(),
        "bad/clip.mov": write_clip(folder / "clip.mov").read_bytes(),
        "bad/clip-mpeg4.mp4": write_clip(folder / "clip-mpeg4.mp4", codec="mpeg4").read_bytes(),
        "bad/speech.flac": write_sound(folder / "speech.flac").read_bytes(),
        "bad/speech.ogg": write_sound(folder / "speech.ogg", rate=48_000).read_bytes(),
        "bad/long.wav": write_sound(folder / "long.wav", 29).read_bytes(),
    }
    for key, body in files.items():
        await store.put_bytes("staging", key, body)
