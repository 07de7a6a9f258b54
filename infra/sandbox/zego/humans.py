"""What the sandbox's ZEGO has in stock: digital humans and timbres, all invented (section 3)."""

from typing import Any

_MEDIA = "https://media.sandbox.invalid/zego"
_ACTIONS = ("idle_action", "mute_action", "802_921474", "802_921475")

Row = dict[str, Any]


def _human(human_id: str, name: str, actions: tuple[str, ...], *, public: bool) -> Row:
    return {
        "DigitalHumanId": human_id,
        "Name": name,
        "AvatarUrl": f"{_MEDIA}/humans/{human_id}.jpg",
        "IsPublic": public,
        "Actions": [{"Action": action, "PreviewUrl": f"{_MEDIA}/actions/{action}.mp4"} for action in actions],
    }


def _timbre(timbre_id: str, name: str) -> Row:
    return {"TimbreId": timbre_id, "Name": name, "AvatarUrl": f"{_MEDIA}/timbres/{timbre_id}.jpg"}


_PUBLIC_NAMES = (
    *("Anna", "Bo", "Carla", "Dinh", "Elif", "Femi", "Grace", "Hana", "Ivo", "Jing", "Kofi", "Lena"),
    *("Marco", "Nadia", "Omar", "Petra", "Quentin", "Rosa", "Sami", "Tuva", "Uma", "Viktor", "Wen"),
)
_PUBLIC = [_human(f"dh-{name.lower()}", name, () if name == "Bo" else _ACTIONS, public=True) for name in _PUBLIC_NAMES]
_PRIVATE = [
    _human("dh-own-presenter", "Our presenter", _ACTIONS[:3], public=False),
    _human("dh-own-founder", "Our founder", (), public=False),
    _human("dh-own-broken", "Unfinished", (), public=False),
    _human("dh-own-outdated", "Of last year", (), public=False),
]
HUMANS: dict[str, Row] = {row["DigitalHumanId"]: row for row in _PUBLIC + _PRIVATE}
BROKEN, OUTDATED = "dh-own-broken", "dh-own-outdated"
"""They are listed, but cannot stream: codes 400000010 and 400000016."""

_VOICES = ("calm", "bright", "warm", "young", "deep", "clear", "soft")
_LANGUAGES = ("en", "zh", "ja")
PUBLIC_TIMBRES: dict[str, Row] = {
    f"tb-{language}-{voice}": _timbre(f"tb-{language}-{voice}", f"{voice.title()} ({language})")
    for language in _LANGUAGES
    for voice in _VOICES
}
PRIVATE_TIMBRES: dict[str, dict[str, Row]] = {
    "dh-own-presenter": {"tb-own-presenter": _timbre("tb-own-presenter", "Our presenter")},
    "dh-own-founder": {"tb-own-founder": _timbre("tb-own-founder", "Our founder")},
}
"""By the digital human that they are bound to."""


def humans(fetch_mode: int) -> list[Row]:
    """Digital humans: 1 all, 2 public, 3 private."""
    return [row for row in HUMANS.values() if fetch_mode == 1 or row["IsPublic"] == (fetch_mode == 2)]


def timbres(human_id: str) -> list[Row]:
    """The private timbres of a digital human; without an id all public ones."""
    return list((PRIVATE_TIMBRES.get(human_id, {}) if human_id else PUBLIC_TIMBRES).values())


def timbre_exists(timbre_id: str) -> bool:
    """Whether there is such a timbre at all."""
    return timbre_id in PUBLIC_TIMBRES or any(timbre_id in bound for bound in PRIVATE_TIMBRES.values())


def can_speak(human_id: str, timbre_id: str) -> bool:
    """Whether a digital human may use a timbre: a public one, or one that is bound to it."""
    return timbre_id in PUBLIC_TIMBRES or timbre_id in PRIVATE_TIMBRES.get(human_id, {})


def can_act(human_id: str, action: str) -> bool:
    """Whether a digital human knows an action."""
    return any(known["Action"] == action for known in HUMANS[human_id]["Actions"])
