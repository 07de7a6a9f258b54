"""Put a render request together from a file and flags; local files are uploaded to staging first."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tasks.blocks import load_store
from tasks.errors import Problem, RequestRefused
from tasks.settings import get_settings
from tasks.staging import stage_file

# The fields of a request that name media, by group.
MEDIA_FIELDS = (("avatar", "image"), ("avatar", "video"), ("speech", "audio"))
REMOTE = {"s3", "http", "https"}


def read_request_file(path: Path) -> dict[str, Any]:
    """Read a request from YAML or JSON; local media paths in it count from the file's folder.

    Raises:
        RequestRefused: the file is missing or does not hold one request.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        raw = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RequestRefused([Problem(str(path), f"cannot be read ({error}).", "Name a YAML or JSON file.")]) from None
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise RequestRefused([Problem(str(path), f"is not valid: {error}.", "Mend that line.")]) from None
    if not isinstance(raw, dict):
        raise RequestRefused(
            [Problem(str(path), "does not hold a request.", "Write fields such as avatar and speech.")]
        )
    for group, name in MEDIA_FIELDS:
        part = raw.get(group)
        if isinstance(part, dict) and is_local(part.get(name)):
            part[name] = str(path.parent / str(part[name]))
    return raw


def merge(base: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Flags win over the file; a flag that chooses another kind replaces the whole group."""
    merged = dict(base)
    for name, value in flags.items():
        old = merged.get(name)
        same_kind = isinstance(old, dict) and isinstance(value, dict) and value.get("kind") in {None, old.get("kind")}
        merged[name] = {**old, **value} if same_kind and isinstance(old, dict) else value
    return merged


def is_local(reference: object) -> bool:
    """Whether a media reference names a file on this machine."""
    return isinstance(reference, str) and bool(reference) and urlsplit(reference).scheme not in REMOTE


def local_files(request: dict[str, Any]) -> list[tuple[str, str, Path]]:
    """Group, field and path of every local file in a request.

    Raises:
        RequestRefused: naming every file that is not there.
    """
    local = [
        (group, name, Path(part[name]).expanduser())
        for group, name in MEDIA_FIELDS
        if isinstance(part := request.get(group), dict) and is_local(part.get(name))
    ]
    missing = [
        Problem(
            f"{group}.{name}",
            f"{str(path)!r} {'is not a file' if path.exists() else 'does not exist'}.",
            "Give the path of a file, without file://.",
        )
        for group, name, path in local
        if not path.is_file()
    ]
    if missing:
        raise RequestRefused(missing)
    return local


async def stage_local_files(request: dict[str, Any]) -> dict[str, Any]:
    """Upload local media and put their s3:// addresses in their place.

    Raises:
        RequestRefused: naming every file that is not there.
    """
    local = local_files(request)
    if not local:
        return request
    store = await load_store(get_settings().storage_block)
    staged = dict(request)
    for group, name, path in local:
        staged[group] = {**staged[group], name: await stage_file(store, path)}
    return staged
