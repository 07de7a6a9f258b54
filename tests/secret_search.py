"""Looks for secrets in everything that a studio leaves behind: files, databases, Prefect's API, buckets."""

import base64
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import httpx

from tasks.storage import ObjectStore

Place = tuple[str, bytes]
"""Where something was found, for people, and its content."""

_LISTS = (
    "flow_runs",
    "task_runs",
    "logs",
    "artifacts",
    "deployments",
    "variables",
    "flows",
    "automations",
    "work_pools",
    "block_documents",
    "block_types",
    "v2/concurrency_limits",
)
_PAGE = 200
_MOST_OBJECT_BYTES = 16 * 1024 * 1024


def forms_of(secret: str) -> dict[str, bytes]:
    """A secret as it stands in texts: whole or half, quoted for URLs, in hex, and in base64 within longer content."""
    raw = secret.encode()
    quoted_whole = "".join(f"%{byte:02X}" for byte in raw)
    forms = {
        "plain": raw,
        "first half": raw[: len(raw) // 2],
        "second half": raw[len(raw) // 2 :],
        "URL-quoted": quote(secret, safe="").encode(),
        "wholly URL-quoted": quoted_whole.encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "UTF-16": secret.encode("utf-16-le"),
    }
    for before in range(3):
        # The first and last signs depend on what stands beside the secret.
        whole = base64.b64encode(bytes(before) + raw)
        middle = whole[4 if before else 0 : len(whole) - 4]
        forms[f"base64+{before}"] = middle
        forms[f"URL-safe base64+{before}"] = middle.replace(b"+", b"-").replace(b"/", b"_")
    return forms


class SecretSearch:
    """Finds secrets in any of their forms.

    Args:
        secrets: by name.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        assert all(len(secret) >= 20 for secret in secrets.values()), "too short to be told from ordinary words"
        self._wanted = {
            (name, form): text for name, secret in secrets.items() for form, text in forms_of(secret).items()
        }

    def found_in(self, where: str, content: bytes) -> set[str]:
        """The secrets in a content, in words for people; never the secrets themselves."""
        return {f"{name} ({form}) in {where}" for (name, form), text in self._wanted.items() if text in content}


def files_below(folder: Path) -> Iterator[Place]:
    """Every file as it is, and the values in every SQLite database: pages may cut a value in two."""
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        where = path.relative_to(folder).as_posix()
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes()
            yield where, content
            if content.startswith(b"SQLite format 3\0"):
                yield from _rows_of(path, where)


def _rows_of(path: Path, where: str) -> Iterator[Place]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.text_factory = bytes
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        for (table,) in tables:
            name = table.decode()
            for row in database.execute(f'select * from "{name}"'):  # noqa: S608 - names from the database itself
                yield f"{where}, table {name}", b"\n".join(_bytes(value) for value in row)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def prefect_answers(api_url: str) -> Iterator[Place]:
    """What Prefect's API tells anybody who asks: all lists, page by page, and all events."""
    with httpx.Client(base_url=api_url, timeout=60) as client:
        for name in _LISTS:
            page = 0
            while (
                rows := client.post(f"{name}/filter", json={"offset": page * _PAGE, "limit": _PAGE})
                .raise_for_status()
                .json()
            ):
                yield f"Prefect's {name}", json.dumps(rows, ensure_ascii=False).encode()
                page += 1
                if name == "flow_runs":
                    yield from _states_of(client, rows)
        answer = client.post("events/filter", json={"limit": 50}).raise_for_status().json()
        while True:
            yield "Prefect's events", json.dumps(answer["events"], ensure_ascii=False).encode()
            if not answer["next_page"]:
                return
            answer = client.get(answer["next_page"]).raise_for_status().json()


def _states_of(client: httpx.Client, runs: list[dict[str, str]]) -> Iterator[Place]:
    for run in runs:
        states = client.get("flow_run_states/", params={"flow_run_id": run["id"]}).raise_for_status().json()
        yield "Prefect's flow run states", json.dumps(states, ensure_ascii=False).encode()


async def objects_in(store: ObjectStore, *buckets: str) -> AsyncIterator[Place]:
    """Every object with its key and metadata, as far as it is not large."""
    for bucket in buckets:
        async for facts in store.list_objects(bucket):
            head = await store.head(bucket, facts.key)
            yield f"the name of {bucket}/{facts.key}", f"{facts.key} {head}".encode()
            if facts.size <= _MOST_OBJECT_BYTES:
                yield f"{bucket}/{facts.key}", await store.get_bytes(bucket, facts.key, limit=_MOST_OBJECT_BYTES)
