"""What people ask of a show while it runs: commands that travel as inputs of its Prefect run."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Literal
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRunInput
from prefect.context import FlowRunContext
from prefect.input import RunInput
from pydantic import Field, model_validator

from tasks.show.rundown import MOST_TEXT

KEY_PREFIX = "show-command"
LOOK_SECONDS = 0.8
"""A command acts within two seconds: it is seen within this, and what is being said is cut in a fraction of one."""
LONGEST_PAUSE = 10.0
"""Between looks while Prefect is away."""
MOST_AT_ONCE = 20

Do = Literal["pause", "resume", "skip", "interrupt", "say", "stop"]

log = logging.getLogger("studio.show")


class ShowCommand(RunInput):
    """One wish of a person.

    ``pause`` holds the show after the cue that is on air, ``resume`` lets it go on. ``skip`` cuts the cue on air and
    goes on with the next; ``interrupt`` cuts it and holds the show. ``say`` cuts it too, says the words, and goes on
    with the next cue; with ``queue`` the words wait for the end of the cue. ``stop`` ends the show.
    """

    do: Do
    text: str = Field("", max_length=MOST_TEXT, description="With say: words for a voice of the vendor's.")
    script: str = Field("", max_length=20_000, description="With say: words for the studio's own voice.")
    timbre: str = Field("", max_length=200, description="Voice of the text; empty: the show's.")
    queue: bool = Field(default=False, description="With say: after the cue that is on air, instead of cutting it.")

    @model_validator(mode="after")
    def _says_something_once(self) -> "ShowCommand":
        if self.do == "say" and bool(self.text.strip()) == bool(self.script.strip()):
            raise ValueError("say takes either text or script. Give one of them.")
        if self.do != "say" and (self.text or self.script or self.timbre or self.queue):
            raise ValueError(f"{self.do} takes no words. Leave out text, script, timbre and queue, or use say.")
        return self

    @property
    def words(self) -> str:
        """What is to be said, if anything."""
        return self.text or self.script


async def send_command(run_id: UUID, command: ShowCommand) -> None:
    """Ask something of the show of a flow run; it acts within two seconds if it is on air.

    Raises:
        prefect.exceptions.ObjectNotFound: there is no such run.
        prefect.exceptions.PrefectHTTPStatusError: the server refused it.
    """
    await command.asend_to(run_id, key_prefix=KEY_PREFIX)


async def listen(run_id: UUID) -> AsyncIterator[ShowCommand]:
    """Yield the commands for a show in the order in which they were sent, until the caller stops.

    While Prefect is away the show goes on, and what was asked meanwhile comes later. What was sent before a run was
    begun again is ignored, as it was meant for the show before.
    """
    began = _began(run_id)
    seen: set[str] = set()
    pause = LOOK_SECONDS
    while True:
        try:
            found = await _look(run_id, seen)
            pause = LOOK_SECONDS
        except Exception as error:  # noqa: BLE001 - a show outlives Prefect
            pause = min(pause * 2, LONGEST_PAUSE)
            log.warning("commands not read run=%s again_seconds=%.1f error=%s", run_id, pause, type(error).__name__)
            found = []
        for sent in found:
            seen.add(sent.key)
            if began is not None and sent.created is not None and sent.created < began:
                log.warning("command from before this run ignored key=%s", sent.key)
                continue
            command = _read(sent)
            if command is not None:
                log.info("command do=%s words=%d queue=%s", command.do, len(command.words), command.queue)
                yield command
        await asyncio.sleep(pause)


async def _look(run_id: UUID, seen: set[str]) -> list[FlowRunInput]:
    async with get_client() as client:
        return await client.filter_flow_run_input(run_id, KEY_PREFIX, MOST_AT_ONCE, seen)


def _began(run_id: UUID) -> datetime | None:
    """When a run was begun again, by the server's clock, which stamps inputs as well; None for its first start."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or run.id != run_id or run.state is None or run.run_count < 2:
        return None
    return run.state.timestamp


def _read(sent: FlowRunInput) -> ShowCommand | None:
    """The command; None for something that is none, which must not end a show."""
    try:
        return ShowCommand.load_from_flow_run_input(sent)
    except (ValueError, TypeError) as error:
        # Not what it says: that may be anything, of any length.
        log.warning("command not understood key=%s error=%s", sent.key, type(error).__name__)
        return None
