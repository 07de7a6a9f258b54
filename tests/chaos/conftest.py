"""The chaos tests use the studio and the media of the end-to-end tests."""

from tests.e2e.conftest import api  # noqa: F401 - a fixture
