"""Secrets that the studio makes up for itself, in private files that do not change between starts."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import StudioError


def write_once(path: Path, content: str) -> None:
    """Write a private file that must not change between starts; complete or not at all."""
    if path.exists():
        return
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(content, encoding="utf-8")
    fresh.replace(path)


@dataclass(frozen=True)
class SandboxKeys:
    """Who may call the sandbox."""

    topview_uid: str
    topview_key: str
    mingyan_key: str

    def __repr__(self) -> str:
        return "SandboxKeys(...)"


def make_webhook_secret(path: Path) -> None:
    """Make up the secret of webhook addresses, once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_once(path, secrets.token_hex(32) + "\n")


def read_webhook_secret(path: Path) -> str:
    """The secret of webhook addresses; empty before the first start."""
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def make_sandbox_keys(path: Path) -> SandboxKeys:
    """The credentials of the sandbox, made up at its first start.

    Raises:
        StudioError: the file is damaged.
    """
    names = SandboxKeys.__dataclass_fields__
    write_once(path, json.dumps({name: f"sandbox-{secrets.token_hex(16)}" for name in names}, indent=1))
    try:
        return SandboxKeys(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StudioError(
            f"the sandbox's credentials cannot be read from {path}: {error!r}.",
            fix="Delete it, then run `studio up --sandbox`: new ones are made.",
        ) from error
