"""Traversals: codes and pictures that agree, films that show them, folders that are whole or not there."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from semanifold.analysis.traversal import (
    CODES,
    PUBLISHED_CODES,
    FilmGrid,
    PictureFiles,
    fingerprint_of,
    moments,
    read_traversal,
    save_picture,
    small_film,
    walk,
    write_codes,
    write_films,
    write_path,
)
from semanifold.core.errors import SemanifoldError
from semanifold.edits import EditInfo, Flow
from semanifold.generators.wrapped import wrap
from semanifold.images import media
from semanifold.paths.base import PathSetInfo
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths

D = 6


def picture(z):
    y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 12), indexing="ij")
    a = [column[:, None, None] for column in z.T]
    grey = torch.tanh(a[0] * x + a[1] * y + a[2] * x * y + a[3])
    return torch.stack([grey, grey * a[4].tanh(), (grey * 2 * a[5]).sin()], 1)


def toy():
    return wrap(picture, (D,), name="toy")


def flow(count: int = 6) -> Flow:
    draw = torch.Generator().manual_seed(0)
    support = torch.randn(8, D, generator=draw)
    return Flow(support, torch.tensor([1.0, -1] * 4), torch.tensor(0.3), 0.2, count, EditInfo(space="z"))


def film(level: int, frames: int = 5, size: int = 8) -> list[media.Frame]:
    return [np.full((size, size, 3), level + 10 * i, dtype=np.uint8) for i in range(frames)]


def test_moments_are_whole_steps_either_way():
    assert moments(4).tolist() == [-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1]
    assert moments(5, 2).tolist() == pytest.approx([-0.8, -0.4, 0, 0.4, 0.8]), "as in the reference: 2 floor(5 / 2) + 1"
    for steps, leap in ((0, 1), (4, 0), (4, 5)):
        with pytest.raises(SemanifoldError, match="at least 1 step"):
            moments(steps, leap)


def test_the_walk_is_the_published_euler_walk_and_no_step_is_added_twice():
    generator, edit = toy(), flow()
    code = generator.sample([5])
    t = moments(6)
    parts = list(walk(edit, generator, code, t, batch=4))
    codes, pictures = torch.cat([p[0].values for p in parts]), torch.cat([p[1] for p in parts])
    assert torch.equal(pictures, torch.cat([generator.images(p[0]) for p in parts])), "pictures are not those of the codes"
    for sign, rows in ((1.0, codes[6:]), (-1.0, codes[:7].flip(0))):
        now = code.values.clone()
        for row in rows:
            assert torch.allclose(row, now[0], atol=1e-5)
            now = now + sign * edit.step * edit.direction(now)
    steps = (codes[1:] - codes[:-1]).norm(dim=1)
    assert torch.allclose(steps, torch.full_like(steps, 0.2), atol=1e-4)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_saved_codes_make_the_saved_pictures_exactly(tmp_path, batch):
    generator, t = toy(), moments(6, 2)
    edits = [flow(), flow(12)]
    code = generator.sample([5])
    for k, edit in enumerate(edits):
        write_path(tmp_path / f"path_{k:03d}", walk(edit, generator, code, t, batch=batch))
    write_codes(tmp_path, generator, edits, code, t, batch=batch)
    codes = load_file(tmp_path / CODES)["codes"]
    assert codes.shape == (2, 7, D)
    assert torch.equal(torch.load(tmp_path / PUBLISHED_CODES, weights_only=True), codes)
    assert torch.equal(codes[0, 3], code.values[0])
    for k in range(2):
        files = PictureFiles(tmp_path / f"path_{k:03d}")
        assert [p.name for p in files.files] == [f"{i:06d}.png" for i in range(7)]
        made = media.to_uint8(generator.images(code.with_values(codes[k])))
        assert all(np.array_equal(files[i], made[i]) for i in range(7))


def test_codes_do_not_depend_on_the_batch(tmp_path):
    generator, t = toy(), moments(6)
    code = generator.sample([5])
    for batch in (1, 5):
        (tmp_path / str(batch)).mkdir()
        write_codes(tmp_path / str(batch), generator, [flow()], code, t, batch=batch)
    one, other = (load_file(tmp_path / str(batch) / CODES)["codes"] for batch in (1, 5))
    assert torch.equal(one, other)


def test_pictures_read_back_are_those_that_a_reader_of_attributes_wants(tmp_path):
    generator = toy()
    write_path(tmp_path / "p", walk(flow(), generator, generator.sample([1]), moments(6)))
    exact = generator.images(flow().latents(generator.sample([1]), moments(6)))
    read = PictureFiles(tmp_path / "p").tensor(slice(2, 5))
    assert read.shape == (3, 3, 12, 12)
    assert (read - exact[2:5]).abs().max() <= 1 / 255 + 1e-6
    assert PictureFiles(tmp_path / "p").tensor(slice(0, 2), 1).shape == (2, 1, 12, 12)


def test_jpeg_is_lossy_and_smaller_and_png_is_not(tmp_path):
    frame = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    png, jpeg = save_picture(frame, tmp_path / "000000", None), save_picture(frame, tmp_path / "000000", 60)
    assert np.array_equal(np.asarray(Image.open(png)), frame)
    assert jpeg.suffix == ".jpg"
    assert jpeg.stat().st_size < png.stat().st_size


def test_a_path_is_there_whole_or_not_at_all(tmp_path):
    generator = toy()

    def torn():
        for i, part in enumerate(walk(flow(), generator, generator.sample([1]), moments(6), batch=2)):
            if i == 2:
                raise KeyboardInterrupt
            yield part

    with pytest.raises(KeyboardInterrupt):
        write_path(tmp_path / "p", torn())
    assert not list(tmp_path.iterdir())
    stale = tmp_path / ".p.0123456789abcdef.part"
    stale.mkdir()  # as kill -9 leaves it; the next run removes it
    (stale / "000099.png").write_text("stale")
    write_path(tmp_path / "p", walk(flow(), generator, generator.sample([1]), moments(6)))
    assert len(PictureFiles(tmp_path / "p")) == 13
    assert sorted(p.name for p in tmp_path.iterdir()) == [stale.name, "p"]

    def never():
        raise AssertionError("done work is done again")
        yield

    write_path(tmp_path / "p", never())


def test_a_film_shows_stills_the_moment_and_the_way():
    shown = FilmGrid([film(0), film(100)], stills=3, cell=8)
    assert len(shown) == 5
    first, last = shown[0], shown[4]
    assert first.shape == last.shape
    left = shown.left
    assert np.array_equal(first[:, :left][:-20], last[:, :left][:-20]), "the stills move"
    assert {int(v) for v in np.unique(first[8:16, :left, 0])} >= {0, 20, 40}
    assert last[8 + 16 + 2, shown.left + 10, 0] == 140, "the second row does not show its film"
    orange = [(np.abs(shown[i].astype(int) - media.ACCENT).sum(-1) == 0).nonzero()[1] for i in range(5)]
    middle = shown.size[0] / 2
    assert orange[0].max() <= middle + 1
    assert orange[4].min() >= middle - 1
    assert len(orange[0]) > len(orange[1]) > len(orange[2])


def test_films_are_written_once_and_hold_every_frame(tmp_path):
    write_films(tmp_path, "path_003", [film(0), film(50)], fps=10, cell=None)
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    assert files == ["paths_films/path_003.gif", "paths_films/path_003.mp4", "paths_gifs/path_003.gif"]
    with Image.open(tmp_path / files[2]) as gif:
        assert getattr(gif, "n_frames") == 8, "five frames there and back"  # noqa: B009
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files}
    write_films(tmp_path, "path_003", [film(0), film(50)], fps=10, cell=None)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in files} == before


def test_a_small_film_is_small(tmp_path):
    rng = np.random.default_rng(0)
    long = [rng.integers(0, 255, (128, 128, 3), dtype=np.uint8) for _ in range(41)]
    small_film([long] * 6, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.width <= 4 * 90
        assert getattr(gif, "n_frames") == 20  # noqa: B009


def test_a_fingerprint_names_the_paths_and_not_what_they_are_called():
    draw = torch.Generator().manual_seed(0)
    vectors = torch.randn(3, D, generator=draw)
    info = PathSetInfo(space="z")
    one = LinearPaths.from_vectors(vectors, info)
    assert fingerprint_of(one) == fingerprint_of(LinearPaths.from_vectors(vectors, info))
    assert fingerprint_of(one) == fingerprint_of(one.with_info(names={0: "smile +"}))
    assert fingerprint_of(one) != fingerprint_of(LinearPaths.from_vectors(vectors.roll(1, 0), info))
    assert fingerprint_of(one) != fingerprint_of(one.with_info(space="w"))


@pytest.mark.parametrize("kind", ["linear", "warped"])
def test_any_set_of_paths_can_be_walked(kind):
    generator = toy()
    info = PathSetInfo(space="z", step=0.1, count=4)
    draw = torch.Generator().manual_seed(0)
    if kind == "linear":
        paths = LinearPaths.from_vectors(torch.randn(2, D, generator=draw), info)
    else:
        support = torch.randn(2, 8, D, generator=draw)
        paths = WarpedPaths(support, torch.tensor([[1.0, -1] * 4] * 2), torch.full((2,), -1.0), (D,), info)
    longer = paths.with_info(step=0.3, count=2)
    codes = torch.cat([c.values for c, _ in walk(longer[1], generator, generator.sample([0]), moments(2))])
    assert torch.allclose((codes[1:] - codes[:-1]).norm(dim=1), torch.tensor(0.3), atol=1e-4)


# ----------------------------------------------------------------------------------------------------------- on the disk


def folder(tmp_path, frames: int = 3, **changes):
    facts = {"fingerprint": "aa", "path_set_fingerprint": "bb", "pool": "cc"}
    record = {"format": "semanifold-run-1", "command": "traverse", "arguments": {}, "status": "finished", "facts": facts}
    described = {"codes": ["a"], "paths": [3], "names": ["path 3"], "t": [-1.0, 0.0, 1.0], "step": 0.1, "count": 1, "leap": 1}
    described |= {"space": "z", "method": "given", "generator": "toy", "channels": 3, "path_set": "/a.safetensors"}
    described |= {"fingerprint": "aa", "path_set_fingerprint": "bb"}
    (tmp_path / "run.json").write_text(json.dumps(record | changes.pop("record", {})))
    (tmp_path / "traversal.json").write_text(json.dumps(described | changes))
    place = tmp_path / "a" / "paths_images" / "path_003"
    place.mkdir(parents=True, exist_ok=True)
    for i in range(frames):
        save_picture(film(0)[0], place / f"{i:06d}", None)
    return tmp_path


def test_a_traversal_is_opened_and_missing_or_damaged_pictures_are_noticed(tmp_path):
    traversal = read_traversal(folder(tmp_path))
    assert (traversal.codes, traversal.paths, traversal.t) == (("a",), (3,), [-1.0, 0.0, 1.0])
    assert len(traversal.pictures("a", 3)) == 3
    place = tmp_path / "a" / "paths_images" / "path_003"
    damages = (
        ("damaged", lambda file: file.write_bytes(b"\x89PNG")),
        ("damaged", lambda file: Image.new("1", (9000, 9000)).save(file)),
        ("differ in size", lambda file: Image.new("RGB", (9, 9)).save(file)),
        ("a device or a pipe", lambda file: (file.unlink(), os.mkfifo(file))),
    )
    for words, damage in damages:
        damage(place / "000001.png")
        with pytest.raises(SemanifoldError, match=words):
            traversal.pictures("a", 3).tensor(slice(0, 3))
    (place / "000001.png").unlink()
    with pytest.raises(SemanifoldError, match="2 pictures in place of 3"):
        read_traversal(tmp_path)
    place.rename(tmp_path / "elsewhere")
    with pytest.raises(SemanifoldError, match="path_003 is missing"):
        read_traversal(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"record": {"status": "running"}}, "half-written"),
        ({"record": {"command": "discover"}}, "written by semanifold discover"),
        ({"record": {"facts": {"pool": "cc"}}}, r"run.json is damaged: its facts lack fingerprint"),
        ({"t": []}, "names no code, no path or no moment"),
        ({"paths": None}, r"traversal.json is damaged"),
        ({"codes": ["../a"]}, "no name of a folder"),
        ({"codes": ["a\u202eb"]}, "no name of a folder"),
        ({"codes": ["a", "a"]}, "do not fit together"),
        ({"codes": [f"c{i}" for i in range(20_000)]}, "missing"),
        ({"paths": list(range(100_000)), "names": ["x"] * 100_000}, "path_000 is missing"),
        ({"paths": [-1]}, "paths"),
        ({"paths": [10**30]}, "paths"),
        ({"names": []}, "do not fit together"),
        ({"t": [-1.0, 1.0]}, "do not rise"),
        ({"t": [0.0, -1.0, 1.0]}, "do not rise"),
        ({"t": [-1.0, float("nan"), 0.0]}, "traversal.json is damaged"),
        ({"channels": 4}, "channels"),
        ({"step": "0.1"}, "step"),
        ({"step": 1e999}, "step"),
        ({"count": 10**12}, "count"),
        ({"path_set": 3}, "path_set"),
    ],
)
def test_folders_that_are_no_finished_traversal_are_refused(tmp_path, changes, words):
    with pytest.raises(SemanifoldError, match=words) as caught:
        read_traversal(folder(tmp_path, **changes))
    assert len(str(caught.value)) < 600


def test_a_torn_description_is_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "traversal.json").write_text('{"codes": ["a"')
    with pytest.raises(SemanifoldError, match=r"traversal.json is damaged"):
        read_traversal(tmp_path)


def test_whether_pictures_are_faces_is_read_back(tmp_path):
    assert read_traversal(folder(tmp_path)).facts.faces is None, "an earlier version"
    assert read_traversal(folder(tmp_path, faces=True)).facts.faces is True


def test_names_out_of_a_file_are_made_printable(tmp_path):
    traversal = read_traversal(folder(tmp_path, names=["\x1b[2Jsmile\u202e"], generator="a\nb", method="x" * 1000))
    assert traversal.facts.names == ["\\x1b[2Jsmile\\u202e"]
    assert traversal.facts.generator == "a\\nb"
    assert len(traversal.facts.method) == 200
