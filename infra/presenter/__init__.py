"""The bundled presenter: an invented person, a script and a recording to try the studio with."""

from pathlib import Path

_FOLDER = Path(__file__).parent
PRESENTER = _FOLDER / "presenter.png"
SCRIPT = _FOLDER / "script.txt"
RECORDING = _FOLDER / "speech.m4a"
