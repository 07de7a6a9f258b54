"""`studio render`: put a request together, start its run over the API, follow it, and say where the video is."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli.console import INTERRUPTED, Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config

FOLLOW_SECONDS = 6 * 3600
AVATAR_KINDS = {"image": "portrait", "video": "clip", "avatar_id": "stock", "custom_avatar_id": "custom"}


def render(
    request_file: Annotated[
        Path | None, typer.Argument(help="Request as YAML or JSON; flags win over it.", show_default=False)
    ] = None,
    *,
    image: Annotated[str | None, typer.Option(help="Portrait: file, s3://… or https://…")] = None,
    clip: Annotated[str | None, typer.Option(help="Clip of the presenter: file, s3://… or https://…")] = None,
    avatar_id: Annotated[str | None, typer.Option(help="A stock avatar of the provider; see `studio catalog`.")] = None,
    custom_avatar_id: Annotated[str | None, typer.Option(help="An avatar of your own account there.")] = None,
    script: Annotated[str | None, typer.Option(help="What is said.")] = None,
    script_file: Annotated[Path | None, typer.Option(help="Text file of what is said.")] = None,
    audio: Annotated[str | None, typer.Option(help="Recording of what is said: file, s3://… or https://…")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the script, such as en.")] = None,
    voice: Annotated[str | None, typer.Option(help="Voice id.")] = None,
    speed: Annotated[float | None, typer.Option(help="Speaking rate, 1 is normal.")] = None,
    title: Annotated[str | None, typer.Option(help="Name of the video.")] = None,
    provider: Annotated[str | None, typer.Option(help="auto, local, topview or mingyan.")] = None,
    resolution: Annotated[str | None, typer.Option(help="At most source, 512p, 720p or 1080p; never enlarged.")] = None,
    fps: Annotated[int | None, typer.Option(help="24, 25 or 30.")] = None,
    label: Annotated[str | None, typer.Option(help="Text of the visible label.")] = None,
    no_label: Annotated[bool, typer.Option("--no-label", help="No visible label.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find the video by; may be repeated.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start the run and do not wait for it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Render one video and print where it is."""
    if label and no_label:
        raise typer.BadParameter("Give --label or --no-label, not both.")
    flags = _flags(
        avatar=_avatar(image=image, video=clip, avatar_id=avatar_id, custom_avatar_id=custom_avatar_id),
        speech=_speech(script, script_file, audio, language=language, voice=voice, speed=speed),
        output=_flags(resolution=resolution, fps=fps),
        labels=_flags(text=label, visible=False if no_label else None),
        title=title,
        provider=provider,
        tags=tag,
    )
    run_command(lambda output: _render(output, request_file, flags, detach=detach), as_json=as_json)


def _render(output: Output, request_file: Path | None, flags: dict[str, Any], *, detach: bool) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.rendering import render_and_follow, report  # noqa: PLC0415 - see above
    from deployments.requests import merge, read_request_file  # noqa: PLC0415 - see above

    request = merge(read_request_file(request_file) if request_file else {}, flags)
    try:
        rendered = run_async(render_and_follow(output, request, deadline_seconds=0 if detach else FOLLOW_SECONDS))
    except KeyboardInterrupt:
        output.fail("interrupted; a run that was started goes on.", fix="`studio open` shows it; cancel it in the UI.")
        return INTERRUPTED
    return report(output, rendered, followed=not detach)


def _avatar(**given: str | None) -> dict[str, Any]:
    chosen = _flags(**given)
    if len(chosen) > 1:
        raise typer.BadParameter("Give one of --image, --clip, --avatar-id and --custom-avatar-id.")
    return {"kind": AVATAR_KINDS[next(iter(chosen))], **chosen} if chosen else {}


def _speech(script: str | None, script_file: Path | None, audio: str | None, **how: Any) -> dict[str, Any]:
    if sum(bool(given) for given in (script, script_file, audio)) > 1:
        raise typer.BadParameter("Give one of --script, --script-file and --audio.")
    if script_file:
        try:
            script = script_file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"--script-file cannot be read: {error}") from None
    if audio:
        return {"kind": "recording", "audio": audio}
    spoken = _flags(text=script, **how)
    return {"kind": "script", **spoken} if spoken else {}


def _flags(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value not in (None, {}, [])}
