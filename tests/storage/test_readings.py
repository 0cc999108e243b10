"""One rule says what an array is; codes, directions, pools and ``inspect`` read the same file alike, and say how."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from semanifold.app.inspecting import inspect
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.spaces import Space, named
from semanifold.edits import EditInfo, Lattice, load_edit, save_edit
from semanifold.generators.base import Generator
from semanifold.generators.exchange import read_codes
from semanifold.generators.pools import read_pool
from semanifold.paths.files import load_paths
from semanifold.storage.readings import code_reading, direction_reading
from semanifold.training.experiments import open_experiment

LAYERS, WIDTH = 6, 4
ROWS = torch.arange(LAYERS * WIDTH, dtype=torch.float32).reshape(LAYERS, WIDTH) + 1


class Styled(Generator):
    """Six layers of four numbers; z of three, so that the width tells z from w."""

    def __init__(self, z: int = 3) -> None:
        super().__init__()
        self.name, self.spaces, self.picture_shape = (
            "styled",
            named(Space("z", (z,)), Space("w", (WIDTH,)), Space("w+", (LAYERS, WIDTH))),
            (3, 8, 8),
        )

    def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
        raise NotImplementedError


def written(folder: Path, held: Any, name: str) -> Path:
    """Write an array or a dictionary of arrays in the format that a name ends in."""
    path = folder / name
    suffix = path.suffix.lower()
    plain = {k: v.numpy() for k, v in held.items()} if isinstance(held, dict) else held.numpy()
    if suffix == ".npy":
        with path.open("wb") as file:
            np.save(file, np.asarray(plain), allow_pickle=True)
    elif suffix == ".npz":
        np.savez(path, **plain)
    elif suffix == ".pkl":
        path.write_bytes(pickle.dumps(plain))
    elif suffix == ".safetensors":
        save_file(held, path)
    else:
        torch.save(held, path)
    return path


ONE_CODE = [("a.npy", ROWS), ("a.NPY", ROWS), ("a.npy", {"w": ROWS}), ("a.npz", {"w": ROWS}), ("a.pt", {"latent": ROWS})]
ONE_CODE += [("a.pth", ROWS), ("a.pkl", {"latent": ROWS}), ("a.safetensors", {"w": ROWS}), ("a.pt", ROWS.flatten())]
ONE_CODE += [("a.npz", {"w": ROWS[None]}), ("a.npy", ROWS.reshape(1, -1))]


@pytest.mark.parametrize(("name", "held"), ONE_CODE)
def test_as_many_rows_as_layers_are_one_code(tmp_path: Path, name: str, held: Any) -> None:
    path, said = written(tmp_path, held, name), []
    codes = read_codes(path, Styled(), remark=said.append)
    assert (codes.space, codes.values.shape) == ("w+", (1, LAYERS, WIDTH))
    assert torch.equal(codes.values[0], ROWS)
    assert "one code of w+ (6 layers of 4 numbers)" in said[0]
    pool = read_pool(path, Styled(), remark=said.append)
    assert torch.equal(pool.codes.values, codes.values)
    assert said[1] == said[0]
    assert "one code of w+" in str(inspect(path, Styled()))


@pytest.mark.parametrize("name", ["a.npy", "a.pt"])
def test_rows_are_codes_of_w_only_when_w_is_named(tmp_path: Path, name: str) -> None:
    path, said = written(tmp_path, ROWS, name), []
    codes = read_codes(path, Styled(), "w", remark=said.append)
    assert (codes.space, codes.values.shape) == ("w", (LAYERS, WIDTH))
    assert "6 codes of w (4 numbers each)" in said[0]
    read_codes(path, Styled(), remark=said.append)
    assert "space=" in said[1], "the other reading is not named"
    other = read_codes(written(tmp_path, ROWS[:5], name), Styled())
    assert (other.space, len(other)) == ("w", 5)
    assert len(read_codes(written(tmp_path, torch.stack([ROWS, ROWS]).flatten(1), name), Styled())) == 2


def test_z_and_w_of_one_width_are_told_apart_by_a_name_or_asked_about(tmp_path: Path) -> None:
    five = torch.ones(5, WIDTH)
    with pytest.raises(SemanifoldError, match="z and w; say which with space="):
        read_codes(written(tmp_path, five, "a.npy"), Styled(WIDTH))
    assert read_codes(written(tmp_path, {"w": five}, "a.npz"), Styled(WIDTH)).space == "w"
    assert read_codes(written(tmp_path, {"z": five}, "a.npz"), Styled(WIDTH)).space == "z"


def test_the_projector_of_rosinality(tmp_path: Path) -> None:
    def one(latent: torch.Tensor) -> dict[str, Any]:
        return {"img": torch.ones(3, 8, 8), "latent": latent, "noise": [torch.ones(1, 1, 4, 4), torch.ones(1, 1, 8, 8)]}

    torch.save({"a.png": one(ROWS)}, tmp_path / "w_plus.pt")
    codes = read_codes(tmp_path / "w_plus.pt", Styled())
    assert torch.equal(codes.values, ROWS[None])
    torch.save({f"{i}.png": one(ROWS[i]) for i in range(LAYERS)}, tmp_path / "w.pt")
    said: list[str] = []
    codes = read_codes(tmp_path / "w.pt", Styled(), remark=said.append)
    assert (codes.space, "6 codes of w" in said[0]) == ("w", True), "six codes of w are not one of w+"
    assert torch.equal(codes.values, ROWS)
    torch.save({"a.png": one(ROWS), "b.png": one(2 * ROWS)}, tmp_path / "two.pt")
    assert torch.equal(read_codes(tmp_path / "two.pt", Styled()).values, torch.stack([ROWS, 2 * ROWS]))
    assert "codes of w+" in str(inspect(tmp_path / "two.pt", Styled()))
    with pytest.raises(SemanifoldError, match="as projectors keep codes"):
        load_paths(tmp_path / "w_plus.pt", "w+")


def test_a_dictionary_of_pictures_and_their_codes(tmp_path: Path) -> None:
    path, said = written(tmp_path, {"b.jpg": 2 * ROWS, "a.jpg": ROWS}, "latents.npy"), []
    codes = read_codes(path, Styled(), remark=said.append)
    assert torch.equal(codes.values, torch.stack([2 * ROWS, ROWS]))
    assert "2 codes of w+" in said[0]
    assert "2 codes of w+ with 6 layers" in str(inspect(path))


def test_our_own_edit_says_the_space_of_its_seed(tmp_path: Path) -> None:
    seed = Latents(torch.ones(1, WIDTH), "w")
    info = EditInfo(space="w")
    save_edit(Lattice(torch.zeros(2, WIDTH), [torch.tensor([0.0, 1.0])], info, start=seed), tmp_path / "edit.safetensors")
    assert read_codes(tmp_path / "edit.safetensors", Styled(WIDTH)).space == "w"


@pytest.mark.parametrize("name", ["age.npy", "age.pt", "age.pth", "age.pkl", "age.NPY"])
def test_as_many_rows_as_layers_are_one_direction(tmp_path: Path, name: str) -> None:
    path, said = written(tmp_path, ROWS, name), []
    for space in (None, "w+"):
        paths = load_paths(path, space, generator=Styled(), remark=said.append)
        assert (len(paths), paths.info.space, paths.shape) == (1, "w+", (LAYERS, WIDTH))
        assert "one path of w+" in said[-1]
    cut = load_paths(path, layers=(2, 4), generator=Styled(), remark=said.append)
    assert "layers 2 to 3 are taken" in said[-1]
    assert (len(cut), cut.shape, cut.info.layers) == (1, (2, WIDTH), (2, 4))
    moved = cut[0].latents(Latents(torch.zeros(1, LAYERS, WIDTH), "w+"), 1.0).values[0]
    assert torch.allclose(moved[2:4], 3 * ROWS[2:4], atol=1e-4)
    with pytest.raises(SemanifoldError, match=r"one path of w\+.*or 6 paths of w.*\[6, 1, 4\]"):
        load_paths(path, "w", generator=Styled())
    assert "one path of w+" in str(inspect(path, Styled()))


def test_without_a_generator_rows_are_asked_about(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS, "age.npy")
    for layers in (None, (2, 4)):
        with pytest.raises(SemanifoldError, match=r'one path of w\+.*space="w\+".*\[?6') as raised:
            load_paths(path, layers=layers)
        assert "\n" not in str(raised.value)
    assert load_paths(path, "w+").shape == (LAYERS, WIDTH)
    assert load_paths(path, "w+", layers=(2, 4)).shape == (2, WIDTH)
    said: list[str] = []
    assert len(load_paths(path, "w", remark=said.append)) == LAYERS
    assert "6 paths of w" in said[0]
    text = str(inspect(path))
    assert "one path of w+" in text
    assert "or one code of w+ with 6 layers" in text
    assert load_paths(written(tmp_path, ROWS[:3], "few.npy"), layers=(2, 5)).shape == (3, WIDTH), "three rows have no layer 4"


def test_a_generator_tells_the_space_of_directions(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS[:5], "five.npy")
    assert (load_paths(path, generator=Styled()).info.space, len(load_paths(path, generator=Styled()))) == ("w", 5)
    with pytest.raises(SemanifoldError, match="which latent space"):
        load_paths(path, generator=Styled(WIDTH))
    assert load_paths(written(tmp_path, ROWS[:, None], "rows.npy"), "w", generator=Styled()).shape == (WIDTH,)
    flat = load_paths(written(tmp_path, torch.stack([ROWS, -ROWS]).flatten(1), "flat.npy"), generator=Styled())
    assert (len(flat), flat.shape) == (2, (LAYERS, WIDTH))
    with pytest.raises(SemanifoldError, match=r"7 numbers.*\[3\] in z"):
        load_paths(written(tmp_path, torch.ones(2, 7), "wide.npy"), generator=Styled())
    with pytest.raises(SemanifoldError, match="5 layers"):
        load_paths(written(tmp_path, torch.ones(2, 5, WIDTH), "deep.npy"), generator=Styled())


def test_named_directions_keep_their_names(tmp_path: Path) -> None:
    for name in ("all.npy", "all.pt", "all.npz", "all.safetensors"):
        path = written(tmp_path, {"age": ROWS[0].clone(), "smile": ROWS[1].clone()}, name)
        paths = load_paths(path, generator=Styled())
        assert paths.info.names == {0: "age", 1: "smile"}
        moved = paths["smile"].latents(Latents(torch.zeros(1, WIDTH), "w"), 1.0).values
        assert torch.allclose(moved[0], 3 * ROWS[1], atol=1e-4)
    layered = load_paths(written(tmp_path, {"age": ROWS, "smile": -ROWS}, "layered.pt"), generator=Styled())
    assert (layered.shape, layered.info.names) == ((LAYERS, WIDTH), {0: "age", 1: "smile"})
    path = written(tmp_path, {"age": ROWS[:2].clone(), "smile": ROWS[2:4].clone()}, "several.pt")
    with pytest.raises(SemanifoldError, match="each of several is to be one direction"):
        load_paths(path, "w")


def test_a_closed_form_factorization_keeps_its_directions_in_columns(tmp_path: Path) -> None:
    matrix = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(0)))[0]
    torch.save({"ckpt": "550000.pt", "eigvec": matrix}, tmp_path / "factor.pt")
    said: list[str] = []
    paths = load_paths(tmp_path / "factor.pt", remark=said.append)
    assert (paths.info.space, paths.info.method, "2007.06600" in paths.info.cite[0]) == ("w", "SeFa", True)
    assert "columns" in said[0]
    for k in range(WIDTH):
        moved = paths[k].latents(Latents(torch.zeros(1, WIDTH), "w"), 1.0).values[0]
        assert torch.allclose(moved, 3 * matrix[:, k], atol=1e-5)
    some = load_paths(tmp_path / "factor.pt", layers=(1, 3), generator=Styled())
    assert (some.info.space, some.shape) == ("w+", (2, WIDTH))
    assert "4 linear paths in w" in str(inspect(tmp_path / "factor.pt"))


@pytest.mark.parametrize("key", ["w", "latent", "latents"])
def test_a_projected_code_is_no_direction(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, {key: ROWS[None]}, "projected_w.npz")
    for space in (None, "w", "w+"):
        with pytest.raises(SemanifoldError, match="the difference of two codes is one"):
            load_paths(path, space, generator=Styled())
    report = inspect(path)
    assert report.holds == "one code of w+ with 6 layers of 4 numbers"
    assert "--latents" in report.advice
    assert "the difference of two codes" in report.notes["as paths"]


def test_what_is_neither_is_refused_by_all_alike(tmp_path: Path) -> None:
    generator = Styled()
    for name, held in {
        "two.pt": {"a": torch.ones(2, 3), "b": torch.ones(2)},
        "whole.npy": torch.ones(2, WIDTH, dtype=torch.int64),
        "empty.npy": torch.ones(0, WIDTH),
        "deep.npy": torch.ones(1, 1, 1, 1, WIDTH),
        "number.npy": torch.tensor(3.0),
        "zero.pt": torch.empty(0),
        "nothing.pt": {},
    }.items():
        path = written(tmp_path, held, name)
        for read in (read_codes, read_pool, lambda p, g: load_paths(p, "w", generator=g)):
            with pytest.raises(SemanifoldError) as raised:
                read(path, generator)
            assert "\n" not in str(raised.value)
        report = inspect(path)
        assert not report.usable
        assert "traverse" not in report.advice, name


def test_text_of_strangers_is_shown_safely(tmp_path: Path) -> None:
    path = written(tmp_path, {"a\x1b[31m\u202e": ROWS[0], "b" * 500: ROWS[1]}, "named.pt")
    text = str(inspect(path)) + str(load_paths(path, "w").info.names)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert load_paths(path, "w").info.names[1].endswith("…")


def test_places_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    readers = {
        "codes": lambda place: read_codes(place, Styled()),
        "paths": lambda place: load_paths(place, "w"),
        "pool": lambda place: read_pool(place, Styled()),
        "edit": load_edit,
        "inspect": inspect,
        "experiment": open_experiment,
    }
    for name, read in readers.items():
        for place in (tmp_path / "pipe", tmp_path / ("x" * 300), Path("a\0b"), tmp_path / "gone", Path("y" * 5000), tmp_path):
            with pytest.raises(SemanifoldError) as raised:
                read(place)
            assert str(raised.value).isprintable(), name
            assert len(str(raised.value)) < 700, name


def test_what_lies_beside_an_experiment_is_bounded(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    torch.save({"linear.weight": torch.eye(WIDTH, 3), "linear.bias": torch.zeros(WIDTH)}, models / "deformator_1.pt")
    (tmp_path / "human_annotation.txt").write_bytes(b"0: smile\x1b[2J\n1: \xff\n" + b"9" * 400 + b": far\n")
    (tmp_path / "args.json").write_text('{"gan_type": "\\u001b[31mStyleGAN2"}')
    paths = load_paths(tmp_path)
    assert all(name.isprintable() for name in (*paths.info.names.values(), paths.info.generator))
    assert set(paths.info.names) == {0, 1}
    (models / "deformator_1.pt").unlink()
    state = {"SUPPORT_SETS": torch.ones(2, 12), "ALPHAS": torch.ones(2, 3), "LOGGAMMA": torch.zeros(2, 1)}
    torch.save(state, models / "support_sets.pt")
    huge = "1" + "0" * 400
    for words in (huge, "NaN", "1e999", "[]", '"x"', "-1", "null"):
        keys = ("min_shift_magnitude", "max_shift_magnitude", "gamma", "gan_type")
        text = ", ".join([*(f'"{key}": {words}' for key in keys), '"learn_gammas": false'])
        (tmp_path / "args.json").write_text(f"{{{text}}}")
        paths = load_paths(tmp_path)
        assert paths.info.step == 0.2, words
        assert len(paths.info.generator) <= 80
    for words in ("[" * 10**5, "{", "9" * 5000):
        (tmp_path / "args.json").write_text(words)
        with pytest.raises(SemanifoldError):
            load_paths(tmp_path)


def test_styles_beside_codes_of_w_plus_in_one_row() -> None:
    spaces = {"z": (5,), "w": (6,), "w+": (4, 6), "s": (24,)}
    for shape in ((24,), (3, 24)):
        with pytest.raises(SemanifoldError, match=r"fit the spaces w\+ and s"):
            code_reading(shape, spaces, "x")
        assert code_reading(shape, spaces, "x", key="w").space == "w+"
        assert code_reading(shape, spaces, "x", key="s").space == "s"
        assert code_reading(shape, spaces, "x", space="s").space == "s"
        with pytest.raises(SemanifoldError, match="say which with space="):
            direction_reading(shape, "x", spaces=spaces)
        assert direction_reading(shape, "x", spaces=spaces, space="s").space == "s"
        assert direction_reading(shape, "x", spaces=spaces, space="w+").shape[-2:] == (4, 6)
    spaces["s"] = (30,)
    assert code_reading((3, 30), spaces, "x").space == "s"
    assert direction_reading((3, 30), "x", spaces=spaces).space == "s"
    assert code_reading((3, 24), spaces, "x").space == "w+"
