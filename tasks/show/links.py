"""Links by which the vendor fetches the audio files of a show; they outlive it."""

from datetime import UTC, datetime, timedelta

from tasks.blocks import load_store
from tasks.settings import get_settings
from tasks.show.contract import CueMedia, PlannedLoop, ShowPlan
from tasks.show.rundown import AudioCue
from tasks.staging import split_reference, stage_file

SPARE = timedelta(hours=1)
"""Beyond the stream's end, for clocks that differ."""


async def link_audio(plan: ShowPlan) -> dict[str, str]:
    """Stage the files of audio cues and sign a link to each: what was checked is what is played.

    No step: a link is a secret, and what steps return may be kept.

    Returns:
        Links by the sha256 of the file.

    Raises:
        StorageError: the object store does not answer or refuses.
    """
    media = {found.sha256: found for found in _audio_of(plan)}
    if not media:
        return {}
    store = await load_store(get_settings().storage_block)
    now = datetime.now(UTC)
    starts = max(plan.rundown.starts_at or now, now)
    life = starts - now + timedelta(seconds=plan.ttl) + SPARE
    links = {}
    for sha256, found in media.items():
        bucket, key = split_reference(await stage_file(store, found.path))
        links[sha256] = store.presign_get(bucket, key, expires=life)
    return links


def _audio_of(plan: ShowPlan) -> list[CueMedia]:
    simple = [inner for cue in plan.cues for inner in (cue.cues if isinstance(cue, PlannedLoop) else [cue])]
    return [cue.media for cue in simple if isinstance(cue.cue, AudioCue) and cue.media is not None]
