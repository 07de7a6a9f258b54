"""The settings every step reads, from ``STUDIO_*`` environment variables; bounds and reasons beside each."""

from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, computed_field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024
PAID_PROVIDERS = ("topview", "mingyan", "zego")


def _default_home() -> Path:
    """The checkout's own folder, from whichever folder a command is given; else one in the current folder."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout / ".studio" if (checkout / "pyproject.toml").exists() else Path(".studio")


class Price(BaseModel):
    """What a provider takes, as the operator knows it; parts that are not set cost nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_video: Decimal = Field(default=Decimal(0), ge=0)
    per_second: Decimal = Field(default=Decimal(0), ge=0, description="Of speech.")
    per_100_characters: Decimal = Field(default=Decimal(0), ge=0, description="Of a script.")
    unit: str = Field(min_length=1, max_length=20, description="Currency or the provider's credit.")


class Budget(BaseModel):
    """Caps on what a provider may cost, in the unit of its prices; None means no cap."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    month: Decimal | None = Field(default=None, ge=0, description="Per calendar month, UTC.")
    run: Decimal | None = Field(default=None, ge=0, description="Per run of a flow.")


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
    busy_patience_seconds: float = Field(
        default=300, ge=0, description="How long a render is offered again to a provider that does not accept it now."
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

    topview_block: str = Field(default="topview", description="Name of the TopView credentials block.")
    topview_speed_field: str = Field(
        default="",
        pattern=r"^[A-Za-z]*$",
        description="Field in which TopView is told the speaking rate; its name is not documented, so none is sent.",
    )
    topview_avatar4: bool = Field(
        default=False, description="Allow mode avatar4, which TopView does not document for this endpoint."
    )
    mingyan_block: str = Field(default="mingyan", description="Name of the mingyan credentials block.")
    zego_block: str = Field(default="zego", description="Name of the ZEGO credentials block.")
    zego_callback_secret: SecretStr = Field(
        default=SecretStr(""),
        description="CallbackSecret of the ZEGO project, which signs its callbacks; empty: none are taken.",
    )
    prices: dict[str, Price] = Field(
        default_factory=dict,
        description='Prices by provider or provider/mode, such as {"topview/avatar1": {"per_second": "0.1", '
        '"unit": "credits"}}.',
    )
    budgets: dict[str, Budget] = Field(
        default_factory=dict, description='Caps by provider, such as {"topview": {"month": "500", "run": "20"}}.'
    )
    query_rates: dict[str, float] = Field(
        default_factory=dict,
        description='Most questions a second by provider, where the default does not fit: {"topview": 10}.',
    )
    concurrency: dict[str, int] = Field(
        default_factory=dict,
        description='Most renders at the same time by provider, where an account has a limit: {"topview": 50}.',
    )
    webhook_url: str = Field(
        default="",
        description="Address at which providers reach the studio's webhooks; empty: no notices are asked for.",
    )
    webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="Makes webhook addresses unguessable; any long random text."
    )
    unattended_minutes: float = Field(
        default=10, gt=0, description="Minutes without any change after which a render counts as left behind."
    )
    reserved_hours: float = Field(
        default=24, gt=0, description="Hours after which an intent that was never submitted is given up."
    )

    local_pool_size: int = Field(default=1, ge=1, le=64, description="Local renders at the same time on this machine.")
    local_job_attempts: int = Field(
        default=2, ge=1, description="How often a local job whose renderer died is tried before it fails."
    )

    @field_validator("prices", "budgets", "query_rates", "concurrency")
    @classmethod
    def _names_providers(cls, table: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """A cap under a name that no provider has would silently be none."""
        for name in table:
            provider, _, mode = name.partition("/")
            if provider not in PAID_PROVIDERS or (mode and info.field_name != "prices"):
                form = "provider or provider/mode" if info.field_name == "prices" else "provider"
                raise ValueError(f"{name!r} is not a {form}; the providers are {', '.join(PAID_PROVIDERS)}.")
        return table

    @field_validator("query_rates", "concurrency")
    @classmethod
    def _is_positive(cls, table: dict[str, Any]) -> dict[str, Any]:
        for name, most in table.items():
            if most <= 0:
                raise ValueError(f"{name}: {most} must be more than 0.")
        return table

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
