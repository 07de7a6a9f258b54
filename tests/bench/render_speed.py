"""How fast the local renderer is against real time, called as a plain function in a process of its own."""

from pathlib import Path
from typing import Any, Literal

from infra.presenter import PRESENTER
from tests.bench.child import Call, in_child
from tests.bench.lab import Lab
from tests.bench.media import write_speech, write_wide_portrait
from tests.bench.rows import Row


def run(lab: Lab) -> list[Row]:
    """Render a square portrait, a wide one, and a clip of it."""
    folder = lab.folder / "render"
    folder.mkdir()
    speech = write_speech(folder / "speech.wav", 2.0 if lab.quick else 8.0)
    wide = write_wide_portrait(folder / "wide.png")
    portraits = {"portrait, 512x512": (PRESENTER, 512), "portrait, 1280x720": (wide, 720)}
    calls: dict[str, list[Call]] = {name: [] for name in portraits}
    for _ in lab.rounds(3):
        for name, (picture, side) in portraits.items():
            calls[name].append(_render("portrait", picture, speech, side, folder / f"{side}.mp4"))
    # The clip is the video that was just made of the wide portrait.
    calls["clip, 1280x720"] = [
        _render("clip", folder / "720.mp4", speech, 720, folder / "clip.mp4") for _ in lab.rounds(2)
    ]
    return [_row(name, found) for name, found in calls.items()]


def _render(kind: Literal["portrait", "clip"], avatar: Path, speech: Path, short_side: int, output: Path) -> Call:
    return in_child(
        "tests.bench.render_call:render_job",
        kind=kind,
        avatar=str(avatar),
        speech=str(speech),
        short_side=short_side,
        output=str(output),
    )


def _row(name: str, calls: list[Call]) -> Row:
    report: dict[str, Any] = calls[0].answer
    return Row(
        f"render a {name}",
        [call.seconds for call in calls],
        baseline="playing it",
        baseline_samples=[call.answer["seconds"] for call in calls],
        note=f"{report['width']}x{report['height']}, {report['frames']} frames, "
        f"peak memory {max(call.peak for call in calls):.0f} MiB",
    )
