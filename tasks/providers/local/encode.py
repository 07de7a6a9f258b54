"""Write a talking video: H.264 and AAC in MP4, frame by frame, while the next frame is being drawn."""

import queue
import threading
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from tasks.providers.local.face import Floats, Image

_AUDIO_RATE: Final = 48_000
_CHUNK_SECONDS: Final = 0.5
_QUEUED_FRAMES: Final = 6
_STALL_SECONDS: Final = 120.0
"""An encoder that takes no frame for so long is stuck."""


class VideoWriter:
    """Writes one video; use it as a context manager and ``add`` its frames.

    The file appears under its name only when it is whole. Silence fills the sound up to the end of the last frame.

    Args:
        path: where the video goes.
        size: width and height in pixels, even.
        fps: constant frame rate.
        wave: float32[n], mono speech in [-1, 1].
        rate: samples per second of the wave.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: int, wave: Floats, rate: int) -> None:
        self._path, self._part = path, path.with_name(f"{path.name}.part")
        self._fps, self._wave, self._rate = fps, wave, rate
        self._frames = 0
        self._sent = 0
        self._queue: queue.Queue[Image | None] = queue.Queue(_QUEUED_FRAMES)
        self._error: BaseException | None = None
        self._container = av.open(str(self._part), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = self._add_video(*size)
        self._audio: AudioStream = self._container.add_stream("aac", rate=_AUDIO_RATE, layout="mono")
        self._audio.bit_rate = 128_000
        self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=_AUDIO_RATE)
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)

    def _add_video(self, width: int, height: int) -> VideoStream:
        stream: VideoStream = self._container.add_stream("libx264", rate=self._fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "20", "preset": "veryfast"}
        context = stream.codec_context
        context.thread_count = 2
        context.gop_size = 2 * self._fps
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        return stream

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def add(self, frame: Image) -> None:
        """Hand over the next frame, uint8[height, width, 3]; it must not be changed afterwards."""
        if self._error is not None:
            raise self._error
        self._queue.put(frame, timeout=_STALL_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._error is None:
            self._queue.put(None, timeout=_STALL_SECONDS)
        self._thread.join()
        whole = False
        try:
            good = kind is None and self._error is None
            if good:
                self._finish()
            self._container.close()
            whole = good
        finally:
            if not whole:
                self._part.unlink(missing_ok=True)
        if kind is None and self._error is not None:
            raise self._error
        if whole:
            self._part.replace(self._path)

    def _run(self) -> None:
        """Encode what is queued; runs in its own thread."""
        try:
            while (frame := self._queue.get()) is not None:
                self._encode(frame)
        except BaseException as error:  # noqa: BLE001 - raised again by the drawing thread
            self._error = error
            while not self._queue.empty():
                self._queue.get_nowait()

    def _encode(self, rgb: Image) -> None:
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p",
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = self._frames, Fraction(1, self._fps)
        self._frames += 1
        self._container.mux(self._video.encode(frame))
        if self._frames % max(1, round(self._fps * _CHUNK_SECONDS)) == 0:
            self._encode_sound(self._frames)

    def _encode_sound(self, frames: int) -> None:
        """Encode the sound that belongs to the frames so far, so that both streams lie side by side in the file."""
        end = round(frames * self._rate / self._fps)
        piece = self._wave[self._sent : end]
        silence = np.zeros(end - max(self._sent, 0) - len(piece), np.float32)
        samples = np.clip(np.concatenate([piece, silence]), -1, 1)[None].astype(np.float32)
        if samples.shape[1] == 0:
            return
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="flt", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = self._rate, self._sent, Fraction(1, self._rate)
        self._sent = end
        for resampled in self._resampler.resample(sound):
            self._container.mux(self._audio.encode(resampled))

    def _finish(self) -> None:
        self._encode_sound(self._frames)
        for resampled in self._resampler.resample(None):
            self._container.mux(self._audio.encode(resampled))
        self._container.mux(self._audio.encode(None))
        self._container.mux(self._video.encode(None))
