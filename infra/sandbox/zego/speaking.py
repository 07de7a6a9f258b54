"""The calls that make a stream speak, move and fall silent (section 5)."""

import secrets
import uuid
from collections.abc import Callable
from typing import Any

from infra.sandbox.gate import Refused
from infra.sandbox.zego.envelope import NO_TIMBRE, WRONG_TIMBRE
from infra.sandbox.zego.guesses import SPEED_OF_500, UNKNOWN_GESTURE
from infra.sandbox.zego.humans import can_act, can_speak, timbre_exists
from infra.sandbox.zego.orders import ActionOrder, AudioOrder, RtcOrder, TaskOrder, TextOrder
from infra.sandbox.zego.records import Action, Drive
from infra.sandbox.zego.tasks import Tasks

_FULL_RATE = 500


class Speaking:
    """Accepts drives.

    Args:
        tasks: finds streams.
        socket_address: of the drive socket at an IP address, without its token.
    """

    def __init__(self, tasks: Tasks, socket_address: Callable[[str], str]) -> None:
        self._tasks, self._socket_address = tasks, socket_address

    def say_text(self, order: TextOrder) -> dict[str, Any]:
        """Queue a text; raises ``Refused``."""
        stream = self._tasks.streaming(order.task_id)
        timbre = order.tts.timbre_id
        if not timbre_exists(timbre):
            raise Refused(NO_TIMBRE, "timbre not found")
        if not can_speak(stream.task.digital_human_id, timbre):
            raise Refused(WRONG_TIMBRE, "the timbre is not supported by this stream")
        drive = Drive(
            drive_id=_new_id(),
            task_id=order.task_id,
            kind="text",
            text=order.text,
            timbre_id=timbre,
            speed=SPEED_OF_500 ** (order.tts.speech_rate / _FULL_RATE),
        )
        stream.add_drive(drive, interrupt=order.interrupt_mode == 1)
        return {"DriveId": drive.drive_id}

    def say_audio(self, order: AudioOrder) -> dict[str, Any]:
        """Queue a file, which is fetched when its turn comes; raises ``Refused``."""
        stream = self._tasks.streaming(order.task_id)
        drive = Drive(
            drive_id=_new_id(),
            task_id=order.task_id,
            kind="audio",
            url=order.audio_url,
            channel=order.voice_channel,
        )
        stream.add_drive(drive, interrupt=order.interrupt_mode == 1)
        return {"DriveId": drive.drive_id}

    def give_socket(self, order: TaskOrder, host: str) -> dict[str, Any]:
        """Fall silent and wait for audio on a socket at this IP address; raises ``Refused``."""
        stream = self._tasks.streaming(order.task_id)
        drive = Drive(drive_id=_new_id(), task_id=order.task_id, kind="ws", token=secrets.token_urlsafe(24))
        stream.add_drive(drive)
        return {"DriveId": drive.drive_id, "WssAddress": f"{self._socket_address(host)}?Token={drive.token}"}

    def say_stream(self, order: RtcOrder) -> dict[str, Any]:
        """Speak what another stream says, until something else is asked for; raises ``Refused``."""
        stream = self._tasks.streaming(order.task_id)
        source = {"room_id": order.rtc.room_id, "stream_id": order.rtc.stream_id}
        drive = Drive(drive_id=_new_id(), task_id=order.task_id, kind="rtc", source=source)
        stream.add_drive(drive)
        return {"DriveId": drive.drive_id}

    def act(self, order: ActionOrder) -> None:
        """Move; raises ``Refused``."""
        stream = self._tasks.streaming(order.task_id)
        if not can_act(stream.task.digital_human_id, order.action):
            raise Refused(UNKNOWN_GESTURE, f"Action: {order.action!r} is no action of this digital human")
        stream.task.actions.append(Action(action=order.action))
        stream.save()

    def interrupt(self, order: TaskOrder) -> None:
        """Fall silent and drop what waits; raises ``Refused``."""
        self._tasks.streaming(order.task_id).speech.silence()


def _new_id() -> str:
    return uuid.uuid4().hex
