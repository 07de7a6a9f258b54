"""What a run's page shows of the log: the steps' own facts, and refusals as sentences instead of tracebacks."""

import logging

from tasks.errors import StudioError

_ENGINE = ("prefect.task_runs", "prefect.flow_runs")


class _PlainErrors(logging.Filter):
    """Takes the traceback off an error that is meant for people; every other error keeps it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, StudioError):
            record.exc_info, record.msg, record.args = None, "%s", (str(error),)
        return True


_plain_errors = _PlainErrors()


def show_batch_log() -> None:
    """The same for thousands of renders: of single ones, only warnings."""
    show_plain_log()
    logging.getLogger("studio").setLevel(logging.WARNING)
    logging.getLogger("studio.batch").setLevel(logging.INFO)


def show_plain_log() -> None:
    """Let this process's runs log plainly; may be called again and again."""
    logging.getLogger("studio").setLevel(logging.INFO)
    for name in _ENGINE:
        logging.getLogger(name).addFilter(_plain_errors)
