"""What a batch leaves in the archive for people: a page to look at and a table to work with."""

from tasks.batch.report.write import WrittenReport, write_report

__all__ = ["WrittenReport", "write_report"]
