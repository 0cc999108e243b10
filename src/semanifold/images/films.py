"""Films: frames as video and gif, by the ffmpeg that comes with imageio-ffmpeg."""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache
from pathlib import Path

from PIL import Image

from semanifold.core.errors import SemanifoldError
from semanifold.images.media import VIEWABLE, Frames, enlarge
from semanifold.storage.files import replacing
from semanifold.storage.marks import CODES, GENERATED, Source, mark_gif, mark_mp4, marking

GIF_RATE = 20
COLOURS = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-color_primaries", "bt709"]
COLOURS += ["-color_trc", "bt709"]
H264 = [*COLOURS, "-c:v", "libx264", "-crf", "14", "-preset", "medium", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
KEPT = 1 << 27
"""Bytes of enlarged frames that are kept while a film is written, at most."""
PALETTE_FRAMES = 12
"""Frames, evenly over a gif, that decide its palette, about."""


def save_film(
    frames: Frames,
    path: str | os.PathLike[str],
    *,
    fps: float = 20,
    size: int | None = None,
    ping_pong: bool = False,
    loops: int = 1,
    source: Source | None = GENERATED,
) -> Path:
    """Write a film in the format that its name ends in.

    - ``.mp4``: H.264 that every player shows (yuv420p, even sides, BT.709).
    - ``.webm``: VP9, which keeps the transparency of RGBA frames ``[h, w, 4]`` (yuva420p, even sides, BT.709). No standard says
      where WebM has its XMP: how it was made is a tag of its own, ``DIGITALSOURCETYPE``.
    - ``.gif``: endless, with one palette for the whole clip and ordered dither, so that static parts do not flicker. Of more than
      :data:`GIF_RATE` frames per second every second one is written: gifs are large, and few players show more; what lies beyond
      50 they slow down.

    Args:
        frames: the pictures.
        path: the file.
        fps: frames per second.
        size: longer side in pixels; when None, small pictures are enlarged to 512, in a gif to 256, and others stay, in a gif up
            to 512.
        ping_pong: whether the film runs back to its start.
        loops: how often the film runs through, unless it is endless.
        source: how it was made.
    """
    path = Path(path)
    form, longest, shown = path.suffix.lower(), max(frames[0].shape[:2]), order(len(frames), ping_pong=ping_pong)
    if form == ".gif":
        usual, mark = min(max(longest, 256), VIEWABLE), mark_gif
        if fps > GIF_RATE and len(frames) > 3:
            shown, fps = shown[::2], fps / 2
        output = _gif(len(shown))
    else:
        usual, mark = max(longest, VIEWABLE), None if form == ".webm" else mark_mp4
        shown *= loops
        output = _vp9(source, clear=frames[0].shape[-1] == 4) if form == ".webm" else [*H264, "-f", "mp4"]
    with replacing(path) as part:
        _ffmpeg(frames, Path(part), fps, usual if size is None else size, output, shown, path.name)
        if mark is not None:
            mark(Path(part), source)
    return path


def _vp9(source: Source | None, *, clear: bool) -> list[str]:
    """Return the words of ffmpeg for VP9; frames that are not shown, which it makes otherwise, would lose their transparency."""
    codec = ["-c:v", "libvpx-vp9", "-crf", "18", "-b:v", "0", "-auto-alt-ref", "0", "-cpu-used", "4"]
    tag = [] if marking(source) is None else ["-metadata", f"DIGITALSOURCETYPE={CODES}{source}"]
    return [*COLOURS, *codec, "-pix_fmt", "yuva420p" if clear else "yuv420p", *tag, "-f", "webm"]


def _gif(n: int) -> list[str]:
    """Return the words of ffmpeg for a gif of n frames; a palette of every frame would take as long as all the rest."""
    graph = f"split[a][b];[a]select=not(mod(n\\,{n // PALETTE_FRAMES + 1})),palettegen=stats_mode=full[p];"
    graph += "[b][p]paletteuse=dither=bayer:bayer_scale=4:diff_mode=rectangle"
    return ["-filter_complex", graph, "-loop", "0", "-f", "gif"]


def order(n: int, *, ping_pong: bool) -> list[int]:
    """Return the order in which n frames are shown; back and forth, the ends are shown once."""
    return [*range(n), *(range(n - 2, 0, -1) if ping_pong else ())]


def _ffmpeg(frames: Frames, part: Path, fps: float, size: int, output: list[str], shown: list[int], name: str) -> None:
    """Feed enlarged frames in an order to the bundled ffmpeg; both sides are made even.

    Our own: ``imageio_ffmpeg.write_frames`` does not ask how ffmpeg ended, so that half a film on a full disk passes for a whole.
    """
    if not 0.1 <= fps <= 240:
        raise SemanifoldError(f"fps is the number of frames per second, between 0.1 and 240, but it is {fps}.")
    if not 2 <= size <= 8192:
        raise SemanifoldError(f"size is the longer side of the film in pixels, between 2 and 8192, but it is {size}.")
    import imageio_ffmpeg  # noqa: PLC0415  (slow to import)

    first = enlarge(frames[0], size)
    sides = (first.width // 2 * 2 or 2, first.height // 2 * 2 or 2)
    form = "rgba" if first.mode == "RGBA" else "rgb24"

    @lru_cache(max(1, KEPT // (4 * sides[0] * sides[1])))  # most films show each frame several times
    def pixels(index: int) -> bytes:
        return enlarge(frames[index], size).resize(sides, Image.Resampling.LANCZOS).tobytes()

    raw = ["-f", "rawvideo", "-pix_fmt", form, "-s", f"{sides[0]}x{sides[1]}", "-r", f"{fps:g}", "-i", "-"]
    target = f"file:{part}"  # a name with a colon is no protocol
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *raw, *output, target]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            for index in shown:
                process.stdin.write(pixels(index))
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg gave up; its own words say why
        except BaseException:
            process.kill()
            raise
        words = process.stderr.read().decode(errors="replace").strip()
    if process.returncode != 0:
        raise OSError(f"ffmpeg could not write {name}: {(words or 'no reason given').splitlines()[0]}")
