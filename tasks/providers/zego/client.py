"""Every action of ZEGO's current pages, one try each; sections are those of the vendor page."""

from collections.abc import AsyncIterator
from copy import copy
from typing import Literal
from urllib.parse import urlsplit

from pydantic import JsonValue

from tasks.providers.zego.api import Call, Turn, ZegoApi, no_wait
from tasks.providers.zego.envelope import facts_of
from tasks.providers.zego.models import (
    Created,
    DigitalHuman,
    Drive,
    StreamTask,
    Timbre,
    WsDrive,
    read_answer,
    unreadable,
)
from tasks.providers.zego.orders import (
    CreateStream,
    DoAction,
    DriveByAudio,
    DriveByRtcStream,
    DriveByText,
    OfTask,
    checked,
)
from tasks.providers.zego.paging import read_pages, rows_of

_SHORTEST_SIGNATURE = 16


class ZegoClient:
    """One account at ZEGO. All calls raise ``ProviderError`` subclasses; those of the codes are in ``envelope``.

    Args:
        base_url: address of the API, without its query.
        app_id: the project.
        server_secret: what calls are signed with.
        turn: waited for before every try, with the name of the action.

    Raises:
        ProviderRejected: the ServerSecret cannot be right.
    """

    def __init__(self, *, base_url: str, app_id: int, server_secret: str, turn: Turn = no_wait) -> None:
        self._api = ZegoApi(base_url=base_url, app_id=app_id, server_secret=server_secret, turn=turn)
        self.base_url = self._api.base_url
        self.own_network = self._api.own_network

    def __repr__(self) -> str:
        return f"ZegoClient(base_url={self.base_url!r})"

    def with_turn(self, turn: Turn) -> "ZegoClient":
        """The same account, with another turn."""
        client = copy(self)
        client._api = self._api.with_turn(turn)  # noqa: SLF001 - its own copy
        return client

    # Avatars and voices, read while they are taken; a page is a question, so it is asked for patiently.

    def digital_humans(self, mode: Literal[1, 2, 3] = 1) -> AsyncIterator[DigitalHuman]:
        """Section 3.1: all avatars, the public ones (2), or the account's own (3)."""
        return read_pages(self._api, "GetDigitalHumanList", {"FetchMode": mode}, DigitalHuman, listed="DigitalHumans")

    async def digital_human(self, digital_human_id: str) -> DigitalHuman:
        """Section 3.2: one avatar with its actions.

        Raises:
            ProviderRejected: there is none; the code is ``envelope.DIGITAL_HUMAN_UNKNOWN``.
        """
        call = Call("GetDigitalHumanInfo", {"DigitalHumanId": digital_human_id})
        found, answer = await self._api.read(call, DigitalHuman)
        if found.digital_human_id not in {"", digital_human_id}:
            raise unreadable(call.action, "another digital human", **facts_of(answer))
        return found

    def timbres(self, digital_human_id: str = "") -> AsyncIterator[Timbre]:
        """Section 3.3: the public voices, or those that only this avatar has; never both.

        Raises:
            ProviderRejected: there is no such avatar.
        """
        filters: dict[str, JsonValue] = {"DigitalHumanId": digital_human_id} if digital_human_id else {}
        return read_pages(self._api, "GetTimbreList", filters, Timbre, listed="Timbres")

    # The stream

    async def create_stream(
        self, *, digital_human_id: str, background: str, room_id: str, stream_id: str, ttl: int, max_idle: int
    ) -> str:
        """Section 4.1: open a stream; costs money from then on. It may be driven when its status is 3.

        Args:
            digital_human_id: the avatar.
            background: colour behind it, as ``#rrggbb``.
            room_id: room that the stream is published in.
            stream_id: unique across the AppID.
            ttl: seconds after which it ends, come what may.
            max_idle: seconds without a drive after which it ends.

        Returns:
            The TaskId.

        Raises:
            StreamIdTaken: there is a stream of this StreamId.
            AtStreamLimit: no more streams now.
            ProviderRejected: refused, or outside the bounds of the page.
            ProviderUnavailable: where ``sent``, the stream may exist: look for its StreamId in ``live_streams``.
        """
        body: dict[str, JsonValue] = {
            "DigitalHumanConfig": {"DigitalHumanId": digital_human_id, "BackgroundColor": background},
            "RTCConfig": {"RoomId": room_id, "StreamId": stream_id},
            "TTL": ttl,
            "MaxIdleTime": max_idle,
        }
        call = checked(CreateStream, Call("CreateDigitalHumanStreamTask", body, opens_stream=True))
        created, answer = await self._api.read(call, Created)
        if not created.task_id:
            raise unreadable(call.action, "no TaskId", **facts_of(answer))
        return created.task_id

    async def stop(self, task_id: str) -> None:
        """Section 4.2: end a stream.

        Raises:
            StreamGone: it has ended before.
        """
        await self._api.make(_of_task("StopDigitalHumanStreamTask", task_id))

    async def live_streams(self) -> list[StreamTask]:
        """Section 4.2: the account's streams that are starting or streaming, whoever opened them.

        Raises:
            ProviderUnavailable: also for a list that cannot be read as a whole: it proves no stream's absence.
        """
        call = Call("QueryDigitalHumanStreamTasks", {})
        data, answer = await self._api.make(call)
        facts = facts_of(answer)
        found = [
            read_answer(StreamTask, row, call=call.action, **facts) for row in rows_of(data, "TaskList", call, facts)
        ]
        if not all(task.task_id and task.stream_id for task in found):
            raise unreadable(call.action, "a task without TaskId or StreamId", **facts)
        return found

    async def stream_status(self, task_id: str) -> StreamTask:
        """Section 4.2: how a stream is. One that has ended may be told by its status, or not be known any more.

        Raises:
            StreamGone: unknown or stopped.
            ProviderUnavailable: also for an answer without a status.
        """
        call = _of_task("GetDigitalHumanStreamTaskStatus", task_id)
        found, answer = await self._api.read(call, StreamTask)
        if not found.status:
            raise unreadable(call.action, "no Status", **facts_of(answer, task_id))
        return found.model_copy(update={"task_id": task_id})

    # What it says and does. All raise StreamGone after its end, and NotStreaming before its status is 3.

    async def drive_text(
        self,
        task_id: str,
        text: str,
        *,
        timbre: str,
        rate: int | None = None,
        pitch: int | None = None,
        volume: int | None = None,
        interrupt: bool = False,
    ) -> str:
        """Section 5.2: speak a text with a voice of the vendor's; the DriveId.

        Args:
            task_id: the stream.
            text: at most 1800 characters.
            timbre: the voice.
            rate: -500 (slow) to 500.
            pitch: -500 (low) to 500.
            volume: 1 to 100.
            interrupt: cut what is being said, instead of queueing behind it.
        """
        body: dict[str, JsonValue] = {
            "TaskId": task_id,
            "Text": text,
            "InterruptMode": _mode(interrupt=interrupt),
            "TTSConfig": {"TimbreId": timbre, "SpeechRate": rate, "PitchRate": pitch, "Volume": volume},
        }
        return await self._drive(checked(DriveByText, Call("DriveByText", body, task_id)))

    async def drive_audio(
        self, task_id: str, url: str, *, channel: Literal[0, 1, 2] = 0, interrupt: bool = False
    ) -> str:
        """Section 5.1: speak an MP3 or WAV file that the vendor fetches; the DriveId.

        Args:
            task_id: the stream.
            url: the file; errors never show it.
            channel: of a stereo file: 0 both mixed, 1 left, 2 right.
            interrupt: cut what is being said, instead of queueing behind it.
        """
        body: dict[str, JsonValue] = {
            "TaskId": task_id,
            "AudioUrl": url,
            "InterruptMode": _mode(interrupt=interrupt),
            "VoiceChannel": channel or None,
        }
        return await self._drive(checked(DriveByAudio, Call("DriveByAudio", body, task_id, private=_secrets_of(url))))

    async def drive_ws(self, task_id: str) -> WsDrive:
        """Section 5.4: where the PCM of one drive is sent. Cuts and drops what was to be said before."""
        call = _of_task("DriveByWsStream", task_id)
        drive, answer = await self._api.read(call, WsDrive)
        if not drive.drive_id or not drive.address.get_secret_value():
            raise unreadable(call.action, "no DriveId or no WssAddress", **facts_of(answer, task_id))
        return drive

    async def drive_rtc(self, task_id: str, room_id: str, stream_id: str) -> str:
        """Section 5.3: speak what another stream says; the DriveId. Cuts and drops what was to be said before."""
        body: dict[str, JsonValue] = {"TaskId": task_id, "RTCConfig": {"RoomId": room_id, "StreamId": stream_id}}
        return await self._drive(checked(DriveByRtcStream, Call("DriveByRTCStream", body, task_id)))

    async def act(self, task_id: str, action: str) -> None:
        """Section 5.3: make a gesture of the avatar's; nothing tells when it ends."""
        await self._api.make(checked(DoAction, Call("DoAction", {"TaskId": task_id, "Action": action}, task_id)))

    async def interrupt(self, task_id: str) -> None:
        """Section 4.2: cut what is being said and drop what is queued."""
        await self._api.make(_of_task("InterruptDriveTask", task_id))

    async def _drive(self, call: Call) -> str:
        drive, answer = await self._api.read(call, Drive)
        if not drive.drive_id:
            raise unreadable(call.action, "no DriveId", **facts_of(answer, call.task_id))
        return drive.drive_id


def _of_task(action: str, task_id: str) -> Call:
    return checked(OfTask, Call(action, {"TaskId": task_id}, task_id))


def _secrets_of(link: str) -> tuple[str, ...]:
    """The link, and what signs it: whoever quotes a link may have escaped it."""
    values = (pair.partition("=")[2] for pair in urlsplit(link).query.split("&"))
    return (link, *(value for value in values if len(value) >= _SHORTEST_SIGNATURE))


def _mode(*, interrupt: bool) -> Literal[1] | None:
    """InterruptMode; queueing is the default and is not sent."""
    return 1 if interrupt else None
