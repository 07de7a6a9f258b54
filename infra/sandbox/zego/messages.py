"""The messages of the drive socket (section 5.4), taken literally: what the page does not name is refused."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.sandbox.zego.pace import SAMPLE_BYTES

_STEREO = 2


class WrongMessage(Exception):
    """A message that the protocol does not allow at this place."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Sound(_Message):
    """Payload of Start: whose audio comes, and in which form."""

    drive_id: str = Field(alias="DriveId")
    sample_rate: Literal[16000, 24000] = Field(16000, alias="SampleRate")
    channels: Literal[1, 2] = Field(1, alias="Channel")
    voice_channel: Literal[0, 1, 2] = Field(0, alias="VoiceChannel")

    def mono(self, pcm: bytes) -> bytes:
        """The audio that speaks: signed 16-bit mono.

        Raises:
            WrongMessage: a sample is cut in two.
        """
        width = SAMPLE_BYTES * self.channels
        if len(pcm) % width:
            raise WrongMessage(f"{len(pcm)} bytes of PCM are not whole samples of {width}")
        if self.channels != _STEREO:
            return pcm
        sides = np.frombuffer(pcm, "<i2").reshape(-1, _STEREO)
        if self.voice_channel:
            return bytes(sides[:, self.voice_channel - 1].tobytes())
        return bytes(sides.mean(axis=1).astype("<i2").tobytes())


class _Start(_Message):
    action: Literal["Start"] = Field(alias="Action")
    sequence_id: str = Field("", alias="SequenceID")
    sound: Sound = Field(alias="Payload")


class _Named(_Message):
    drive_id: str = Field(alias="DriveId")


class _Stop(_Message):
    action: Literal["Stop"] = Field(alias="Action")
    payload: _Named = Field(alias="Payload")


def read_start(message: str | bytes, drive_id: str) -> Sound:
    """The first message, for the drive that the token belongs to.

    Raises:
        WrongMessage: it is not a Start, or not one for this drive.
    """
    if isinstance(message, bytes):
        raise WrongMessage("PCM came before Start")
    try:
        sound = _Start.model_validate_json(message).sound
    except ValidationError as error:
        raise WrongMessage(f"Start: {_first(error)}") from error
    return _belongs(sound, drive_id)


def check_stop(message: str, drive_id: str) -> None:
    """Make sure that a text message after Start is the Stop of this drive.

    Raises:
        WrongMessage: it is not.
    """
    try:
        named = _Stop.model_validate_json(message).payload
    except ValidationError as error:
        raise WrongMessage(f"Stop: {_first(error)}") from error
    if named.drive_id != drive_id:
        raise WrongMessage("Stop: Payload.DriveId is not the drive of this socket")


def _belongs(sound: Sound, drive_id: str) -> Sound:
    if sound.drive_id != drive_id:
        raise WrongMessage("Start: Payload.DriveId is not the drive of this socket")
    return sound


def _first(error: ValidationError) -> str:
    """The first fault in words, without what was sent."""
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
