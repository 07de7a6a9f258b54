"""The chaos tests use the studio and the media of the end-to-end tests; those of paid renders have one of their own."""

from collections.abc import Iterator

import pytest

from tests.chaos.figures import FIGURES
from tests.chaos.lives import Place
from tests.chaos.matrix import ROUNDS, Round, table
from tests.chaos.nursery import Nursery
from tests.e2e.api import StudioApi
from tests.e2e.conftest import api  # noqa: F401 - a fixture
from tests.reported import SECTIONS
from tests.studio_fixture import studio_in


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A studio with a sandbox, and a nursery of runs that may be killed."""
    folder = tmp_path_factory.mktemp("paid")
    with (
        studio_in(folder / "home", sandbox=True) as studio,
        Nursery(studio.environment, folder / "nursery") as nursery,
    ):
        yield Place(StudioApi(studio), nursery, folder)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish() -> None:
    """Tell of the crash matrix, and of what else was measured."""
    if FIGURES:
        SECTIONS["chaos, measured"] = FIGURES
    if ROUNDS:
        SECTIONS[f"crash matrix, {len(ROUNDS)} rounds"] = [*table(ROUNDS), *map(_kills, ROUNDS)]


def _kills(each: Round) -> str:
    spent = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in each.seconds.items())
    return f"{each.name}: {sum(life.kills for life in each.lives)} kills; {spent}"
