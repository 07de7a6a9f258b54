"""`studio catalog`: what can be chosen from at a provider, with the ids that a request takes."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from deployments.cli.catalog_zego import AVATAR_COLUMNS, TIMBRE_COLUMNS, Row, avatars, timbres
from deployments.cli.console import Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config
from tasks.providers.topview.catalogs import LANGUAGES

if TYPE_CHECKING:
    from tasks.providers.topview.catalogs import Catalogs
    from tasks.providers.zego.client import ZegoClient

MOST_ROWS = 100_000


class CatalogProvider(StrEnum):
    """Providers that have catalogues."""

    TOPVIEW = "topview"
    ZEGO = "zego"


class Catalog(StrEnum):
    """Catalogues, in the words of their providers."""

    AVATARS = "avatars"
    VOICES = "voices"
    CAPTIONS = "captions"
    ETHNICITIES = "ethnicities"
    TIMBRES = "timbres"


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
_ZEGO_COLUMNS = {Catalog.AVATARS: AVATAR_COLUMNS, Catalog.TIMBRES: TIMBRE_COLUMNS}
OFFERED: dict[CatalogProvider, dict[Catalog, set[str]]] = {
    CatalogProvider.TOPVIEW: {
        Catalog.AVATARS: {"gender", "custom"},
        Catalog.VOICES: {"gender", "custom", "language"},
        Catalog.CAPTIONS: set(),
        Catalog.ETHNICITIES: set(),
    },
    CatalogProvider.ZEGO: {Catalog.AVATARS: {"custom"}, Catalog.TIMBRES: {"avatar"}},
}
"""The catalogues of each provider, and what each can be filtered by."""


def catalog(
    provider: Annotated[CatalogProvider, typer.Argument(help="Whose catalogue.")],
    what: Annotated[Catalog | None, typer.Argument(help="Which catalogue; of zego both, unless one is named.")] = None,
    *,
    language: Annotated[str | None, typer.Option(help="Only voices of this language, such as zh-CN.")] = None,
    gender: Annotated[Gender | None, typer.Option(help="Only avatars or voices of this gender.")] = None,
    custom: Annotated[bool, typer.Option("--custom", help="Your account's own avatars or voices.")] = False,
    avatar: Annotated[str | None, typer.Option(help="Only timbres that this avatar of zego can speak with.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_ROWS, help="Most rows to show of each.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List avatars, voices, captions, ethnicities or timbres of a provider."""
    given = {
        "language": language,
        "gender": gender.value if gender else None,
        "custom": custom or None,
        "avatar": avatar,
    }
    filters = {name: value for name, value in given.items() if value is not None}
    catalogs = _chosen(provider, what, filters)
    if language is not None and language not in LANGUAGES:
        raise typer.BadParameter(f"--language: choose one of {', '.join(LANGUAGES)}.")
    run_command(lambda output: _catalog(output, provider, catalogs, filters, limit), as_json=as_json)


def _chosen(provider: CatalogProvider, what: Catalog | None, filters: Mapping[str, Any]) -> list[Catalog]:
    offered = OFFERED[provider]
    if what is None and provider is CatalogProvider.ZEGO:
        # A filter names the catalogue that it is for.
        return [catalog for catalog in offered if filters.keys() <= offered[catalog]] or _unknown(filters, "zego")
    if what not in offered:
        raise typer.BadParameter(f"{provider} has {', '.join(offered)}; name one of them.")
    if unknown := filters.keys() - offered[what]:
        return _unknown(unknown, what)
    return [what]


def _unknown(filters: Collection[str], what: str) -> NoReturn:
    raise typer.BadParameter(f"{what} cannot be filtered by --{', --'.join(sorted(filters))}.")


def _catalog(
    output: Output, provider: CatalogProvider, catalogs: Sequence[Catalog], filters: Mapping[str, Any], limit: int
) -> int:
    join_running_studio(load_config())
    found = run_async(_read_of_studio(provider, catalogs, filters, limit))
    for what, (rows, is_all) in found.items():
        _show(output, _ZEGO_COLUMNS[what] if provider is CatalogProvider.ZEGO else _COLUMNS[what], rows)
        if not is_all:
            output.say(f"The first {limit}; --limit shows more.", style="dim")
        elif not rows:
            output.say("There are none.", style="dim")
    told: dict[str, Any] = {what.value: rows for what, (rows, _) in found.items()}
    if len(catalogs) == 1:
        told = {"catalog": catalogs[0].value, "rows": told[catalogs[0].value]}
    output.result(provider=provider.value, complete=all(is_all for _, is_all in found.values()), **told)
    return 0


def _show(output: Output, columns: Mapping[str, str], rows: Sequence[Row]) -> None:
    # Links are long and would tear the table apart; programs get them.
    shown = [name for name in columns if not name.endswith(("_url", "thumbnail"))]
    output.rows([columns[name] for name in shown], [[escape(row[name] or "") for name in shown] for row in rows])


async def _read_of_studio(
    provider: CatalogProvider, catalogs: Sequence[Catalog], filters: Mapping[str, Any], limit: int
) -> dict[Catalog, tuple[list[Row], bool]]:
    # Prefect reads the environment when it is imported.
    if provider is CatalogProvider.ZEGO:
        from tasks.ledger.opening import open_ledger  # noqa: PLC0415 - see above
        from tasks.show.account import load_zego  # noqa: PLC0415 - see above

        client = (await load_zego()).client
        # Opened first, as a call waits only a moment for its turn.
        async with open_ledger():
            return {what: await read_zego_catalog(client, what, filters, limit) for what in catalogs}
    from tasks.blocks import TopViewCredentials, load_block  # noqa: PLC0415 - see above
    from tasks.settings import get_settings  # noqa: PLC0415 - after the environment

    block = await load_block(TopViewCredentials, get_settings().topview_block)
    topview = block.get_client().catalogs
    return {what: await read_catalog(topview, what, filters, limit) for what in catalogs}


async def read_zego_catalog(
    client: "ZegoClient", what: Catalog, filters: Mapping[str, Any], limit: int
) -> tuple[list[Row], bool]:
    """Rows up to the limit, and whether these are all.

    Raises:
        ProviderError: ZEGO could not be asked.
    """
    readers: dict[Catalog, Callable[..., AsyncIterator[Row]]] = {Catalog.AVATARS: avatars, Catalog.TIMBRES: timbres}
    return await _up_to(limit, readers[what](client, **filters))


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
    found = readers[what](**filters)
    return await _up_to(limit, ({name: getattr(item, name) for name in _COLUMNS[what]} async for item in found))


async def _up_to(limit: int, found: AsyncIterator[Row]) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    async for row in found:
        if len(rows) == limit:
            return rows, False
        rows.append(row)
    return rows, True
