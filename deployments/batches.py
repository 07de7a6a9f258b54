"""What `studio batch check` and `studio batch run` do once they know the studio's address."""

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact
from prefect.client.schemas.sorting import ArtifactSort

from deployments.batch_files import LocalMedia, ManifestFile
from deployments.cli.console import LiveProgress, Output
from deployments.runs import RunView, look_at, start_run
from tasks.batch.manifest import ManifestRow, RowProblem, manifest_line
from tasks.batch.preview import Preview, preview
from tasks.batch.progress import OUTCOMES_KEY, PROGRESS_KEY
from tasks.batch.showing import REPORT_KEY
from tasks.blocks import load_store
from tasks.errors import Problem, RequestRefused
from tasks.scratch import scratch_folder
from tasks.settings import get_settings
from tasks.staging import stage_file
from tasks.storage import ObjectStore

DEPLOYMENT = "render-batch/studio"
SHOWN_PROBLEMS = 20
_LOOK_SECONDS = 1.0
_CRASHED_SECONDS = 15
"""The automation starts a crashed run again within a second; one that stays crashed will not come back by itself."""
_UPLOADS = 4


async def check_batch(output: Output, file: ManifestFile, *, all_media: bool, in_flight: int) -> Preview:
    """Look at a batch without spending anything.

    Raises:
        RequestRefused: the manifest is wrong as a whole.
        StorageError: the object store does not answer.
    """
    local = LocalMedia(file.path.parent)
    with scratch_folder() as folder, output.progress("reading the rows") as progress:
        return await preview(
            file.rows(local.stand_in),
            folder,
            tell=progress.update,
            local=local.files,
            all_media=all_media,
            in_flight=in_flight,
        )


async def start_batch(output: Output, file: ManifestFile, options: Mapping[str, Any]) -> UUID:
    """Check all rows, upload the media that lie beside the manifest and the manifest itself, and start the batch.

    Args:
        output: where progress is shown.
        file: the manifest.
        options: fields of the batch's form other than its rows.

    Returns:
        The id of the run.

    Raises:
        RequestRefused: before anything is uploaded, naming the first rows with mistakes.
        StudioUnavailable: the deployment is not registered.
        StorageError: the object store does not answer.
    """
    local = LocalMedia(file.path.parent)
    skip = options.get("bad_rows") == "skip"
    with output.progress("checking the rows") as progress, scratch_folder() as folder:
        rows = await asyncio.to_thread(_check_rows, file, local, skip=skip)
        output.say(f"{rows} rows, {len(local.files)} local files")
        store = await load_store(get_settings().storage_block)
        batch: dict[str, Any] = {"name": file.name, **options}
        if local.files:
            staged = await _stage_all(store, list(local.files.values()), progress)
            plain = folder / f"{file.path.stem}.jsonl"
            await asyncio.to_thread(_write_plain, file, local, staged, plain)
            batch["manifest"] = await _upload(store, plain)
        else:
            batch |= {"manifest": await _upload(store, file.path), "defaults": file.defaults}
    async with get_client() as client:
        return await start_run(client, "batch", batch, DEPLOYMENT)


def _check_rows(file: ManifestFile, local: LocalMedia, *, skip: bool) -> int:
    """Count the good rows; refuse the batch for the bad ones unless they are skipped."""
    good, problems, count = 0, list[Problem](), 0
    for row in file.rows(local.stand_in):
        if isinstance(row, ManifestRow):
            good += 1
            continue
        count += 1
        if len(problems) < SHOWN_PROBLEMS:
            problems.append(as_problem(row))
    if problems and (not skip or not good):
        if count > len(problems):
            more = f"has {count - len(problems)} more problems."
            problems.append(Problem(file.path.name, more, f"`studio batch check {file.path.name}` counts them."))
        raise RequestRefused(problems)
    return good


def as_problem(row: RowProblem) -> Problem:
    """A row's problem, with the row in the place of the field."""
    where, _, _ = str(row).partition(f", {row.column}: ")
    return Problem(f"{where}, {row.column}", row.wrong, row.fix)


