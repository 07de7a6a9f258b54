"""Sets the clock of one process wrong, without touching the machine's: imported before everything else in that process.

All that Python code reads is moved: ``time.time`` and its relatives, ``datetime.now``. Monotonic clocks go right, as
they do on a machine whose clock is wrong; what C libraries read by themselves stays right too.
"""

import ctypes
import datetime as dt
import gc
import os
import time
from collections.abc import Callable
from typing import Any

SHIFT_VARIABLE = "FAULTS_CLOCK_SHIFT_SECONDS"


def shift_clock(seconds: float) -> None:
    """Let this process believe that it is so much later; earlier when negative."""
    _shift_time(seconds)
    _shift_datetime(dt.timedelta(seconds=seconds))


def _shift_time(seconds: float) -> None:
    def moved(clock: Callable[..., Any]) -> Callable[..., Any]:
        return lambda moment=None: clock(time.time() if moment is None else moment)

    right, right_nanoseconds = time.time, time.time_ns
    time.gmtime, time.localtime = moved(time.gmtime), moved(time.localtime)
    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_nanoseconds() + round(seconds * 1e9)


def _shift_datetime(distance: dt.timedelta) -> None:
    """The class itself is changed: a subclass in its place would no longer be what C code makes."""
    kind = dt.datetime
    right = kind.now

    def now(cls: type[dt.datetime], tz: dt.tzinfo | None = None) -> dt.datetime:
        moment = right(tz) + distance
        return moment if cls is kind else cls.combine(moment.date(), moment.timetz())

    def utcnow(cls: type[dt.datetime]) -> dt.datetime:
        return now(cls, dt.UTC).replace(tzinfo=None)

    # Its attributes are read-only to Python, except through the dictionary behind the view that it shows.
    attributes = gc.get_referents(kind.__dict__)[0]
    attributes |= {"now": classmethod(now), "today": classmethod(now), "utcnow": classmethod(utcnow)}
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


if shift := float(os.environ.get(SHIFT_VARIABLE, "0")):
    shift_clock(shift)
