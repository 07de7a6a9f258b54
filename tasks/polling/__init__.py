"""Asking providers about thousands of jobs at once: when it pays, in turn, and never faster than they allow."""

from tasks.polling.jobs import Ending, EndingKind, Watcher
from tasks.polling.scheduler import PollScheduler
from tasks.polling.sharing import open_scheduler

__all__ = ["Ending", "EndingKind", "PollScheduler", "Watcher", "open_scheduler"]
