"""What a batch leaves on its run's page when it ends, and the one event that others can react to."""

from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.artifacts import acreate_image_artifact, acreate_link_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.context import FlowRunContext
from prefect.events import emit_event

from tasks.batch.progress import OUTCOMES_KEY, draw_outcomes, drawing
from tasks.batch.report import WrittenReport
from tasks.ledger.batch_models import HAS_VIDEO, Batch

REPORT_KEY = "batch-report"
POSTER_KEY = "batch-poster"
ENDED_EVENT = "studio.batch.ended"


async def show_report(batch: Batch, report: WrittenReport) -> None:
    """Leave link, table and first picture on the run's page, and emit `studio.batch.ended`.

    What cannot be shown is a warning in the log: the report itself is in the archive.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    emit_event(
        ENDED_EVENT,
        resource={"prefect.resource.id": f"studio.batch.{batch.id}", "prefect.resource.name": name_of(batch)},
        payload={
            "run": batch.run_id,
            "rows": batch.rows,
            "outcomes": {state.value: count for state, count in report.counts.items()},
            "report": report.html,
            "table": report.csv,
        },
        # A run that died after this and is started again says the same under the same id, of which Prefect keeps one.
        id=uuid5(NAMESPACE_URL, f"{ENDED_EVENT}/{batch.id}/{batch.run_id}/{sorted(report.counts.items())}"),
    )
    async with drawing(REPORT_KEY):
        until = f"{report.links_expire_at:%Y-%m-%d %H:%M} UTC"
        await acreate_link_artifact(
            link=report.html_link,
            link_text=f"Report of “{name_of(batch)}”",
            key=REPORT_KEY,
            description=f"Works until {until}; `studio batch report {batch.id}` writes it anew.",
        )
    async with drawing(OUTCOMES_KEY):
        videos = sum(report.counts.get(state, 0) for state in HAS_VIDEO)
        told = f"**{videos:,} of {batch.rows:,} rows have a video** ([table of all rows]({report.csv_link}))"
        await draw_outcomes(await _table_of(context.flow_run.id), report.counts, batch.rows, told)
    if report.poster_link:
        async with drawing(POSTER_KEY):
            await acreate_image_artifact(image_url=report.poster_link, key=POSTER_KEY, description=name_of(batch))


def name_of(batch: Batch) -> str:
    """The batch as people call it."""
    return batch.name or f"batch {batch.id[:12]}"


async def _table_of(run_id: UUID) -> UUID | None:
    """The table that the run's progress was shown in; two of them on one page would contradict each other."""
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=[OUTCOMES_KEY])
    )
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=wanted, limit=1)
    return found[0].id if found else None
