"""A finished video as the outcome of a row."""

from datetime import UTC, datetime

from tasks.finished import FinishedVideo
from tasks.ledger import Entry
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.showcase import remarks


def row_of_video(
    number: int, run_id: str, video: FinishedVideo, state: RowState, entry: Entry | None = None
) -> BatchRow:
    """The outcome of a row that has a video; one that failed its checks counts as failed, though it is archived.

    Args:
        number: of the row.
        run_id: flow run of the batch.
        video: what is in the archive.
        state: whether it was rendered now or there already.
        entry: the submission that was made for it, for what it costs.
    """
    manifest = video.manifest
    failures = manifest.inspection.failures
    told = [f"{finding.what}: {finding.detail}" for finding in failures] or remarks(manifest)
    return BatchRow(
        number=number,
        run_id=run_id,
        state=RowState.FAILED if failures else state,
        title=manifest.title,
        render_key=manifest.render_key,
        provider=manifest.provider,
        reason=f"{'archived, but unusable: ' if failures else ''}{'; '.join(told)}",
        fix="Look at the video, mend the cause, and change the row." if failures else "",
        video=manifest.video.uri,
        poster=manifest.poster,
        manifest=video.manifest_uri,
        seconds=manifest.seconds,
        estimate=entry.estimate if entry else None,
        unit=(entry.unit or "") if entry else "",
        updated_at=datetime.now(UTC),
    )
