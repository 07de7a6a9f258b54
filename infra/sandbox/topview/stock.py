"""What the sandbox's TopView has in stock: avatars, voices, ethnicities and captions, all invented."""

from typing import Any

_MEDIA = "https://media.sandbox.invalid"

ETHNICITIES = [
    {"ethnicityId": str(number), "ethnicityName": name}
    for number, name in enumerate(
        ("African", "East Asian", "European", "Latin American", "Middle Eastern", "South Asian"), 1
    )
]
SCENES = {"video_avatar", "product_avatar"}

_PUBLIC = [
    ("3327", "Ada", "female", "3", "v-en-ada"),
    ("3328", "Ben", "male", "3", "v-en-ben"),
    ("3329", "Chidi", "male", "1", "v-en-chidi"),
    ("3330", "Daiyu", "female", "2", "v-zh-daiyu"),
    ("3331", "Emi", "female", "2", "v-ja-emi"),
    ("3332", "Farid", "male", "5", "v-ar-farid"),
    ("3333", "Gabriela", "female", "4", "v-es-gabriela"),
    ("3334", "Hugo", "male", "4", "v-pt-hugo"),
    ("3335", "Indira", "female", "6", "v-hi-indira"),
    ("3336", "Jun", "male", "2", "v-ko-jun"),
    ("3337", "Klara", "female", "3", "v-de-klara"),
    ("3338", "Luc", None, None, None),
]
_PRIVATE = [
    ("p-9001", "Our presenter", "female", "3", "v-clone-presenter"),
    ("p-9002", "Our founder", "male", None, None),
]


def avatar(
    avatar_id: str, name: str, gender: str | None, ethnicity: str | None, voice: str | None, *, kind: int
) -> dict[str, Any]:
    """An avatar as AiAvatar Query shows it; ``kind``: 0 traditional, 1 zero-shot, 2 photo."""
    return {
        "aiavatarId": avatar_id,
        "aiavatarName": name,
        "gender": gender,
        "coverUrl": f"{_MEDIA}/avatars/{avatar_id}.jpg",
        "previewVideoUrl": f"{_MEDIA}/avatars/{avatar_id}.mp4",
        "ethnicities": [row for row in ETHNICITIES if row["ethnicityId"] == ethnicity] or None,
        "voiceoverIdDefault": voice,
        "faceSquareConfig": None,
        "type": kind,
    }


PUBLIC_AVATARS = {row[0]: avatar(*row, kind=0) for row in _PUBLIC}
PRIVATE_AVATARS = {row[0]: avatar(*row, kind=1) for row in _PRIVATE}

# Id, name, language, gender, age, style, accent.
_VOICES = [
    ("v-en-ada", "Ada", "en", "female", "Young", "UGC", "American"),
    ("v-en-ben", "Ben", "en", "male", "Middle Age", "Advertisement", "British"),
    ("v-en-chidi", "Chidi", "en", "male", "Young", "Influencer", "Nigerian"),
    ("v-en-olive", "Olive", "en", "female", "Old", "Cartoon_And_Animals", "British"),
    ("v-zh-daiyu", "Daiyu", "zh-CN", "female", "Young", "UGC", "Mandarin"),
    ("v-zh-wei", "Wei", "zh-CN", "male", "Middle Age", "Advertisement", "Mandarin"),
    ("v-zht-mei", "Mei", "zh-Hant", "female", "Young", "UGC", "Taiwanese"),
    ("v-ja-emi", "Emi", "ja", "female", "Young", "Influencer", "Tokyo"),
    ("v-ko-jun", "Jun", "ko", "male", "Young", "UGC", "Seoul"),
    ("v-ar-farid", "Farid", "ar", "male", "Middle Age", "Advertisement", "Standard"),
    ("v-es-gabriela", "Gabriela", "es", "female", "Middle Age", "UGC", "Mexican"),
    ("v-pt-hugo", "Hugo", "pt", "male", "Young", "Influencer", "Brazilian"),
    ("v-hi-indira", "Indira", "hi", "female", "Young", "UGC", "Standard"),
    ("v-de-klara", "Klara", "de", "female", "Middle Age", "Advertisement", "Standard"),
    ("v-fr-luc", "Luc", "fr", "male", "Old", "Advertisement", "Parisian"),
]
_CLONES = [
    ("v-clone-presenter", "Our presenter", "en", "female", None, None, None),
    ("v-clone-founder", "Our founder", "zh-CN", "male", None, None, None),
]
_VOICE_FIELDS = ("voiceId", "voiceName", "language", "gender", "age", "style", "accent")


def _voice(row: tuple[str | None, ...]) -> dict[str, Any]:
    return dict(zip(_VOICE_FIELDS, row, strict=True)) | {"demoAudioUrl": f"{_MEDIA}/voices/{row[0]}.mp3"}


PUBLIC_VOICES = {str(row[0]): _voice(row) for row in _VOICES}
CLONED_VOICES = {str(row[0]): _voice(row) for row in _CLONES}
ALL_VOICES = PUBLIC_VOICES | CLONED_VOICES

CAPTIONS = [
    {"captionId": f"c-{number}", "captionName": name, "thumbnail": f"{_MEDIA}/captions/{number}.png"}
    for number, name in enumerate(("Plain", "Bold", "Boxed", "Karaoke"), 1)
]
