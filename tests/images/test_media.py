"""Pictures, films and plots: right size, right content, whole or not at all."""

import builtins
import os
import subprocess
import sys
import types
import warnings
from importlib.util import find_spec
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from semanifold.core.errors import SemanifoldError
from semanifold.edits.films import timed_strip
from semanifold.images import films, media, plots
from semanifold.storage.marks import CODES, GENERATED, SWITCH

WIDE = (30, 47)  # odd sides, not square


def film(n: int = 6, shape: tuple[int, int] = (16, 16), *, channels: int = 3) -> torch.Tensor:
    """A bright blob that grows in the lower half of a grey ramp; the upper half stands still."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, shape[0]), torch.linspace(-1, 1, shape[1]), indexing="ij")
    ramp = (0.6 * x).expand(channels, -1, -1)
    blob = ((x**2 + (y - 0.5) ** 2) < 0.15).float()
    return torch.stack([ramp * (1 - blob) + blob * (i / max(n - 1, 1)) for i in range(n)])


def lower_half(shape: tuple[int, int] = (16, 16)) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.float32)
    mask[shape[0] // 2 :] = 1
    return mask


def decode(path: Path) -> np.ndarray:
    """All frames of a video or gif, as the bundled ffmpeg sees them."""
    reader = imageio_ffmpeg.read_frames(path)
    size = next(reader)["size"]
    return np.stack([np.frombuffer(frame, np.uint8).reshape(size[1], size[0], 3) for frame in reader])


def test_to_uint8_maps_the_range_and_clamps():
    images = torch.tensor([-2.0, -1.0, 0.0, 1.0, 5.0]).reshape(5, 1, 1, 1)
    assert media.to_uint8(images).reshape(5, 3).tolist() == [[v] * 3 for v in (0, 0, 128, 255, 255)]


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(1, 5, 8, 8), torch.full((1, 3, 4, 4), torch.nan)])
def test_to_uint8_refuses_what_is_no_picture(images):
    with pytest.raises(SemanifoldError, match=r"pictures|Pictures"):
        media.to_uint8(images)


def test_transparent_pictures_keep_their_opacity_in_files_and_are_shown_over_a_checkerboard(tmp_path):
    images = torch.full((2, 4, 32, 48), -1.0)
    images[:, 0] = 1  # red
    images[1, 3, :, 24:] = 1  # of which the right half is there
    pixels = media.to_pixels(images)
    media.save_frames(pixels, tmp_path / "frames")
    stored = np.asarray(Image.open(tmp_path / "frames" / "frame_0001.png"))
    assert np.array_equal(stored, pixels[1])
    assert stored[0, 0].tolist() == [255, 0, 0, 0]
    empty, half = media.to_uint8(images)
    assert np.array_equal(media.FrameFolder(tmp_path / "frames")[1], half)
    assert set(map(tuple, empty.reshape(-1, 3))) == {(153,) * 3, (204,) * 3}
    assert (empty == empty[0, 0]).all(2).mean() == 0.5
    assert np.array_equal(half[:, :24], empty[:, :24])
    assert (half[:, 24:] == (255, 0, 0)).all()
    images[:, 3] = 0  # half opaque
    assert media.to_uint8(images)[0, 0, 0].tolist() == pytest.approx([230, 102, 102], abs=1)


def test_webm_keeps_the_opacity_of_a_film(tmp_path, monkeypatch):
    images = torch.rand(5, 4, 32, 48, generator=torch.Generator().manual_seed(0))
    images[:, :3], images[:, 3] = images[:, :3, :1, :1], -1
    for i in range(5):
        images[i, 3, :, : 8 * i + 8] = 1  # what is there grows from the left
        images[i, 3, :8] = 0  # and is half there above
    media.save_frames(media.to_pixels(images), tmp_path / "frames")
    clear = media.FrameFolder(tmp_path / "frames", clear=True)
    path = films.save_film(clear, tmp_path / "film.webm", fps=10, size=48)
    assert b"DIGITALSOURCETYPE" in path.read_bytes(), "it says what it is"
    assert b"trainedAlgorithmicMedia" in path.read_bytes()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-c:v", "libvpx-vp9", "-i", str(path)]
    raw = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgba", "-"], capture_output=True, check=True).stdout
    seen, meant = np.frombuffer(raw, np.uint8).reshape(5, 32, 48, 4).astype(int), np.stack([clear[i] for i in range(5)])
    assert np.abs(seen[..., 3] - meant[..., 3]).mean() < 3
    assert set(np.unique(meant[..., 3])) == {0, 128, 255}
    there = meant[..., 3] == 255
    assert np.abs(seen - meant)[there][:, :3].mean() < 4
    assert f"{CODES}{GENERATED}".encode() in path.read_bytes()
    monkeypatch.setenv(SWITCH, "0")
    opaque = films.save_film(media.FrameFolder(tmp_path / "frames"), tmp_path / "plain.webm", ping_pong=True)
    assert decode(opaque).shape == (8, 340, 512, 3)
    assert CODES.encode() not in opaque.read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_frames_come_back_exactly(tmp_path, channels):
    frames = media.to_uint8(film(4, WIDE, channels=channels))
    media.save_frames(frames[:2], tmp_path / "frames")
    media.save_frames(frames[2:], tmp_path / "frames", first=2)
    folder = media.FrameFolder(tmp_path / "frames")
    assert len(folder) == 4
    assert all(np.array_equal(folder[i], frames[i]) for i in range(4))


@pytest.mark.parametrize(("shape", "expected"), [((16, 16), (512, 512)), (WIDE, (326, 512)), ((601, 20), (600, 20))])
def test_mp4_is_viewable_and_keeps_its_colours(tmp_path, shape, expected):
    frames = media.to_uint8(film(5, shape))
    shown = decode(films.save_film(frames, tmp_path / "a.mp4", fps=10))
    assert shown.shape == (5, *expected, 3)
    last = np.asarray(media.enlarge(frames[4], max(expected)).resize(expected[::-1])).astype(int)
    assert np.abs(shown[4] - last).mean() < 4
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_frame_that_is_shown_several_times_is_read_once(tmp_path):
    asked: list[int] = []

    class Frames(list):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    films.save_film(Frames(media.to_uint8(film(4))), tmp_path / "a.mp4", ping_pong=True, loops=2)
    assert asked.count(1) == asked.count(2) == 1


def test_mp4_has_the_promised_format(tmp_path):
    path = films.save_film(media.to_uint8(film()), tmp_path / "a.mp4", fps=12, size=100)
    words = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-i", path], capture_output=True, text=True, check=False).stderr
    assert "h264" in words
    assert "yuv420p" in words
    assert "100x100" in words
    assert "12 fps" in words


@pytest.mark.parametrize("name", ["film.mp4", "film.gif"])
def test_ping_pong_runs_back_without_showing_an_end_twice(tmp_path, name):
    path = films.save_film(media.to_uint8(film(4)), tmp_path / name, size=64, ping_pong=True)
    shown = decode(path).astype(int)
    assert len(shown) == 6
    for there, back in ((1, 5), (2, 4)):
        assert np.abs(shown[there] - shown[back]).mean() < 2
    assert np.abs(shown[0] - shown[3]).mean() > 5


def test_gif_loops_and_stands_still_where_the_film_does(tmp_path):
    path = films.save_film(media.to_uint8(film(6, (64, 64))), tmp_path / "a.gif")
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        assert gif.size == (256, 256)
    shown = decode(path)
    upper = shown[:, :100]
    assert (upper == upper[:1]).all(), "dither crawls over a still background"
    assert np.abs(shown[-1, 150:, 128].astype(int) - shown[0, 150:, 128]).max() > 100


@pytest.mark.parametrize("settings", [{"fps": 0}, {"fps": -3}, {"fps": float("nan")}, {"size": 0}, {"size": 100_000}])
def test_film_settings_are_checked_before_anything_is_written(tmp_path, settings):
    with pytest.raises(SemanifoldError, match="but it is"):
        films.save_film(media.to_uint8(film()), tmp_path / "a.mp4", **settings)
    assert not list(tmp_path.iterdir())


def test_a_film_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "semanifold.storage.files.os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space"):
        films.save_film(media.to_uint8(film()), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: "false")
    with pytest.raises(OSError, match=r"ffmpeg could not write a\.mp4: no reason given"):
        films.save_film(media.to_uint8(film()), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for ffmpeg is a shell script")
def test_half_a_film_is_not_kept_and_the_first_reason_is_told(tmp_path, monkeypatch):
    (tmp_path / "ffmpeg").write_text(
        "#!/bin/sh\nfor last; do :; done; cat >/dev/null; echo half >${last#file:}\n"
        "printf 'No space left on device\\nNothing was written\\n' >&2; exit 28\n"
    )
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(tmp_path / "ffmpeg"))
    (tmp_path / "films").mkdir()
    with pytest.raises(OSError, match="No space left"):
        films.save_film(media.to_uint8(film()), tmp_path / "films" / "a.mp4")
    assert not list((tmp_path / "films").iterdir())


def test_filmstrip_begins_with_the_mask_and_ends_with_the_last_frame():
    frames = media.to_uint8(film(9, (40, 40)))
    strip = np.asarray(media.filmstrip(frames, frames[0], lower_half((40, 40)), count=3, size=80))
    assert strip.shape == (80, 4 * 80 + 3 * media.GAP, 3)
    assert np.array_equal(strip[:, -80:], np.asarray(media.enlarge(frames[8], 80)))
    assert np.array_equal(strip[:, 84:164], np.asarray(media.enlarge(frames[0], 80)))
    first = strip[:, :80].astype(int)
    assert np.abs(first[38:42, 20:60] - media.ACCENT).mean() < 80, "no outline on the mask's edge"
    assert np.array_equal(first[60:70], np.asarray(media.enlarge(frames[0], 80))[60:70]), "inside of the mask is not the seed"
    assert first[:30].min() > 120, "outside is not dimmed"


def test_evenly_keeps_both_ends_and_repeats_nothing():
    assert media.evenly(24, 5) == [0, 6, 12, 17, 23]
    assert media.evenly(3, 8) == [0, 1, 2]
    assert media.evenly(1, 8) == [0]


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (7, 4)])
def test_contact_sheet_shows_every_picture(n, columns):
    frames = media.to_uint8(film(n, WIDE))
    sheet = np.asarray(media.contact_sheet(frames, [str(i) for i in range(n)], size=47))
    assert sheet.shape[1] == columns * (47 + media.GAP) + media.GAP
    row, column = divmod(n - 1, columns)
    top, left = media.GAP + row * (30 + 20), media.GAP + column * (47 + media.GAP)
    assert np.array_equal(sheet[top : top + 30, left : left + 47], frames[n - 1])


def test_grid_film_puts_films_side_by_side():
    frames = media.to_uint8(film(3))
    grid = media.grid_film([frames, frames[::-1], frames], columns=2, size=16)
    assert grid.shape == (3, 32, 32, 3)
    assert np.array_equal(grid[0, :16, 16:], frames[2])
    assert (grid[:, 16:, 16:] == 255).all()


def test_films_side_by_side_say_which_is_which():
    frames = media.to_uint8(film(3))
    grid = media.grid_film([frames, frames[::-1]], ["1", "seed 2"], size=64)
    assert grid.shape == (3, 64 + media.CAPTION, 128, 3)
    assert np.array_equal(grid[0, :64, :64], np.asarray(media.enlarge(frames[0], 64)))
    first, second = ((grid[0, 64:, columns] < 128).sum() for columns in (slice(64), slice(64, None)))
    assert second > 2 * first > 0


def test_rows_have_texts_below_their_columns():
    rows = [Image.new("RGB", (2 * 40 + media.GAP, 40), (9, 9, 9))] * 2
    alone, sheet = (np.asarray(media.stack_rows(rows, ["a", "b"], below)) for below in ((), ("t", "1")))
    assert np.array_equal(sheet[: len(alone)], alone)
    below = np.asarray((sheet[len(alone) :] < 128).any((0, 2)))
    margin = sheet.shape[1] - rows[0].width
    assert below[margin + 10 : margin + 30].any(), "below the first picture"
    assert below[margin + 54 : margin + 74].any(), "below the second"


@pytest.mark.parametrize("shape", [(6, 400), (400, 6), (16, 16)])
def test_long_and_thin_pictures_are_readable_and_those_that_do_not_fit_are_counted(shape, monkeypatch):
    frames = media.to_uint8(film(9, shape))
    monkeypatch.setattr(media, "WIDEST", 6500)
    size = media.readable(frames[0], 160)
    tile = media.enlarge(frames[0], size)
    assert min(tile.size) >= media.READABLE
    assert (size == 160) == (shape == (16, 16))
    shown, said = [], []
    monkeypatch.setattr(media, "side_by_side", lambda tiles: shown.append(tiles) or tiles[0])
    monkeypatch.setattr(media, "captioned", lambda row, texts: said.extend(texts) or row)
    mask = np.zeros(shape, np.float32)
    media.filmstrip(frames, frames[0], mask, count=9)
    ((seed, *tiles),) = shown
    assert seed.size == tile.size
    ends = [np.asarray(media.enlarge(frames[i], size)) for i in (0, 8)]
    assert all(np.array_equal(np.asarray(tiles[i]), end) for i, end in zip((0, -1), ends))
    assert (len(tiles), said) == ((3, ["6 of 9 left out"]) if shape == (6, 400) else (9, []))
    _, texts = timed_strip(frames, torch.linspace(0, 1, 9), frames[0], mask)
    assert texts == (
        ["seed and mask", "t = 0", "0.5", "1, 5 of 8 left out"]
        if shape == (6, 400)
        else ["seed and mask", "t = 0", "0.12", "0.25", "0.38", "0.62", "0.75", "0.88", "1"]
    )
    assert len(shown[1]) == len(texts)


def test_sheets_of_more_than_fit_keep_both_ends_and_say_how_many_they_leave_out(monkeypatch):
    monkeypatch.setattr(media, "TALLEST", 500)
    monkeypatch.setattr(media, "WIDEST", 300)
    said = []
    monkeypatch.setattr(media, "captioned", lambda row, texts: said.append(texts[0]) or row)
    rows = [Image.new("RGB", (40, 46), (i, 0, 0)) for i in range(40)]
    sheet = np.asarray(media.stack_rows(rows, [""] * 40))
    assert sheet[0, 0, 0] == 0
    assert sheet[9 * 50, 0, 0] == 39
    assert (len(sheet), said) == (10 * 50, ["30 of 40 left out"])
    frames = [np.full((8, 8, 3), i, np.uint8) for i in range(40)]
    sheet = np.asarray(media.contact_sheet(frames, [str(i) for i in range(40)], size=90))
    assert sheet.shape[1] == 3 * 94 + media.GAP
    assert said[-1] == "28 of 40 left out"
    assert (sheet[20, 20, 0], sheet[3 * 110 + 20, 2 * 94 + 20, 0]) == (0, 39)
    whole = np.asarray(media.contact_sheet(frames, columns=2, size=90))
    assert len(whole) == 20 * 94 + media.GAP, "a grid that was asked for is whole"
    (grid,) = media.grid_film([frame[None] for frame in frames], [str(i) for i in range(40)], size=90)
    assert said[-1] == "39, 34 of 40 left out"
    assert grid.shape == (2 * 90, 3 * 90, 3)
    assert media.grid_film([frame[None] for frame in frames], size=90).shape == (1, 2 * 90, 3 * 90, 3)
    assert said[-1] == "34 of 40 left out"


def test_no_columns_are_as_many_as_look_good():
    frames = media.to_uint8(film(3))
    assert media.contact_sheet(frames, columns=0) == media.contact_sheet(frames)
    assert np.array_equal(media.grid_film([frames], columns=0), media.grid_film([frames]))


def test_a_map_of_the_outside_shows_the_change_there_on_its_scale():
    change = np.zeros((16, 16), np.float32)
    change[2, 3:6], change[12, 4] = 0.5, 1.0
    strong, weak = (np.asarray(plots.outside_map(change * by, lower_half(), 0.5, 64)).sum(-1) for by in (1, 0.25))
    assert strong[10, 18] > 600
    assert 300 > weak[10, 18] > strong[10, 50] + 50
    assert np.array_equal(strong[48:], weak[48:]), "what changes inside is not shown"
    assert np.ptp(np.asarray(plots.outside_map(change, lower_half(), 0.5, 64))[56]) == 0


def test_the_map_of_changes_says_the_large_ones(tmp_path):
    figure = plots._change_figure(np.array([[0.8, -0.1], [np.nan, -0.3]]), ["path 0", "$odd"], ["smile", "yaw"], r"$\foo$")
    (axes, bar) = figure.axes
    assert [(text.get_position(), text.get_text()) for text in axes.texts] == [((0, 0), "+80"), ((1, 1), "-30")]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["path 0", "$odd"]
    assert (bar.get_ylim(), axes.get_title()) == ((-100, 100), r"$\foo$")
    figure.savefig(tmp_path / "title.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # long names have room, and letters that the font lacks are nobody's concern
        assert plots.change_map(np.zeros((1, 1)), ["微笑" + 200 * "n"], ["b$" + 200 * "m"], tmp_path / "changes.png").is_file()


def test_mean_change_is_the_mean_over_time_and_channels():
    seed = np.zeros((2, 2, 3), np.uint8)
    moved = np.zeros((2, 2, 2, 3), np.uint8)
    moved[1, 0, 1] = (255, 0, 0)
    assert np.allclose(plots.mean_change(moved, seed), [[0, 1 / 6], [0, 0]])


@pytest.mark.parametrize("mask", [None, lower_half(), np.zeros((16, 16), np.float32)])
def test_heat_map_is_a_picture_with_or_without_a_mask(tmp_path, mask):
    frames = media.to_uint8(film())
    with Image.open(plots.heat_map(frames, frames[0], mask, tmp_path / "heat.png")) as picture:
        assert picture.size[0] > 2 * picture.size[1] * 0.9
        assert len(picture.convert("RGB").getcolors(10**6) or []) > 500


def test_heat_maps_of_several_films_have_one_scale_and_lie_in_a_grid():
    frames, faint = media.to_uint8(film()), media.to_uint8(film() * 0.2)
    strong, weak = plots.Filmed(frames, frames[0], lower_half()), plots.Filmed(faint, faint[0], lower_half())
    alone, beside = plots.heat_pictures([weak] * 2), plots.heat_pictures([strong, weak])
    height, width = alone.shape[:2]
    lower = slice(height // 2 + 60, None), slice(width // 2, width * 3 // 4)
    assert beside[lower].mean() < 0.5 * alone[lower].mean(), "a change is dark beside a larger one"
    six = plots.heat_pictures([strong, weak] * 3, [f"seed {i}" for i in range(6)])
    for drawn in (alone, six):
        assert 0.9 < drawn.shape[1] / drawn.shape[0] < 1.5, "neither a tower nor a ribbon"


def test_names_above_heat_maps_are_drawn_letter_by_letter():
    frames = media.to_uint8(film())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odd, plain = (plots.heat_pictures([plots.Filmed(frames, frames[0], None)], [name]) for name in (r"$\foo$ 微笑", "a"))
    assert not np.array_equal(odd, plain)


def test_path_plot_without_umap_shows_pca_alone(tmp_path, monkeypatch):
    real = builtins.__import__

    def no_umap(name, *rest, **more):
        if name == "umap":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", no_umap)
    rng = np.random.default_rng(0)
    codes = np.outer(np.arange(12.0), rng.normal(size=20)) + 0.001 * rng.normal(size=(12, 20))
    with pytest.raises(SemanifoldError, match="umap-learn"):
        plots.plane(codes)
    assert plots.plane(codes[:, :1]) is None, "a line needs no map"
    layout, how = plots.principal_plane(codes)
    assert how == "by PCA: 100% of the variance across, 0% up"
    steps = np.diff(layout[:, 0])
    assert np.allclose(steps, steps[0], rtol=0.05), "the first axis of a straight path is the path itself"
    plots.path_plot([codes], np.arange(12.0), tmp_path / "path.png")
    with Image.open(tmp_path / "path.png") as picture:
        assert picture.size == (720, 600)


def test_dots_close_to_one_another_stay_visible(tmp_path):
    """A film that begins slowly has most of its dots there; the last of their white rims hid all below it."""
    t = np.linspace(0, 1, 120)
    codes = np.stack([t**3, 0 * t, 0 * t], 1)
    plots.path_plot([codes], t, tmp_path / "path.png")
    with Image.open(tmp_path / "path.png") as picture:
        red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int)[60:, 10:590], -1, 0)
    dark = (green < 70) & (blue > 60) & (red < 90)  # the first colours of viridis
    assert dark.sum() > 20


@pytest.mark.parametrize("n", [1, 2, 4])
def test_path_plot_of_a_few_codes(tmp_path, n):
    plots.path_plot([np.eye(n, 3)], np.arange(float(n)), tmp_path / "path.png")
    assert (tmp_path / "path.png").stat().st_size > 5000


def test_paths_from_several_codes_are_drawn_from_one_start(tmp_path, monkeypatch):
    drawn, real = [], plots._path_figure
    monkeypatch.setattr(plots, "_path_figure", lambda *given: (drawn.append(given), real(*given))[1])
    way = np.outer(np.linspace(-1, 1, 5), [1.0, 2.0, 0.0])
    plots.path_plot([way, np.add(way, [100.0, 0, 7.0])], np.linspace(-1, 1, 5), tmp_path / "path.png")
    ((_, _, (layout,), (title,), label),) = drawn
    assert label == "t"
    assert np.allclose(layout[:5], layout[5:])
    assert title == "how each code moves, by PCA: 100% of the variance across, 0% up"


def test_a_path_that_comes_back_is_drawn_so(tmp_path, monkeypatch):
    turn = np.linspace(0, 2 * np.pi, 9)
    codes = np.stack([np.sin(turn), np.sin(2 * turn), 0 * turn], axis=1)  # a figure of eight: three times at its start
    asked = []
    monkeypatch.setattr(plots, "plane", lambda codes: (asked.append(codes), (codes[:, :2], "a test"))[1])
    plots.path_plot([codes], turn, tmp_path / "path.png", umap=True)
    assert plots.first_equals(codes) == [0, 1, 2, 3, 0, 5, 6, 7, 0]
    assert [len(codes) for codes in asked] == [7]


@pytest.mark.skipif(find_spec("umap") is None, reason="the map needs the extra umap")
def test_umap_keeps_neighbours_together(monkeypatch, capfd):
    import numba

    # compiling takes half a minute, twelve codes without it two seconds
    monkeypatch.setattr(numba.config, "DISABLE_JIT", True)
    codes = np.concatenate([np.zeros((6, 5)), np.full((6, 5), 50.0)]) + 0.1 * np.random.default_rng(0).normal(size=(12, 5))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        layout, how = plots.plane(codes)
    assert how.startswith("UMAP")
    apart = np.linalg.norm(layout[:6].mean(0) - layout[6:].mean(0))
    assert apart > 1.5 * layout[:6].std()
    assert not said, "its warnings are not shown"
    assert capfd.readouterr() == ("", "")


def test_umap_leaves_torch_its_threads(monkeypatch):
    """numba's loops set another number."""

    class Greedy:
        def __init__(self, **options: object) -> None:
            warnings.warn("n_jobs value 1 overridden", stacklevel=1)

        def fit_transform(self, codes: np.ndarray) -> np.ndarray:
            torch.set_num_threads(5)
            return codes[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Greedy))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            layout, _ = plots.plane(np.eye(8))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert layout.shape == (8, 2)


def test_rows_of_pictures_come_out_even_where_they_can():
    counts = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4, 9: 3, 10: 5, 12: 4, 16: 4}
    assert {count: media.even_columns(count) for count in counts} == counts


def test_a_figure_of_too_many_heat_maps_keeps_both_ends_and_says_how_many_it_leaves_out(monkeypatch):
    monkeypatch.setattr(plots, "MOST_MAPS", 3)
    named = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_title", lambda axes, text, **_: named.append(text))
    frames = media.to_uint8(film(2))
    plots.heat_pictures([plots.Filmed(frames, frames[0], None)] * 7, [f"seed {i}" for i in range(7)])
    assert named[::2] == ["seed 0", "seed 3", "seed 6, 4 of 7 left out"]
