"""`studio smoke` as far as no studio is needed: refusals before anything is spent, wording, samples, the run's log."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient

from deployments import smoke as smoke_module
from deployments.cli import smoke as command
from deployments.cli.console import Output
from deployments.rendering import Rendered
from deployments.runs import RunView
from deployments.samples import SECONDS, cut_recording, film_picture, latest_start
from deployments.smoke import RunLog, SmokePlan, differences_in, listening, make_plan, read_run_log
from tasks.errors import RequestRefused, StudioError
from tasks.models import ProviderName
from tasks.probe import probe_media
from tasks.providers import contract
from tasks.providers.base import ProbedMedia
from tasks.providers.contract import note_difference
from tasks.providers.local.provider import LocalProvider
from tasks.providers.mingyan.client import MingyanClient
from tasks.providers.mingyan.provider import MingyanProvider, Staging
from tasks.settings import get_settings

SANDBOX = "http://127.0.0.1:8340/mingyan/kyyReactApiServer"
VENDOR = "https://zcbservice.aizfw.cn/kyyReactApiServer"
DIFFERENCE = "contract difference provider=mingyan call=query what=unknown field 'price'"


def run_studio(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """The program itself, with nobody at its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli.app", "smoke", *arguments],
        env={"PATH": "/usr/bin:/bin", "STUDIO_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("provider", ["topview", "mingyan"])
def test_nobody_to_ask_means_no(tmp_path: Path, provider: str) -> None:
    """Without a terminal and without --yes nothing is even looked at, and the way out is named."""
    ended = run_studio("--provider", provider, "--json", home=tmp_path / "home")

    assert ended.returncode == 1
    told = json.loads(ended.stdout)
    assert "may cost money" in told["error"]
    assert "--yes" in told["fix"]
    assert not (tmp_path / "home").exists()


def test_a_studio_must_run(tmp_path: Path) -> None:
    """The render goes through a studio's ledger, so one must run."""
    ended = run_studio("--provider", "local", "--json", home=tmp_path / "home")

    assert ended.returncode == 1
    assert "no studio runs" in json.loads(ended.stdout)["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--provider"),
        (["--provider", "hollywood"], "hollywood"),
        (["--provider", "local", "--avatar-id", "7"], "topview"),
    ],
)
def test_wrong_command_lines_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    """A provider must be named, and options fit it."""
    ended = run_studio(*arguments, home=tmp_path)

    assert ended.returncode == 2
    assert said in ended.stderr


class Terminal:
    """A standard input with a person at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", [False, None])
def test_the_default_answer_is_no(monkeypatch: pytest.MonkeyPatch, answer: bool | None) -> None:
    """Enter, no and Ctrl-C all mean that nothing is submitted."""
    asked: list[tuple[str, Any]] = []

    def confirm(question: str, **how: Any) -> bool:
        asked.append((question, how["default"]))
        if answer is None:
            raise command.typer.Abort
        return answer

    monkeypatch.setattr(command.sys, "stdin", Terminal())
    monkeypatch.setattr(command.typer, "confirm", confirm)
    with pytest.raises(StudioError, match="nothing was submitted"):
        command.ask()

    assert asked == [("This may cost money. Go on?", False)]


def test_yes_is_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person who agrees is not asked twice."""
    monkeypatch.setattr(command.sys, "stdin", Terminal())
    monkeypatch.setattr(command.typer, "confirm", lambda *_args, **_how: True)

    command.ask()


async def probed(path: Path, role: Any) -> ProbedMedia:
    return await probe_media(path, role, str(path), get_settings())


async def test_samples_are_small_and_always_the_same(tmp_path: Path) -> None:
    """The same bytes every time, so that asking twice is free; another start makes another render."""
    clips = [film_picture(tmp_path / f"{number}.mp4") for number in range(2)]
    sounds = [cut_recording(tmp_path / f"{number}.wav") for number in range(2)]
    other = cut_recording(tmp_path / "other.wav", start=latest_start())

    assert clips[0].read_bytes() == clips[1].read_bytes()
    assert sounds[0].read_bytes() == sounds[1].read_bytes() != other.read_bytes()
    clip, sound, last = (
        await probed(clips[0], "avatar"),
        await probed(sounds[0], "speech"),
        await probed(other, "speech"),
    )
    assert (clip.extension, clip.kind, clip.width) == ("mp4", "video", 512)
    assert 2 <= clip.seconds <= 3
    assert clip.size < 300_000
    assert sound.seconds == pytest.approx(SECONDS)
    assert last.seconds == pytest.approx(SECONDS)


def mingyan(base_url: str, address: str = "https://media.example.com") -> MingyanProvider:
    async def link(media: ProbedMedia) -> str:
        return f"{address}/{media.sha256}"

    client = MingyanClient(base_url=base_url, api_key="planted-key")
    return MingyanProvider(client, account="main", prices={}, staging=Staging(address=address, link=link))


async def planned(
    monkeypatch: pytest.MonkeyPatch, folder: Path, name: ProviderName, provider: Any, **how: Any
) -> SmokePlan:
    async def get_provider(_name: str) -> Any:
        return provider

    monkeypatch.setattr(smoke_module, "get_provider", get_provider)
    return await make_plan(name, folder, **how)


def said_by(plan: SmokePlan, capsys: pytest.CaptureFixture[str]) -> str:
    command.show_plan(Output(as_json=False), plan)
    return " ".join(capsys.readouterr().out.split())


