"""The one package that speaks HTTP; its library's types stay in here."""

from tasks.http.api import Answer, ApiClient
from tasks.http.fetch import FetchedFile, fetch_public
from tasks.http.files import download, own_network, put_file
from tasks.http.guard import FetchRefused, FetchRules, Pace, is_transport_error, shown
from tasks.http.retry import asked_pause, may_repeat_download, may_repeat_poll, may_repeat_submit, patiently

__all__ = [
    "Answer",
    "ApiClient",
    "FetchRefused",
    "FetchRules",
    "FetchedFile",
    "Pace",
    "asked_pause",
    "download",
    "fetch_public",
    "is_transport_error",
    "may_repeat_download",
    "may_repeat_poll",
    "may_repeat_submit",
    "own_network",
    "patiently",
    "put_file",
    "shown",
]
