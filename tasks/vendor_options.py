"""Choices that only one provider knows; the others do not read them."""

from typing import Literal

from pydantic import ConfigDict, Field

from tasks.form import Form, at


class TopViewOptions(Form):
    """What TopView's Video Avatar can be told beyond avatar and speech."""

    model_config = ConfigDict(title="TopView")

    mode: Literal["auto", "avatar1", "avatar2", "avatar4"] = Field(
        "auto",
        title="Mode",
        description="avatar1 changes only the mouth of a clip; avatar2 moves the body too, from the first picture; "
        "avatar4 must be allowed in the settings. 'auto' takes avatar2 for a portrait, else avatar1.",
        json_schema_extra=at(0),
    )
    caption_id: str = Field(
        "",
        max_length=200,
        title="Caption style",
        description="Id in TopView's caption catalogue; empty burns in no captions.",
        json_schema_extra=at(1),
    )
    save_avatar: bool = Field(
        default=False,
        title="Keep as avatar",
        description="Also keep the clip as an avatar of your account; a portrait is always kept by TopView.",
        json_schema_extra=at(2),
    )


class MingyanOptions(Form):
    """What mingyan's digitalHuman can be told beyond clip and recording."""

    model_config = ConfigDict(title="mingyan")

    model_version: Literal[1, 2] = Field(
        2,
        title="Model version",
        description="1: clearer teeth, for close-ups; 2: lips match better, for fast speech.",
        json_schema_extra=at(0),
    )
    side_face: bool = Field(
        default=False,
        title="Side face",
        description="Only for footage with a very strong profile angle.",
        json_schema_extra=at(1),
    )
    tilted_face: bool = Field(
        default=False,
        title="Tilted face",
        description="Only when the person faces the camera with a tilted head, so that the mouth is slanted.",
        json_schema_extra=at(2),
    )
