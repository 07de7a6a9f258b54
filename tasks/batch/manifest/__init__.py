"""Manifests: files and lists with one video per row, over shared fields. Knows neither Prefect nor the ledger."""

from tasks.batch.manifest.assembly import Resolve
from tasks.batch.manifest.normalised import Normalised, given_fields, manifest_line, normalise, read_shard
from tasks.batch.manifest.reading import Rows, name_in, read_list, read_rows
from tasks.batch.manifest.rows import ManifestRow, RowProblem
from tasks.batch.manifest.texts import HEAD_BYTES, ManifestKind, kind_of

__all__ = [
    "HEAD_BYTES",
    "ManifestKind",
    "ManifestRow",
    "Normalised",
    "Resolve",
    "RowProblem",
    "Rows",
    "given_fields",
    "kind_of",
    "manifest_line",
    "name_in",
    "normalise",
    "read_list",
    "read_rows",
    "read_shard",
]
