"""One running studio with media in its staging bucket, and its API as the UI uses it."""

import asyncio
from pathlib import Path

import pytest

from tests.e2e.api import StudioApi
from tests.e2e.staged import stage_media
from tests.studio_fixture import RunningStudio


@pytest.fixture(scope="session")
def api(running_studio: RunningStudio, tmp_path_factory: pytest.TempPathFactory) -> StudioApi:
    """The studio's API; good and bad media are staged."""
    folder: Path = tmp_path_factory.mktemp("media")
    studio_api = StudioApi(running_studio)
    asyncio.run(stage_media(studio_api.store(), folder))
    return studio_api
