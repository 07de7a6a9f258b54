"""Loading a block by its name, through a Prefect server that may be away for a moment."""

import logging
from typing import TypeVar, cast

from prefect.blocks.core import Block
from prefect.exceptions import PrefectHTTPStatusError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential

from tasks.errors import StudioUnavailable
from tasks.http import is_transport_error

PATIENCE_SECONDS = 120
_TROUBLE = {408, 429, 500, 502, 503, 504}

B = TypeVar("B", bound=Block)

log = logging.getLogger("studio.blocks")


class BlockMissing(StudioUnavailable):
    """Prefect has no block of this type and name."""


async def load_block(kind: type[B], name: str) -> B:
    """Load a block, waiting for a server that restarts.

    Raises:
        BlockMissing: there is none of this name.
        StudioUnavailable: the Prefect server did not answer for two minutes.
    """
    attempts = AsyncRetrying(
        retry=retry_if_exception(_is_passing),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_random_exponential(multiplier=0.5, max=10),
        before_sleep=_report,
        reraise=True,
    )
    try:
        # Prefect's decorators hide the type of what they wrap.
        return cast(B, await attempts(kind.aload, name))
    except ValueError as error:
        title = kind.get_block_type_slug()
        raise BlockMissing(
            f"there is no block {title}/{name}.", fix=f"Save one in the UI under Blocks: type {title}, name {name}."
        ) from error
    except Exception as error:
        if not _is_passing(error):
            raise
        raise StudioUnavailable(
            f"the Prefect server has not answered for {PATIENCE_SECONDS} s.",
            fix="`studio doctor` says why; then run the same thing again: it resumes.",
        ) from error


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, PrefectHTTPStatusError):
        return error.response.status_code in _TROUBLE
    return is_transport_error(error)


def _report(state: RetryCallState) -> None:
    cause = state.outcome.exception() if state.outcome else None
    log.warning("block not loaded yet attempt=%d cause=%s", state.attempt_number, type(cause).__name__)
