"""What a person asks for with a batch. The Prefect run form and the command line are both made from this model."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tasks.form import Form, at

MOST_ROWS_IN_THE_FORM = 2000
"""Run parameters are kept by the Prefect server; longer lists belong into a file."""


class BatchRequest(Form):
    """Many videos from one manifest: a file in the archive or staging bucket, or rows written into the form."""

    name: str = Field(
        "", max_length=200, title="Name", description="Name of the batch for people.", json_schema_extra=at(0)
    )
    manifest: str = Field(
        "",
        max_length=2048,
        title="Manifest",
        description="s3:// address of a CSV, JSONL or YAML file with one video per row; "
        "`studio batch run FILE` uploads one.",
        examples=["s3://staging/uploads/greetings.csv"],
        json_schema_extra=at(1),
    )
    rows: list[dict[str, Any]] = Field(
        default_factory=list,
        max_length=MOST_ROWS_IN_THE_FORM,
        title="Rows",
        description="Instead of a manifest: the fields of each video, as in the form of one video.",
        json_schema_extra=at(2),
    )
    defaults: dict[str, Any] = Field(
        default_factory=dict,
        title="Shared fields",
        description="Fields that all rows share; a row's own win. {{name}} in a text is replaced by the row's value.",
        json_schema_extra=at(3),
    )
    bad_rows: Literal["refuse", "skip"] = Field(
        "refuse",
        title="Rows with mistakes",
        description="refuse: nothing is begun while a row is wrong; skip: the others are rendered all the same.",
        json_schema_extra=at(4),
    )
    in_flight: int = Field(
        1000,
        ge=1,
        le=50_000,
        title="In flight",
        description="Most renders that are with the providers at the same time.",
        json_schema_extra=at(5),
    )
    shard_size: int = Field(
        2000,
        ge=1,
        le=100_000,
        title="Rows per shard",
        description="A batch with more rows is shared by several runs in the work pool, so many rows each.",
        json_schema_extra=at(6),
    )
    task_runs: int = Field(
        500,
        ge=0,
        le=2000,
        title="Task runs",
        description="Up to so many rows each row is a task run of its own; beyond that a task run holds many rows.",
        json_schema_extra=at(7),
    )
    hours: Annotated[float, Field(gt=0, le=168)] = Field(
        12,
        title="Hours",
        description="Longest time of the run; what is still rendering then is named, and a new run goes on with it.",
        json_schema_extra=at(8),
    )
    on_cancel: Literal["finish", "drop"] = Field(
        "finish",
        title="When cancelled",
        description="finish: nothing more is submitted, and what providers accepted is still archived; "
        "drop: what they accepted is given up, though it may cost money.",
        json_schema_extra=at(9),
    )

    @field_validator("manifest")
    @classmethod
    def _is_an_object(cls, address: str) -> str:
        if address and (not address.startswith("s3://") or "/" not in address.removeprefix("s3://").strip("/")):
            raise ValueError(f"{address!r} is not s3://bucket/key. Upload the file: studio batch run FILE.")
        return address

    @model_validator(mode="after")
    def _has_one_source(self) -> "BatchRequest":
        if bool(self.manifest) == bool(self.rows):
            told = "both a manifest and rows are given" if self.rows else "neither a manifest nor rows are given"
            raise ValueError(f"{told}. Give one of them.")
        return self


class ShardRequest(Form):
    """A part of a batch, as the run that answers for it hands it on."""

    batch_id: str = Field(title="Batch", description="Id of the batch.")
    run_id: str = Field(title="Run", description="Flow run that answers for the batch.")
    name: str = Field("", title="Name", description="Name of this run for people.")
    shard: int = Field(0, ge=0, title="Shard", description="Which part, from 1 on; 0 is all of them.")
    of: int = Field(1, ge=1, title="Shards", description="How many parts the batch has.")
    shard_size: int = Field(2000, ge=1, title="Rows per shard", description="As the rows were divided.")
    mode: Literal["render", "finish", "drop"] = Field(
        "render",
        title="Mode",
        description="finish: submit nothing, archive what was accepted; drop: give that up.",
    )
    in_flight: int = Field(1000, ge=1, le=50_000, title="In flight", description="Most renders at the same time.")
    task_runs: int = Field(500, ge=0, le=2000, title="Task runs", description="Most task runs of this run.")
    hours: float = Field(12, gt=0, le=168, title="Hours", description="Longest time of the run.")
    on_cancel: Literal["finish", "drop"] = Field("finish", title="When cancelled", description="As in the batch.")

    @property
    def shards(self) -> list[int]:
        """The parts that are meant."""
        return [self.shard] if self.shard else list(range(1, self.of + 1))
