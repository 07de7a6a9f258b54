"""What can be chosen from at TopView: avatars, voices, ethnicities, captions; section 7 of the vendor page."""

from collections.abc import AsyncIterator
from typing import Literal

from tasks.providers.topview.api import TopViewApi
from tasks.providers.topview.models import AiAvatar, Caption, Ethnicity, Voice
from tasks.providers.topview.paging import read_list, read_pages

Gender = Literal["male", "female"]

# fmt: off
LANGUAGES = (
    "en", "ar", "bg", "hr", "cs", "da", "nl", "fil", "fi", "fr", "de", "el", "hi", "hu", "id", "it", "ja", "ko", "ms",
    "nb", "pl", "pt", "ro", "ru", "zh-CN", "sk", "es", "sv", "zh-Hant", "tr", "uk", "vi", "th",
)
# fmt: on
"""Languages of the voices."""


class Catalogs:
    """The catalogues of one account; everything is read while it is taken, page by page."""

    def __init__(self, api: TopViewApi) -> None:
        self._api = api

    def avatars(
        self, *, custom: bool = False, gender: Gender | None = None, ethnicity_ids: str = ""
    ) -> AsyncIterator[AiAvatar]:
        """Avatars of TopView, or of the account where ``custom``."""
        params = _params(isCustom=custom, gender=gender, ethnicityIdList=ethnicity_ids)
        return read_pages(self._api, "/v1/aiavatar/query", params, AiAvatar, call="avatars")

    def voices(
        self,
        *,
        language: str = "",
        gender: Gender | None = None,
        age: str = "",
        style: str = "",
        accent: str = "",
        custom: bool = False,
    ) -> AsyncIterator[Voice]:
        """Voices of TopView, or cloned ones of the account where ``custom``."""
        params = _params(language=language, gender=gender, age=age, style=style, accent=accent, isCustom=custom)
        return read_pages(self._api, "/v1/voice/query", params, Voice, call="voices")

    def ethnicities(
        self, scene: Literal["video_avatar", "product_avatar"] = "video_avatar"
    ) -> AsyncIterator[Ethnicity]:
        """Ethnicities that avatars can be filtered by."""
        return read_pages(self._api, "/v1/ethnicity/list", {"scene": scene}, Ethnicity, call="ethnicities")

    def captions(self) -> AsyncIterator[Caption]:
        """Styles of burnt-in captions."""
        return read_list(self._api, "/v1/caption/list", Caption, call="captions")


def _params(**given: str | bool | None) -> dict[str, str]:
    """Filters that were given; false is the default everywhere and is not sent."""
    return {name: "true" if value is True else str(value) for name, value in given.items() if value}
