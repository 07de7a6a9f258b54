"""Own fields over shared ones."""

from typing import Any

from tasks.batch.manifest.columns import place_of
from tasks.form import infer_kind
from tasks.models import ClipAvatar, CustomAvatar, PortraitAvatar, RecordingSpeech, ScriptSpeech, StockAvatar

_KIND_FIELDS = {
    model.model_fields["kind"].default: frozenset(model.model_fields)
    for model in (PortraitAvatar, ClipAvatar, StockAvatar, CustomAvatar, ScriptSpeech, RecordingSpeech)
}


def overlay(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Own fields win over shared ones; of a shared avatar or speech stays only what goes with the own kind.

    The groups of the result are new; both arguments stay as they are.
    """
    merged = {name: dict(value) if isinstance(value, dict) else value for name, value in shared.items()}
    for name, value in own.items():
        old = merged.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[name] = {**_fitting(name, old, value), **value}
        else:
            merged[name] = dict(value) if isinstance(value, dict) else value
    return merged


def _fitting(group: str, shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    told = infer_kind(own)
    kind = told.get("kind") if isinstance(told, dict) else None
    fitting = _KIND_FIELDS.get(kind) if isinstance(kind, str) else None
    if fitting is None:
        return shared
    # A name that no kind has is a slip of the pen, and the form says so.
    return {
        name: value
        for name, value in shared.items()
        if name != "kind" and (name in fitting or place_of(f"{group}.{name}") is None)
    }