async def test_the_plan_names_who_is_paid(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Account, address, what is rendered and an unknown price are told before the question; no secret is."""
    plan = await planned(monkeypatch, tmp_path, "mingyan", mingyan(VENDOR))
    said = said_by(plan, capsys)

    assert not plan.is_sandbox
    assert not plan.is_free
    for words in ("main", VENDOR, "a clip of 2.5 s of the bundled presenter", "unknown price", "STUDIO_PRICES"):
        assert words in said
    assert "sandbox" not in said
    assert "planted-key" not in said
    assert plan.request["avatar"]["video"].startswith(str(tmp_path))


async def test_the_sandbox_is_called_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody takes a pass against the sandbox for one against the vendor."""
    plan = await planned(monkeypatch, tmp_path, "mingyan", mingyan(SANDBOX, "http://127.0.0.1:8333"))

    assert plan.is_sandbox
    assert said_by(plan, capsys).count("sandbox, not the real vendor") == 2


async def test_local_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What costs nothing is not asked about."""
    plan = await planned(monkeypatch, tmp_path, "local", LocalProvider(tmp_path / "spool"))

    assert plan.is_free
    assert not plan.is_sandbox
    assert "free" in said_by(plan, capsys)


async def test_what_would_be_refused_is_refused_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A staging bucket that the vendor cannot reach is told before the question."""
    with pytest.raises(RequestRefused, match="Public endpoint"):
        await planned(monkeypatch, tmp_path, "mingyan", mingyan(VENDOR, "http://127.0.0.1:8333"))


async def test_again_is_another_render(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """--again cuts the recording elsewhere, so that the archive does not have it yet."""
    monkeypatch.setattr(smoke_module.secrets, "randbelow", lambda limit: limit - 1)
    first, second = [tmp_path / name for name in ("first", "second")]
    for folder in (first, second):
        folder.mkdir()
        await planned(monkeypatch, folder, "mingyan", mingyan(VENDOR), again=folder is second)

    assert (first / "presenter.mp4").read_bytes() == (second / "presenter.mp4").read_bytes()
    assert (first / "speech.wav").read_bytes() != (second / "speech.wav").read_bytes()


def ended(message: str = "archived: s3://archive/x.mp4", state: str = "COMPLETED") -> Rendered:
    view = RunView(
        run_id=UUID(int=7), name="n", state=state, state_name=state.title(), message=message, step="", percent=None
    )
    return Rendered(view, {"video": "s3://archive/x.mp4"})


def concluded(
    capsys: pytest.CaptureFixture[str], rendered: Rendered, log: RunLog, met: list[str] | None = None
) -> tuple[int, str]:
    code = command.conclude(Output(as_json=False), rendered, log, met or [])
    return code, capsys.readouterr().out


def test_differences_are_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    """What the run and this process met is one list."""
    code, said = concluded(capsys, ended(), RunLog([DIFFERENCE]), [DIFFERENCE, "contract difference provider=x"])

    assert code == 0
    assert "what differed from the documented contract" in said
    assert said.count(DIFFERENCE) == 1
    assert "provider=x" in said


def test_no_difference_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A clean pass says so."""
    assert "nothing differed from the documented contract" in concluded(capsys, ended(), RunLog())[1]


def test_an_archived_video_proves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A render that was found in the archive did not try the provider, and the way to try it is named."""
    code, said = concluded(capsys, ended("was archived before, nothing was rendered: s3://archive/x.mp4"), RunLog())

    assert code == 0
    assert "was not asked" in said
    assert "--again" in said
    assert "nothing differed" not in said


def test_a_failed_render_fails_and_still_tells(capsys: pytest.CaptureFixture[str]) -> None:
    """The differences are most wanted when it did not work; a log that is still coming is told."""
    code, said = concluded(capsys, ended("no face", "FAILED"), RunLog([DIFFERENCE], is_complete=False))

    assert code == 1
    assert DIFFERENCE in said
    assert "not complete" in said


def test_only_differences_are_taken_from_a_log() -> None:
    """Lines that merely speak of a difference are left out; each one is told once, in order."""
    lines = [f"{DIFFERENCE} 2", "planned provider=mingyan", DIFFERENCE, f"no {DIFFERENCE}", f"{DIFFERENCE} 2"]

    assert differences_in(lines) == [f"{DIFFERENCE} 2", DIFFERENCE]


class Server:
    """A Prefect server's log of one run, which grows from one look to the next."""

    def __init__(self, *looks: list[str]) -> None:
        self.looks = list(looks)

    async def read_logs(self, _filter: Any, *, limit: int, offset: int, sort: Any) -> list[SimpleNamespace]:
        lines = self.looks[0]
        if len(self.looks) > 1 and offset + limit > len(lines):
            self.looks.pop(0)
        return [SimpleNamespace(message=line) for line in lines[offset : offset + limit]]


async def test_the_whole_log_is_waited_for() -> None:
    """A run sends its log behind itself: only its last line says that all of it is there, on however many pages."""
    early = ["planned"]
    late = [*early, *["noise"] * 450, DIFFERENCE, "Finished in state Completed()"]

    found = await read_run_log(cast(PrefectClient, Server(early, late)), uuid4())

    assert found == RunLog([DIFFERENCE], is_complete=True)


async def test_a_log_that_never_ends_is_not_waited_for_for_ever() -> None:
    """After its time the log counts as incomplete, with what is there."""
    found = await read_run_log(cast(PrefectClient, Server([DIFFERENCE])), uuid4(), deadline_seconds=0)

    assert found == RunLog([DIFFERENCE], is_complete=False)


def test_differences_met_here_are_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catalogue and balance are read by this process, so its own differences count; afterwards nothing is kept."""
    monkeypatch.setattr(contract, "_noted", set())
    with listening() as met:
        note_difference("topview", "avatars", "unknown field 'mood'")
    note_difference("topview", "avatars", "unknown field 'later'")

    assert met == ["contract difference provider=topview call=avatars what=unknown field 'mood'"]
    assert logging.getLogger("studio.contract").handlers == []