async def _stage_all(store: ObjectStore, paths: list[Path], progress: LiveProgress) -> dict[Path, str]:
    staged: dict[Path, str] = {}
    rest = iter(paths)

    async def worker() -> None:
        for path in rest:
            staged[path] = await stage_file(store, path)
            progress.update(f"uploaded {len(staged)} of {len(paths)} files", 100 * len(staged) / len(paths))

    await asyncio.gather(*(worker() for _ in range(_UPLOADS)))
    return staged


def _write_plain(file: ManifestFile, local: LocalMedia, staged: Mapping[Path, str], target: Path) -> None:
    """Write the rows with the addresses of their media, texts filled in, and nothing left to share."""
    with target.open("w", encoding="utf-8") as lines:
        for row in file.rows(local.resolver(staged)):
            if isinstance(row, ManifestRow):
                lines.write(manifest_line(row.request) + "\n")


async def _upload(store: ObjectStore, path: Path) -> str:
    """Upload a manifest under its digest and name; the same file is the same object."""
    digest = await asyncio.to_thread(lambda: hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name).strip("-.")
    key = f"manifests/{digest}/{name or 'manifest'}"
    await store.put_file(store.staging_bucket, key, path)
    return f"s3://{store.staging_bucket}/{key}"


@dataclass(frozen=True)
class Followed:
    """A batch's run as it was last seen, and what it has left on its page."""

    view: RunView
    outcomes: dict[str, int]
    """Rows by outcome."""
    report: str
    """Link to the report; empty while there is none."""


async def follow_batch(output: Output, run_id: UUID, deadline_seconds: float) -> Followed:
    """Show how far a batch is until its run has ended or the deadline passes; 0 looks once."""
    async with get_client() as client:
        view = await look_at(client, run_id)
        with output.progress("waiting for a worker") as progress:
            async for seen, told in _views(client, run_id, deadline_seconds):
                view = seen
                progress.update(told or f"{view.state_name.lower()} · {view.step}".rstrip(" ·"), view.percent)
        return Followed(view, await _outcomes(client, run_id), await _report_link(client, run_id))


async def _views(client: PrefectClient, run_id: UUID, deadline_seconds: float) -> AsyncIterator[tuple[RunView, str]]:
    end = time.monotonic() + deadline_seconds
    crashed_since: float | None = None
    while time.monotonic() < end:
        view = await look_at(client, run_id)
        bar = await _artifact(client, run_id, PROGRESS_KEY)
        percent = bar.data if bar and isinstance(bar.data, int | float) else None
        yield replace(view, percent=percent), (bar.description or "") if bar and not view.ended else ""
        if view.ended:
            return
        crashed_since = (crashed_since or time.monotonic()) if view.state == "CRASHED" else None
        if crashed_since and time.monotonic() - crashed_since > _CRASHED_SECONDS:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def _outcomes(client: PrefectClient, run_id: UUID) -> dict[str, int]:
    table = await _artifact(client, run_id, OUTCOMES_KEY)
    lines = json.loads(table.data) if table and isinstance(table.data, str) else []
    return {line["outcome"]: line["rows"] for line in lines}


async def _report_link(client: PrefectClient, run_id: UUID) -> str:
    """The address in the link artifact, which is Markdown: ``[text](address)``."""
    link = await _artifact(client, run_id, REPORT_KEY)
    return link.data.rpartition("](")[2].removesuffix(")") if link and isinstance(link.data, str) else ""


async def _artifact(client: PrefectClient, run_id: UUID, key: str) -> Artifact | None:
    """The latest artifact of a run under a key."""
    this_run = ArtifactFilterFlowRunId(any_=[run_id])
    wanted = ArtifactFilter(flow_run_id=this_run, key=ArtifactFilterKey(any_=[key]))
    found = await client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC, limit=1)
    return found[0] if found else None
