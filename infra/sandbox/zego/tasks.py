"""The calls about stream tasks: create, stop, list and status (section 4)."""

import time
import uuid
from typing import Any

from infra.sandbox.faults import ON_SUBMIT, FaultBook
from infra.sandbox.gate import Refused
from infra.sandbox.truth import Truth
from infra.sandbox.zego.catalogue import known_human
from infra.sandbox.zego.envelope import (
    BROKEN_HUMAN,
    NO_TASK,
    NOT_STREAMING,
    STREAM_ID_TAKEN,
    STREAM_OVER,
    TOO_MANY_STREAMS,
    WRONG_MODEL,
)
from infra.sandbox.zego.guesses import ENDED_STREAM_IDS_ARE_FREE
from infra.sandbox.zego.humans import BROKEN, OUTDATED
from infra.sandbox.zego.orders import CreateOrder, Nothing, TaskOrder
from infra.sandbox.zego.records import StreamStatus, StreamTask
from infra.sandbox.zego.streams import Stream, Streams

_LISTED = frozenset({StreamStatus.STARTING, StreamStatus.STREAMING})


class Tasks:
    """Creates stream tasks, tells how they are and stops them."""

    def __init__(self, truth: Truth, faults: FaultBook, streams: Streams) -> None:
        self._truth, self._faults, self._streams = truth, faults, streams

    def create(self, order: CreateOrder) -> dict[str, Any]:
        """Accept a stream task; raises ``Refused``."""
        self._judge(order)
        fate = self._faults.take("zego", "create", ON_SUBMIT)
        now = time.time()
        task = StreamTask(
            task_id=uuid.uuid4().hex,
            stream_id=order.rtc.stream_id,
            room_id=order.rtc.room_id,
            digital_human_id=order.human.digital_human_id,
            background=order.human.background_color,
            ttl=order.ttl,
            max_idle=order.max_idle_time,
            at=now,
            due=now + self._truth.knobs.stream_start_seconds,
            fate=fate.fault if fate else "",
            fail_reason=str(fate.args.get("reason", "no render node came up")) if fate else "",
        )
        self._streams.create(task)
        return {"TaskId": task.task_id}

    def _judge(self, order: CreateOrder) -> None:
        human_id = str(known_human(order.human.digital_human_id)["DigitalHumanId"])
        if human_id == BROKEN:
            raise Refused(BROKEN_HUMAN, "the digital human's internal configuration is broken")
        if human_id == OUTDATED:
            raise Refused(WRONG_MODEL, "the digital human's model version is wrong")
        rivals = self._streams.live() if ENDED_STREAM_IDS_ARE_FREE else self._streams.all()
        if any(stream.task.stream_id == order.rtc.stream_id for stream in rivals):
            raise Refused(STREAM_ID_TAKEN, "the stream id already exists")
        if len(self._streams.live()) >= self._truth.knobs.zego_streams:
            raise Refused(TOO_MANY_STREAMS, "stream concurrency limit exceeded")

    def stop(self, order: TaskOrder) -> None:
        """Begin to end a stream; raises ``Refused``, also when that was asked for before."""
        stream = self.found(order.task_id)
        stream.task.stop_calls += 1
        stream.save()
        if stream.task.status not in _LISTED:
            raise Refused(STREAM_OVER, "the stream is stopped already")
        stream.stop()

    def list_live(self, order: Nothing) -> dict[str, Any]:  # noqa: ARG002 - it asks nothing
        """The streams that are starting or streaming."""
        live = [stream.task for stream in self._streams.live() if stream.task.status in _LISTED]
        return {"TaskList": [{"TaskId": task.task_id, **_facts(task)} for task in live]}

    def status(self, order: TaskOrder) -> dict[str, Any]:
        """How a stream task is; raises ``Refused``."""
        task = self.found(order.task_id).task
        if task.status is StreamStatus.STOPPED and not self._truth.knobs.zego_end_is_a_status:
            raise Refused(STREAM_OVER, "the stream is stopped")
        answer = _facts(task) | {"FailReason": task.fail_reason if task.status is StreamStatus.FAILED else ""}
        odd = self._faults.take("zego", "status", {"unknown_word"})
        return answer | {"Status": odd.args.get("word", 9)} if odd else answer

    def found(self, task_id: str) -> Stream:
        """A stream that is alive or ended lately; raises ``Refused``."""
        stream = self._streams.get(task_id)
        remembered = time.time() - self._truth.knobs.stream_memory_seconds
        if stream is None or (stream.task.ended is not None and stream.task.ended < remembered):
            raise Refused(NO_TASK, "the task does not exist")
        return stream

    def streaming(self, task_id: str) -> Stream:
        """A stream that can be driven; raises ``Refused``."""
        stream = self.found(task_id)
        if stream.task.status is StreamStatus.STARTING:
            raise Refused(NOT_STREAMING, "the stream has not started yet")
        if stream.task.status is not StreamStatus.STREAMING:
            raise Refused(STREAM_OVER, "the stream is stopped")
        return stream


def _facts(task: StreamTask) -> dict[str, Any]:
    return {
        "RoomId": task.room_id,
        "StreamId": task.stream_id,
        "Status": int(task.status),
        "CreateTime": int(task.at),
    }
