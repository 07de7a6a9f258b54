"""Secrets that the studio makes up for itself, in private files that do not change between starts."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.errors import StudioError


def write_once(path: Path, content: str) -> None:
    """Write a private file that must not change between starts; complete or not at all."""
    if not path.exists():
        _write(path, content)


def _write(path: Path, content: str) -> None:
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
    zego_server_secret: str
    zego_callback_secret: str

    def __repr__(self) -> str:
        return "SandboxKeys(...)"


_LATER = {"zego_server_secret", "zego_callback_secret"}
"""Names that files of older studios lack."""


def make_webhook_secret(path: Path) -> None:
    """Make up the secret of webhook addresses, once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_once(path, secrets.token_hex(32) + "\n")


def read_webhook_secret(path: Path) -> str:
    """The secret of webhook addresses; empty before the first start."""
    return path.read_text(encoding="utf-8").strip() if path.exists() else ""


def make_sandbox_keys(path: Path) -> SandboxKeys:
    """The credentials of the sandbox, made up at its first start; an older file gets those that it lacks.

    Raises:
        StudioError: the file is damaged.
    """
    names = SandboxKeys.__dataclass_fields__
    fresh = {name: f"sandbox-{secrets.token_hex(16)}" for name in names}
    write_once(path, json.dumps(fresh, indent=1))
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        missing = {name: fresh[name] for name in _LATER - kept.keys()}
        keys = SandboxKeys(**kept, **missing)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise StudioError(
            f"the sandbox's credentials cannot be read from {path}: {error!r}.",
            fix="Delete it, then run `studio up --sandbox`: new ones are made.",
        ) from error
    if missing:
        _write(path, json.dumps(asdict(keys), indent=1))
    return keys
