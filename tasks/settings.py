"""The settings every step reads, from ``STUDIO_*`` environment variables; bounds and reasons beside each."""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, computed_field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


def _default_home() -> Path:
    """The checkout's own folder, from whichever folder a command is given; else one in the current folder."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout / ".studio" if (checkout / "pyproject.toml").exists() else Path(".studio")


class StudioSettings(BaseSettings):
    """Where state lives, and the caps and deadlines that the steps keep."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_", extra="ignore")

    home: Path = Field(
        default_factory=_default_home,
        description="Folder of all state on this machine; without it, .studio in the checkout.",
    )
    ledger_url: str = Field(
        default="",
        description="SQLAlchemy URL of the ledger; empty means a SQLite file in the home folder.",
        repr=False,
    )
    storage_block: str = Field(default="studio-archive", description="Name of the S3 storage block that workers load.")

    max_image_bytes: int = Field(default=50 * MIB, ge=1024, description="Largest portrait file accepted.")
    max_audio_bytes: int = Field(default=512 * MIB, ge=1024, description="Largest recording accepted.")
    max_video_bytes: int = Field(default=2048 * MIB, ge=1024, description="Largest clip accepted.")
    max_result_bytes: int = Field(default=8192 * MIB, ge=1024, description="Largest finished video accepted.")
    max_speech_seconds: float = Field(default=3600, gt=0, description="Longest speech accepted, in seconds.")
    max_clip_seconds: float = Field(default=3600, gt=0, description="Longest clip accepted, in seconds.")
    max_image_pixels: int = Field(
        default=64_000_000,
        ge=10_000,
        description="Most pixels a portrait may have; guards against decompression bombs.",
    )
    fetch_timeout_seconds: float = Field(default=600, gt=0, description="Deadline for fetching one media file.")
    private_media_hosts: frozenset[str] = Field(
        default=frozenset(),
        description="host:port pairs on private or loopback addresses that media may be fetched from, also over http.",
    )
    readable_buckets: frozenset[str] = Field(
        default=frozenset({"staging", "archive", "inbox"}),
        description="Buckets that s3:// references in a request may name.",
    )

    submit_timeout_seconds: float = Field(
        default=120, gt=0, description="A submission without an answer for longer than this is ambiguous."
    )
    render_deadline_seconds: float = Field(
        default=3600, gt=0, description="Longest wait for one render; after it the run ends and says how to resume."
    )
    restart_cap: int = Field(
        default=5, ge=0, description="How often a crashed run is started again before it needs a person."
    )
    link_hours: int = Field(
        default=168, ge=1, le=168, description="Life of the download links, in hours; S3 allows 7 days."
    )

    local_pool_size: int = Field(default=1, ge=1, le=64, description="Local renders at the same time on this machine.")
    local_job_attempts: int = Field(
        default=2, ge=1, description="How often a local job whose renderer died is tried before it fails."
    )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def root(self) -> Path:
        """Absolute home folder."""
        return self.home.expanduser().resolve()

    @property
    def scratch(self) -> Path:
        """Folder of temporary files; anything older than a day may be deleted."""
        return self.root / "scratch"

    @property
    def spool(self) -> Path:
        """Folder of the local renderer's jobs."""
        return self.root / "local-renderer"

    def ledger_database_url(self) -> str:
        """SQLAlchemy URL of the ledger, with an async driver."""
        return self.ledger_url or f"sqlite+aiosqlite:///{self.root / 'ledger.db'}"


@lru_cache(maxsize=1)
def get_settings() -> StudioSettings:
    """Read the settings once per process."""
    return StudioSettings()
