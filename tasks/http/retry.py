"""May a call be repeated? Three questions, three answers; and how long to wait in between."""

import logging
from collections.abc import Callable

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_before_delay,
    wait_random_exponential,
)

from tasks.errors import ProviderBusy, ProviderUnavailable

RETRY_AFTER_CAP = 60.0
"""Longest wait in seconds that a server may ask for between two tries of one call."""

log = logging.getLogger("studio.http")


def may_repeat_submit(error: BaseException) -> bool:
    """Whether a submission may be made again: only if it surely never left, or was answered with 'not accepted'."""
    return isinstance(error, ProviderBusy) or (isinstance(error, ProviderUnavailable) and not error.sent)


def may_repeat_poll(error: BaseException) -> bool:
    """Whether a question may be asked again: after broken transport, a server in trouble, or 'too fast'."""
    return isinstance(error, ProviderBusy | ProviderUnavailable)


def may_repeat_download(error: BaseException) -> bool:
    """Whether a download may go on where it stopped; a dead link may not: a fresh one must be asked for."""
    return isinstance(error, ProviderBusy | ProviderUnavailable | ConnectionError | TimeoutError)


def asked_pause(error: BaseException | None) -> float:
    """Seconds that the server asked to wait, within the cap; 0 when it did not ask."""
    wanted = error.retry_after if isinstance(error, ProviderBusy | ProviderUnavailable) else None
    return min(wanted or 0.0, RETRY_AFTER_CAP)


def patiently(may_repeat: Callable[[BaseException], bool], *, seconds: float, first: float = 0.5) -> AsyncRetrying:
    """Repeat a call while it may be repeated, waiting as long as the server asks or exponentially with jitter.

    Args:
        may_repeat: one of the three questions above.
        seconds: how long to go on; the last error is raised then.
        first: scale of the first wait in seconds.
    """
    backoff = wait_random_exponential(multiplier=first, max=20)

    def wait(state: RetryCallState) -> float:
        return max(asked_pause(_cause(state)), backoff(state))

    return AsyncRetrying(
        retry=retry_if_exception(may_repeat),
        stop=stop_before_delay(seconds),
        wait=wait,
        before_sleep=_report,
        reraise=True,
    )


def _cause(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _report(state: RetryCallState) -> None:
    pause = state.next_action.sleep if state.next_action else 0.0
    log.warning("call repeated attempt=%d pause=%.1f cause=%s", state.attempt_number, pause, _cause(state))
