"""`studio catalog`: what can be chosen from at a provider, with the ids that a request takes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from deployments.cli.console import Output, join_running_studio, run_command
from infra.studio.config import load_config
from tasks.providers.topview.catalogs import LANGUAGES

if TYPE_CHECKING:
    from tasks.providers.topview.catalogs import Catalogs

MOST_ROWS = 100_000
Row = dict[str, str | None]


class CatalogProvider(StrEnum):
    """Providers that have catalogues."""

    TOPVIEW = "topview"


class Catalog(StrEnum):
    """Catalogues, in the words of the field."""

    AVATARS = "avatars"
    VOICES = "voices"
    CAPTIONS = "captions"
    ETHNICITIES = "ethnicities"


class Gender(StrEnum):
    """Filter of avatars and voices."""

    FEMALE = "female"
    MALE = "male"


# Column titles by the fields of a row, the id that a request takes first.
_COLUMNS: dict[Catalog, dict[str, str]] = {
    Catalog.AVATARS: {
        "aiavatar_id": "Avatar id",
        "aiavatar_name": "Name",
        "gender": "Gender",
        "voiceover_id_default": "Its voice",
        "preview_video_url": "Preview",
    },
    Catalog.VOICES: {
        "voice_id": "Voice id",
        "voice_name": "Name",
        "language": "Language",
        "gender": "Gender",
        "age": "Age",
        "style": "Style",
        "accent": "Accent",
        "demo_audio_url": "Sample",
    },
    Catalog.CAPTIONS: {"caption_id": "Caption id", "thumbnail": "Picture"},
    Catalog.ETHNICITIES: {"ethnicity_id": "Ethnicity id", "ethnicity_name": "Name"},
}
_FILTERS: dict[Catalog, set[str]] = {
    Catalog.AVATARS: {"gender", "custom"},
    Catalog.VOICES: {"gender", "custom", "language"},
    Catalog.CAPTIONS: set(),
    Catalog.ETHNICITIES: set(),
}


def catalog(
    provider: Annotated[CatalogProvider, typer.Argument(help="Whose catalogue.")],
    what: Annotated[Catalog, typer.Argument(help="Which catalogue.")],
    *,
    language: Annotated[str | None, typer.Option(help="Only voices of this language, such as zh-CN.")] = None,
    gender: Annotated[Gender | None, typer.Option(help="Only avatars or voices of this gender.")] = None,
    custom: Annotated[bool, typer.Option("--custom", help="Your account's own avatars or voices.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="Most rows to show.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List avatars, voices, captions or ethnicities of a provider."""
    given = {
        "language": language,
        "gender": gender.value if gender else None,
        "custom": custom or None,
    }
    filters = {name: value for name, value in given.items() if value is not None}
    if unknown := sorted(filters.keys() - _FILTERS[what]):
        raise typer.BadParameter(f"{what} cannot be filtered by --{', --'.join(unknown)}.")
    if language is not None and language not in LANGUAGES:
        raise typer.BadParameter(f"--language: choose one of {', '.join(LANGUAGES)}.")
    run_command(lambda output: _catalog(output, provider, what, filters, limit), as_json=as_json)


def _catalog(output: Output, provider: CatalogProvider, what: Catalog, filters: Mapping[str, Any], limit: int) -> int:
    join_running_studio(load_config())
    rows, is_all = asyncio.run(_read_of_studio(what, filters, limit))
    columns = _COLUMNS[what]
    # Links are long and would tear the table apart; programs get them.
    shown = [name for name in columns if not name.endswith(("_url", "thumbnail"))]
    output.rows([columns[name] for name in shown], [[escape(row[name] or "") for name in shown] for row in rows])
    if not is_all:
        output.say(f"The first {limit}; --limit shows more.", style="dim")
    elif not rows:
        output.say("There are none.", style="dim")
    output.result(provider=provider.value, catalog=what.value, rows=rows, complete=is_all)
    return 0


async def _read_of_studio(what: Catalog, filters: Mapping[str, Any], limit: int) -> tuple[list[Row], bool]:
    # Prefect reads the environment when it is imported.
    from tasks.blocks import TopViewCredentials, load_block  # noqa: PLC0415 - see above
    from tasks.settings import get_settings  # noqa: PLC0415 - after the environment

    block = await load_block(TopViewCredentials, get_settings().topview_block)
    return await read_catalog(block.get_client().catalogs, what, filters, limit)


async def read_catalog(
    catalogs: "Catalogs", what: Catalog, filters: Mapping[str, Any], limit: int
) -> tuple[list[Row], bool]:
    """Rows up to the limit, and whether these are all.

    Raises:
        ProviderError: the provider could not be asked.
    """
    readers: dict[Catalog, Callable[..., AsyncIterator[Any]]] = {
        Catalog.AVATARS: catalogs.avatars,
        Catalog.VOICES: catalogs.voices,
        Catalog.CAPTIONS: catalogs.captions,
        Catalog.ETHNICITIES: catalogs.ethnicities,
    }
    rows: list[Row] = []
    async for item in readers[what](**filters):
        if len(rows) == limit:
            return rows, False
        rows.append({name: getattr(item, name) for name in _COLUMNS[what]})
    return rows, True
