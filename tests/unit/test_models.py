"""The request form: what it shows, what it refuses, and in which words."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import RequestRefused
from tasks.models import RenderRequest
from tasks.request import read_request
from tests.bad_requests import FORM, GOOD, Bad


@pytest.mark.parametrize("bad", FORM, ids=lambda bad: bad.name)
def test_refusal_names_field_and_way_out(bad: Bad) -> None:
    """A wrong field is named, with what to do, and without a traceback's words."""
    with pytest.raises(RequestRefused) as refused:
        read_request(bad.request())

    assert bad.field in [problem.field for problem in refused.value.problems]
    assert bad.fix in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_all_problems_are_named_at_once() -> None:
    """Somebody who made three mistakes is told of three."""
    with pytest.raises(RequestRefused) as refused:
        read_request({**GOOD, "provider": "x", "title": 5, "tags": "no"})

    assert {problem.field for problem in refused.value.problems} == {"provider", "title", "tags"}


def test_good_request_is_read_as_it_is() -> None:
    """What the form sends comes back with the defaults filled in."""
    request = read_request(GOOD)

    assert request.output.resolution == "512p"
    assert request.output.fps == 25
    assert request.labels.visible
    assert read_request(request.model_dump(mode="json")) == request


@pytest.mark.parametrize(
    ("group", "fields", "kind"),
    [
        ("avatar", {"image": "s3://abc/d"}, "portrait"),
        ("avatar", {"video": "s3://abc/d"}, "clip"),
        ("avatar", {"avatar_id": "7"}, "stock"),
        ("avatar", {"custom_avatar_id": "7"}, "custom"),
        ("speech", {"text": "Hi.", "language": "en", "voice": "", "speed": 1}, "script"),
        ("speech", {"audio": "s3://abc/d"}, "recording"),
    ],
)
def test_kind_follows_from_the_fields(group: str, fields: dict[str, Any], kind: str) -> None:
    """The form sends no kind; what was filled in says which one it is."""
    request = read_request({**GOOD, group: fields})

    assert getattr(request, group).kind == kind


def _fields(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    models = {schema["title"]: schema, **schema["$defs"]}
    return {f"{model}.{name}": field for model, found in models.items() for name, field in found["properties"].items()}


def test_every_field_explains_itself() -> None:
    """The Prefect form shows a title, one sentence and a place for every field, so each must have them."""
    schema = RenderRequest.model_json_schema()

    for name, field in _fields(schema).items():
        assert field.get("title") or "$ref" in field, name
        assert field.get("description", "").endswith("."), name
        assert isinstance(field.get("position"), int), name


def test_choices_can_be_drawn_by_the_form() -> None:
    """Prefect draws `anyOf` as a choice and anything else as a box for raw JSON."""
    properties = RenderRequest.model_json_schema()["properties"]

    for name in ("avatar", "speech"):
        assert len(properties[name]["anyOf"]) >= 2
        assert "oneOf" not in properties[name]


def test_texts_and_numbers_are_bounded() -> None:
    """No field takes a text or list of any length, or a number of any size."""
    for name, field in _fields(RenderRequest.model_json_schema()).items():
        if field.get("type") == "string" and not {"const", "enum"} & field.keys():
            assert "maxLength" in field, name
        if field.get("type") == "number":
            assert {"minimum", "maximum"} <= field.keys(), name
        if field.get("type") == "array":
            assert "maxItems" in field, name


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "text", "x"]), inner),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from([*RenderRequest.model_fields, "more"]), _JSON),
)
def test_nothing_but_a_refusal_comes_out_of_nonsense(raw: dict[str, Any]) -> None:
    """Whatever JSON arrives, the answer is a request or a refusal that names at least one field."""
    with contextlib.suppress(RequestRefused):
        assert isinstance(read_request(raw), RenderRequest)
        return
    with pytest.raises(RequestRefused) as refused:
        read_request(raw)
    assert all(problem.field and problem.wrong for problem in refused.value.problems)
