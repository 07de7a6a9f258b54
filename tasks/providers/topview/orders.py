"""From a request to the canonical payload, and from payload and uploads to the submit body; section 4."""

from pydantic import JsonValue, ValidationError

from tasks.errors import ProviderRejected
from tasks.models import ClipAvatar, CustomAvatar, PortraitAvatar, RecordingSpeech, RenderRequest, StockAvatar
from tasks.providers.base import MediaRole, MediaSet, SubmitOrder
from tasks.providers.topview.contract import PROVIDER
from tasks.providers.topview.models import BODY_FIELDS, SubmitBody
from tasks.providers.topview.rules import FASTEST, MODE_TYPES, SLOWEST, mode_of

# In a payload these hold digests; in the body, the ids under which the same files were uploaded.
_FILE_FIELDS: dict[str, MediaRole] = {"videoFileId": "avatar", "imageFileId": "avatar", "audioFileId": "speech"}
_SPEED = "speed"


def payload_of(request: RenderRequest, media: MediaSet, speed_field: str) -> dict[str, JsonValue]:
    """What decides how the video looks and sounds, in the body's own words, media as sha256.

    The language is not part of it: the voice decides. The name of the speed field is: under a wrong one the speed is
    not heard, and setting the right one must lead to a new video.
    """
    return _avatar_fields(request, media) | _speech_fields(request, media, speed_field)


def body_of(order: SubmitOrder) -> dict[str, JsonValue]:
    """The submit body of an order, checked against every rule of the page.

    Raises:
        ProviderRejected: the order cannot be sent; nothing was.
    """
    content = dict(order.payload)
    speed = content.pop(_SPEED, None)
    try:
        for field, role in _FILE_FIELDS.items():
            if field in content:
                content[field] = order.inputs[role]
        if order.notice_url:
            content["noticeUrl"] = order.notice_url
        body: dict[str, JsonValue] = SubmitBody.model_validate(content).model_dump(by_alias=True, exclude_none=True)
        return body | _speed_field(speed)
    except (KeyError, ValidationError, ValueError) as error:
        raise ProviderRejected(
            f"order {order.order_id} cannot be sent to {PROVIDER}: {_reason(error)}.",
            provider=PROVIDER,
            code="order-unreadable",
            fix="Run the request again, so that it is planned and uploaded anew.",
        ) from None


def _avatar_fields(request: RenderRequest, media: MediaSet) -> dict[str, JsonValue]:
    avatar, options = request.avatar, request.topview
    fields: dict[str, JsonValue] = {"modeType": MODE_TYPES[mode_of(request)]}
    if isinstance(avatar, ClipAvatar):
        fields |= {"avatarSourceFrom": "0", "videoFileId": media["avatar"].sha256}
        if options.save_avatar:
            fields["isSave2CustomAiAvatar"] = True
    elif isinstance(avatar, StockAvatar):
        fields |= {"avatarSourceFrom": "1", "aiAvatarId": avatar.avatar_id}
    elif isinstance(avatar, CustomAvatar):
        fields |= {"avatarSourceFrom": "2", "aiAvatarId": avatar.custom_avatar_id}
    elif isinstance(avatar, PortraitAvatar):
        fields |= {"avatarSourceFrom": "3", "imageFileId": media["avatar"].sha256}
    if options.caption_id:
        fields["captionId"] = options.caption_id
    return fields


def _speech_fields(request: RenderRequest, media: MediaSet, speed_field: str) -> dict[str, JsonValue]:
    speech = request.speech
    if isinstance(speech, RecordingSpeech):
        return {"audioSourceFrom": "0", "audioFileId": media["speech"].sha256}
    fields: dict[str, JsonValue] = {"audioSourceFrom": "1", "ttsText": speech.text}
    if speech.voice:
        fields["voiceoverId"] = speech.voice
    if speech.speed != 1:
        fields[_SPEED] = {"field": speed_field, "value": speech.speed}
    return fields


def _speed_field(speed: JsonValue) -> dict[str, JsonValue]:
    """The speaking rate under its configured name."""
    if speed is None:
        return {}
    if isinstance(speed, dict):
        name, value = speed.get("field"), speed.get("value")
        is_free = isinstance(name, str) and name and name not in BODY_FIELDS
        if is_free and isinstance(value, float) and SLOWEST <= value <= FASTEST:
            return {str(name): value}
    raise ValueError("its speaking rate has no field of its own or is out of range")


def _reason(error: Exception) -> str:
    """What is wrong, without the text of a script or an id in it."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'body'}: {problem['msg']}" for problem in error.errors()
        )
    if isinstance(error, KeyError):
        return f"the upload for {error.args[0]} is missing"
    return str(error)
