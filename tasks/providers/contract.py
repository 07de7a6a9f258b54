"""Where a provider answers otherwise than its documents say: written down once, and the call goes on."""

import logging

MOST_FACTS = 1000
"""Differences remembered per process; a vendor that differs at every call must not fill the memory or the log."""
_MOST_SIGNS = 300

log = logging.getLogger("studio.contract")

_noted: set[tuple[str, str, str]] = set()


def note_difference(provider: str, call: str, what: str) -> None:
    """Log a difference from the documented contract, the first time that this process meets it.

    Args:
        provider: who differs, for example ``mingyan``.
        call: which call's answer, for example ``query``.
        what: the difference in a few words, without ids, times or links, so that it is the same fact next time.
    """
    told = " ".join(what.split())[:_MOST_SIGNS]
    fact = (provider, call, told)
    if fact in _noted or len(_noted) >= MOST_FACTS:
        return
    _noted.add(fact)
    log.warning("contract difference provider=%s call=%s what=%s", provider, call, told)
