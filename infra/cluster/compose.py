"""Reads infra/compose.yaml: the part of Docker Compose's file format that it uses, and nothing else.

A key or a form that is not modelled here is an error, since a launcher that overlooks one would start something else
than Docker does. Format: https://docs.docker.com/reference/compose-file/.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import StudioError

COMPOSE_FILE = Path(__file__).resolve().parents[1] / "compose.yaml"

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]

_PLACE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<kind>:-|:\?)(?P<word>[^{}$]*))?\})")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Build(_Strict):
    """How the image is made."""

    context: str
    dockerfile: str


class Healthcheck(_Strict):
    """A command that succeeds when the service can be used."""

    test: list[str] = Field(min_length=2)
    interval: str
    timeout: str
    retries: int


class Dependency(_Strict):
    """What another service must have reached."""

    condition: Condition


class Limits(_Strict):
    """Caps of one container."""

    memory: str


class Resources(_Strict):
    """Caps."""

    limits: Limits


class Deploy(_Strict):
    """How many containers, and how large."""

    replicas: int = Field(default=1, ge=1, le=64)
    resources: Resources | None = None


class Logging(_Strict):
    """Where Docker keeps what is printed."""

    driver: Literal["json-file"]
    options: dict[str, str]


class Service(_Strict):
    """One service, as far as this project describes any."""

    image: str
    build: Build | None = None
    profiles: list[str] = []
    command: list[str] = Field(min_length=1)
    working_dir: str = ""
    environment: dict[str, str] = {}
    expose: list[str] = []
    ports: list[str] = []
    volumes: list[str] = []
    depends_on: dict[str, Dependency] = {}
    healthcheck: Healthcheck | None = None
    restart: Literal["no", "unless-stopped"]
    stop_grace_period: str = "10s"
    deploy: Deploy = Deploy()
    init: bool = False
    shm_size: str = ""
    security_opt: list[str] = []
    cap_drop: list[str] = []
    logging: Logging | None = None


class Compose(_Strict):
    """The whole file, with every variable filled in."""

    name: str
    services: dict[str, Service]
    volumes: dict[str, dict[str, str]]

    def chosen(self, profiles: frozenset[str]) -> dict[str, Service]:
        """The services that are started with these profiles.

        Raises:
            StudioError: no service has such a profile.
        """
        known = {profile for service in self.services.values() for profile in service.profiles}
        if unknown := profiles - known:
            raise StudioError(f"no service has the profile {', '.join(sorted(unknown))}.", fix=f"See {COMPOSE_FILE}.")
        return {
            name: service
            for name, service in self.services.items()
            if not service.profiles or profiles.intersection(service.profiles)
        }


def read_compose(variables: Mapping[str, str], path: Path = COMPOSE_FILE) -> Compose:
    """Read the file and fill in the variables.

    Raises:
        StudioError: a variable is missing, or the file has a key or a form that is not understood here.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    kept = {key: value for key, value in content.items() if not key.startswith("x-")}
    try:
        return Compose.model_validate(_filled(kept, variables))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise StudioError(
            f"{path.name} is not understood: {wrong}", fix="Teach infra/cluster/compose.py the key, and what it means."
        ) from error


def _filled(content: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(content, str):
        return fill_in(content, variables)
    if isinstance(content, dict):
        return {key: _filled(value, variables) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, variables) for value in content]
    return content


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``${NAME}``, ``${NAME:-default}``, ``${NAME:?what to do}`` and ``$$`` as Compose does.

    Raises:
        StudioError: a required variable is not set, or there is a form that is not known here.
    """
    end, filled = 0, []
    for place in _PLACE.finditer(text):
        filled += [_plain(text[end : place.start()]), _value(place, variables)]
        end = place.end()
    return "".join([*filled, _plain(text[end:])])


def _plain(text: str) -> str:
    if "$" in text:
        fix = "Write $$, ${NAME}, ${NAME:-…} or ${NAME:?…}."
        raise StudioError(f"{text!r} has a $ that is not understood.", fix=fix)
    return text


def _value(place: re.Match[str], variables: Mapping[str, str]) -> str:
    if place["dollar"]:
        return "$"
    value = variables.get(place["name"], "")
    if value or not place["kind"]:
        return value
    if place["kind"] == ":-":
        return str(place["word"])
    raise StudioError(f"{place['name']} is not set.", fix=place["word"] or "Set it in infra/.env.")


def seconds(duration: str) -> float:
    """Seconds of one of Compose's durations: ``90s``, ``2m``.

    Raises:
        StudioError: another form.
    """
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    if not found:
        raise StudioError(f"{duration!r} is no duration.", fix="Write 90s or 2m.")
    return int(found[1]) * (60 if found[2] == "m" else 1)
