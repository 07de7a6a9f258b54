"""Where the benches work: one temporary folder, and one studio on free ports for those that need it."""

import asyncio
import shutil
import tempfile
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from infra.presenter import PRESENTER
from infra.studio.state import read_state
from tests.bench.batch_studio import BatchStudio, batch_studio
from tests.bench.media import write_speech
from tests.e2e.api import StudioApi
from tests.studio_fixture import studio_in

PICTURE = "s3://staging/bench/presenter.png"


class Lab:
    """A place for one run of the benches; leaving it stops and deletes everything.

    Args:
        quick: one round each and little media, for a look instead of a figure to quote.
    """

    def __init__(self, *, quick: bool) -> None:
        self.quick = quick
        self._stack = ExitStack()
        self._cuts = 0

    def __enter__(self) -> Self:
        # Also when a server still writes into it while it is deleted.
        self.folder = Path(tempfile.mkdtemp(prefix="studio-bench-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def rounds(self, full: int) -> range:
        """How often to measure; once for a quick look."""
        return range(1 if self.quick else full)

    @cached_property
    def api(self) -> StudioApi:
        """A running studio with the presenter in its staging bucket."""
        api = StudioApi(self._stack.enter_context(studio_in(self.folder / "studio", on_schedule=True)))
        asyncio.run(api.store().put_bytes("staging", "bench/presenter.png", PRESENTER.read_bytes()))
        return api

    @cached_property
    def vendors(self) -> BatchStudio:
        """A running studio whose paid providers are the sandbox, which hands out ready clips."""
        return self._stack.enter_context(batch_studio(self.folder / "vendors"))

    def start_seconds(self) -> float:
        """How long the start of this studio took."""
        state = read_state(self.api.studio.config.state_file)
        if state is None or state.seconds is None:
            raise RuntimeError("the studio does not tell how long its start took")
        return state.seconds

    def stage_new_speech(self, seconds: float) -> str:
        """Stage a recording that nobody has rendered before and return its reference."""
        self._cuts += 1
        path = write_speech(self.folder / "cut.wav", seconds, start=0.25 * self._cuts)
        key = f"bench/speech-{self._cuts}.wav"
        asyncio.run(self.api.store().put_bytes("staging", key, path.read_bytes()))
        return f"s3://staging/{key}"
