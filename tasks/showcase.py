"""What a finished video leaves on the run's page in the Prefect UI, and the event that others can react to."""

from prefect.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)
from prefect.context import FlowRunContext
from prefect.events import emit_event

from tasks.finished import FinishedVideo
from tasks.manifest import Manifest
from tasks.step import steps_are_plain

VIDEO_TABLE_KEY = "archived-video"
ARCHIVED_EVENT = "studio.video.archived"


async def show(video: FinishedVideo) -> None:
    """Leave link, picture, table and report on the run's page and emit `studio.video.archived`.

    In a batch nothing is shown for a single video: the batch has a report of its own.
    """
    if FlowRunContext.get() is None or steps_are_plain():
        return
    manifest = video.manifest
    title = manifest.title or manifest.render_key[:12]
    await acreate_link_artifact(link=video.link, link_text=f"Download “{title}”", key="video-link")
    await acreate_image_artifact(image_url=video.poster_link, key="poster", description=title)
    await acreate_table_artifact(table=_facts(video), key=VIDEO_TABLE_KEY, description=f"**{title}**")
    await acreate_markdown_artifact(markdown=report(manifest), key="inspection")
    emit_event(
        ARCHIVED_EVENT,
        resource={"prefect.resource.id": f"studio.render.{manifest.render_key}", "prefect.resource.name": title},
        payload={
            "video": manifest.video.uri,
            "manifest": video.manifest_uri,
            "provider": manifest.provider,
            "seconds": manifest.seconds,
            "again": video.again,
        },
    )


def _facts(video: FinishedVideo) -> list[list[str]] | list[dict[str, str]]:
    manifest = video.manifest
    facts = {
        "video": manifest.video.uri,
        "original": manifest.original.uri,
        "manifest": video.manifest_uri,
        "poster": manifest.poster,
        "link": video.link,
        "link expires": f"{video.links_expire_at:%Y-%m-%d %H:%M} UTC",
        "length": f"{manifest.seconds:.2f} s",
        "picture": f"{manifest.width}x{manifest.height} at {manifest.fps:g} fps",
        "provider": manifest.provider,
        "estimated cost": manifest.estimate,
        "render key": manifest.render_key,
        "archived before": "yes" if video.again else "no",
        "remarks": "; ".join(remarks(manifest)) or "none",
    }
    return [{"fact": fact, "value": value} for fact, value in facts.items()]


def remarks(manifest: Manifest) -> list[str]:
    """What a person should know before using the video: warnings of the checks, and what the provider remarked."""
    warned = [finding for finding in manifest.inspection.findings if finding.level != "ok"]
    return [*(f"{finding.what}: {finding.detail}" for finding in warned), *manifest.provider_notes]


def report(manifest: Manifest) -> str:
    """The findings of the inspection as Markdown."""
    signs = {"ok": "✅", "warn": "⚠️", "fail": "❌"}
    lines = [
        f"### Checks of “{manifest.title or manifest.render_key[:12]}”",
        "",
        "| | check | finding |",
        "|---|---|---|",
    ]
    lines += [f"| {signs[f.level]} | {f.what} | {f.detail} |" for f in manifest.inspection.findings]
    lines += ["", *(f"- {note}" for note in manifest.provider_notes)]
    return "\n".join(lines)
