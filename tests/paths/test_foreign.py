"""The files that people exchange: what they say, in which space, and that nothing in them runs."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from support.reference import REAL, REFERENCE, needs_real

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.paths.base import PathSetInfo
from semanifold.paths.files import load_paths
from semanifold.paths.foreign import read_directions, save_support_sets
from semanifold.paths.linear import LinearPaths
from semanifold.paths.warped import WarpedPaths

DIRECTIONS = REAL / "directions"
real_directions = needs_real("directions")
SETS = REFERENCE / "warped_support_sets"


def directions(paths: LinearPaths | WarpedPaths) -> torch.Tensor:
    """The first step of each path, one unit long."""
    return paths.shift(torch.zeros(len(paths), *paths.shape), torch.arange(len(paths)), 1 / paths.scale).detach()


@real_directions
def test_real_boundaries_tell_their_space() -> None:
    said = {path.name: load_paths(path).info.space for path in sorted(DIRECTIONS.glob("interfacegan_*.npy"))}
    assert set(said.values()) == {"z", "w"}
    assert all((space == "w") == name.endswith("_w_boundary.npy") for name, space in said.items())


@real_directions
def test_a_real_boundary_goes_three_of_its_units() -> None:
    path = DIRECTIONS / "interfacegan_stylegan_ffhq_smile_w_boundary.npy"
    vector = torch.from_numpy(np.load(path)).float()
    paths = load_paths(path)
    assert torch.allclose(directions(paths), vector, atol=1e-6)
    code = Latents(torch.zeros(1, 512), "w")
    assert torch.allclose(paths[0].latents(code, 1.0).values, 3 * vector, atol=1e-5)
    some = read_directions(path, layers=(4, 8))
    moved = some[0].latents(Latents(torch.zeros(1, 14, 512), "w+"), -1.0).values
    assert torch.allclose(moved[:, 4:8], -3 * vector.expand(1, 4, -1), atol=1e-5)
    assert moved[:, :4].abs().max() == moved[:, 8:].abs().max() == 0


@real_directions
def test_real_principal_components_are_in_standard_deviations() -> None:
    held = torch.load(DIRECTIONS / "e4e_ganspace_ffhq_pca.pt", weights_only=True)
    paths = load_paths(DIRECTIONS / "e4e_ganspace_ffhq_pca.pt")
    assert (len(paths), paths.info.space, paths.shape) == (80, "w", (512,))
    assert torch.allclose(directions(paths), held["comp"][:, 0], atol=1e-5)
    code = Latents(torch.zeros(1, 512), "w")
    for k in (0, 41, 79):
        assert torch.allclose(paths[k].latents(code, 1.0).values, 3 * held["std"][k] * held["comp"][k], atol=1e-4)


@real_directions
@pytest.mark.parametrize(
    "name", ["e4e_interfacegan_smile.pt", "lowrankgan_ffhq1024_eyes_size.npy", "resefa_stylegan2_ffhq_mouth.npy"]
)
def test_real_files_that_do_not_tell_ask_for_the_space(name: str) -> None:
    with pytest.raises(SemanifoldError, match="does not say which latent space"):
        load_paths(DIRECTIONS / name)
    paths = load_paths(DIRECTIONS / name, "w")
    assert (paths.info.space, len(paths), paths.shape) == ("w", 1, (512,))


def saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_ganspace_files(tmp_path: Path) -> None:
    components = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0][:3].astype(np.float32)
    others = {"act_comp": np.ones((3, 9), np.float32), "lat_mean": np.zeros((1, 6), np.float32)}
    deviations = np.array([2.0, 1.0, 0.5], np.float32)
    path = saved(tmp_path / "ffhq.npz", lat_comp=components[:, None], lat_stdev=deviations, **others)
    paths = load_paths(path)
    assert isinstance(paths, LinearPaths)
    assert paths.info.space == "w"
    assert torch.allclose(directions(paths), torch.from_numpy(components), atol=1e-6)
    reach = torch.cat([paths[k].latents(Latents(torch.zeros(1, 6), "w"), 1.0).values for k in range(3)]).norm(dim=1)
    assert torch.allclose(reach, torch.tensor([6.0, 3.0, 1.5]), atol=1e-5)
    path = saved(tmp_path / "biggan.npz", lat_comp=components, lat_stdev=np.ones(3, np.float32), **others)
    assert load_paths(path).info.space == "z"
    path = saved(tmp_path / "half.npz", **others)
    with pytest.raises(SemanifoldError, match="lat_comp"):
        load_paths(path)


def test_arrays_of_every_shape(tmp_path: Path) -> None:
    drawn = np.random.default_rng(0).normal(size=(4, 3, 5)).astype(np.float32)
    np.save(tmp_path / "one_boundary.npy", drawn[0, 0])
    assert directions(read_directions(tmp_path / "one_boundary.npy")).shape == (1, 5)
    np.save(tmp_path / "layered.npy", drawn)
    layered = read_directions(tmp_path / "layered.npy")
    assert (layered.info.space, layered.shape, len(layered)) == ("w+", (3, 5), 4)
    cut = read_directions(tmp_path / "layered.npy", layers=(1, 3))
    expected = torch.from_numpy(drawn[:, 1:3])
    assert torch.allclose(directions(cut), torch.nn.functional.normalize(expected.flatten(1)).reshape(4, 2, 5), atol=1e-6)
    np.save(tmp_path / "big_endian_w_boundary.npy", drawn[:, 0].astype(">f8"))
    assert read_directions(tmp_path / "big_endian_w_boundary.npy").info.space == "w"
    torch.save({"direction": torch.from_numpy(drawn[:, 0])}, tmp_path / "dict.pt")
    assert len(read_directions(tmp_path / "dict.pt", "w")) == 4


def test_a_folder_of_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "demo" / "mouth").mkdir(parents=True)
    (tmp_path / "demo" / "mouth" / "run.json").write_text("{}")
    with pytest.raises(SemanifoldError, match="demo is a folder of runs; give one that holds paths: mouth"):
        load_paths(tmp_path / "demo")


def test_experiments_of_warpedganspace(tmp_path: Path) -> None:
    """Finished, stopped (checkpoint) and converted runs all give the same paths."""
    source = SETS / "learn_alphas_learn_gammas"
    expected = load_paths(source)
    assert isinstance(expected, WarpedPaths)
    arguments = json.loads((source / "args.json").read_text())
    assert expected.info.step == pytest.approx((arguments["min_shift_magnitude"] + arguments["max_shift_magnitude"]) / 2)
    assert expected.info.space == ("w" if arguments["shift_in_w_space"] else "z")
    assert (expected.info.generator, len(expected)) == (arguments["gan_type"], arguments["num_support_sets"])
    state = torch.load(source / "models" / "support_sets.pt", weights_only=True)
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "args.json").write_text(json.dumps(arguments | {"shift_in_w_space": True}))
    torch.save({"iter": 7, "support_sets": state, "reconstructor": {"a": torch.ones(1)}}, models / "checkpoint.pt")
    for name in ("checkpoint.pt", "support_sets-9.pt", "support_sets-20000.pt"):
        if name != "checkpoint.pt":
            held = state | {"ALPHAS": state["ALPHAS"] * (0 if name == "support_sets-9.pt" else 1)}
            torch.save(held, models / name)
        if name == "support_sets-9.pt":
            continue
        found = load_paths(tmp_path)
        assert isinstance(found, WarpedPaths)
        assert found.info.space == "w"
        assert torch.equal(found.alphas, expected.alphas)
        assert torch.equal(found.support, expected.support)
    wide = read_directions(tmp_path, layers=(2, 4))
    assert (wide.info.space, wide.shape) == ("w+", (2, *expected.shape))


def test_a_file_of_support_sets_alone_asks_for_its_space(tmp_path: Path) -> None:
    source = SETS / "fixed_alphas_fixed_gammas" / "models" / "support_sets.pt"
    shutil.copy(source, tmp_path / "support_sets.pt")
    with pytest.raises(SemanifoldError, match="which latent space"):
        load_paths(tmp_path / "support_sets.pt")
    found = load_paths(tmp_path / "support_sets.pt", "z")
    assert isinstance(found, WarpedPaths)
    held = torch.load(source, weights_only=True)
    assert torch.equal(found.log_gamma, held["LOGGAMMA"].flatten())  # nothing says that it was not learned
    beside = load_paths(source)
    assert isinstance(beside, WarpedPaths)
    gamma = json.loads((source.parents[1] / "args.json").read_text())["gamma"] or 1 / beside.shape[0]
    assert torch.allclose(beside.log_gamma.exp(), torch.full((len(beside),), gamma))


def test_support_sets_are_written_as_they_are_read(tmp_path: Path) -> None:
    for init in ("reference", "spread"):
        paths = WarpedPaths.create(3, 4, (6,), PathSetInfo(), init=init, learn_alphas=True)
        save_support_sets(paths, tmp_path / "support_sets.pt")
        held = torch.load(tmp_path / "support_sets.pt", weights_only=True)
        assert {key: tuple(value.shape) for key, value in held.items()} == {
            "SUPPORT_SETS": (3, 2 * 4 * 6),
            "ALPHAS": (3, 8),
            "LOGGAMMA": (3, 1),
        }
        found = load_paths(tmp_path / "support_sets.pt", "z")
        codes, index = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1, 0])
        ours, theirs = (p.shift(codes, index, torch.ones(5)) for p in (paths, found))
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_run_of_voynov_and_babenko(tmp_path: Path) -> None:
    """The form and the space come from args.json, the newest file by number, names from the annotation."""
    (tmp_path / "models").mkdir()
    (tmp_path / "args.json").write_text(json.dumps({"deformator": "proj", "gan_type": "StyleGAN2", "w_shift": True}))
    (tmp_path / "human_annotation.txt").write_text("1: smile\n0: \n2: nose size\n")
    for number in (9, 100):
        state = {"linear.weight": torch.eye(4, 3) * number, "linear.bias": torch.zeros(4)}
        torch.save(state, tmp_path / "models" / f"deformator_{number}.pt")
    paths = load_paths(tmp_path)
    assert isinstance(paths, LinearPaths)
    assert (paths.form, paths.info.space, paths.info.names) == ("projective", "w", {1: "smile", 2: "nose size"})
    assert float(paths.linear.weight.detach()[0, 0]) == 100
    moved = paths["nose size"].latents(Latents(torch.zeros(1, 4), "w"), 1.0).values
    assert torch.allclose(moved, torch.tensor([[0.0, 0.0, 6.0, 0.0]]))


def test_an_orthogonal_deformator_is_the_exponential_of_its_half(tmp_path: Path) -> None:
    half = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    torch.save({"log_mat_half": half}, tmp_path / "deformator_1.pt")
    paths = load_paths(tmp_path / "deformator_1.pt", "z")
    assert isinstance(paths, LinearPaths)
    assert paths.form == "ortho"
    torch.testing.assert_close(directions(paths), torch.linalg.matrix_exp(half - half.T).T)


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("this ran",))


def test_nothing_in_a_file_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.pt").write_bytes(pickle.dumps({"comp": Evil()}))
    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "evil.npz", lat_comp=np.array([Evil()], dtype=object))
    for name in ("evil.pt", "evil.npy", "evil.npz"):
        with pytest.raises(SemanifoldError):
            load_paths(tmp_path / name, "z")
    assert "this ran" not in capsys.readouterr().out


def test_mistakes(tmp_path: Path) -> None:
    np.save(tmp_path / "zero_boundary.npy", np.zeros((2, 4)))
    np.save(tmp_path / "nan_boundary.npy", np.full((2, 4), np.nan))
    np.save(tmp_path / "whole_boundary.npy", np.ones((2, 4), np.int64))
    np.save(tmp_path / "good_w_boundary.npy", np.ones((2, 4)))
    np.save(tmp_path / "layered.npy", np.ones((2, 3, 4)))
    cut = (tmp_path / "good_w_boundary.npy").read_bytes()[:-9]
    (tmp_path / "cut_boundary.npy").write_bytes(cut)
    (tmp_path / "page.pt").write_text("<!DOCTYPE html><html></html>")
    torch.save({"SUPPORT_SETS": torch.ones(2, 12), "ALPHAS": torch.ones(2, 5)}, tmp_path / "support_sets.pt")
    torch.save(
        {"fc1.weight": torch.ones(4, 3), "fc4.weight": torch.ones(5, 4), "bn1.running_mean": torch.ones(4)}, tmp_path / "fc.pt"
    )
    torch.save({"a": torch.ones(2, 3), "b": torch.ones(2)}, tmp_path / "two.pt")
    torch.save(["text"], tmp_path / "text.pt")
    (tmp_path / "empty").mkdir()
    cases = [
        (("none.npy",), "no file"),
        (("empty",), "no experiment"),
        (("zero_boundary.npy",), "zero or not finite"),
        (("nan_boundary.npy",), "zero or not finite"),
        (("whole_boundary.npy",), "int64"),
        (("cut_boundary.npy",), "damaged"),
        (("page.pt",), "web page"),
        (("support_sets.pt", "z"), "do not fit"),
        (("fc.pt", "z"), "no whole deformator"),
        (("two.pt", "z"), "2 arrays"),
        (("text.pt", "z"), "no array of numbers"),
        (("good_w_boundary.npy", "w+"), "which layers"),
        (("good_w_boundary.npy", "w", (1, 2)), "w\\+ only"),
        (("good_w_boundary.npy", None, (3, 1)), "not 3:1"),
        (("layered.npy", "w+", (1, 9)), "no layers 1:9"),
    ]
    for (name, *rest), words in cases:
        space, layers = (*rest, None, None)[:2]
        with pytest.raises(SemanifoldError, match=words) as raised:
            read_directions(tmp_path / name, space, layers=layers)  # type: ignore[arg-type]
        assert "\n" not in str(raised.value), name


def test_support_sets_hold_warped_paths_of_whole_codes_alone(tmp_path: Path) -> None:
    alike = WarpedPaths.create(2, 3, (4, 8), PathSetInfo(space="w+"), shared=True)
    for paths in (alike, LinearPaths("id", 2, (8,), PathSetInfo())):
        with pytest.raises(SemanifoldError, match=r"support_sets\.pt holds warped paths"):
            save_support_sets(paths, tmp_path / "support_sets.pt")
    assert not list(tmp_path.iterdir())


def test_factors_of_sefa_are_the_columns_of_a_matrix(tmp_path: Path) -> None:
    matrix = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    torch.save({"ckpt": "x", "eigvec": matrix}, tmp_path / "factor.pt")
    found = load_paths(tmp_path / "factor.pt")
    assert isinstance(found, LinearPaths)
    assert (found.info.space, found.info.method) == ("w", "SeFa")
    torch.testing.assert_close(directions(found), torch.nn.functional.normalize(matrix.T, dim=1))
    for wrong in (matrix[0], matrix[None], matrix[:, :0], matrix.int()):
        torch.save({"ckpt": "x", "eigvec": wrong}, tmp_path / "factor.pt")
        with pytest.raises(SemanifoldError, match="a matrix is expected"):
            load_paths(tmp_path / "factor.pt")


def test_weights_of_a_deformator_are_matrices(tmp_path: Path) -> None:
    good = {"fc1.weight": torch.ones(4, 3), "fc4.weight": torch.ones(5, 4), "bn1.running_mean": torch.ones(4)}
    for name in ("fc1.weight", "fc4.weight"):
        torch.save(good | {name: torch.ones(4)}, tmp_path / "fc.pt")
        with pytest.raises(SemanifoldError, match="weights are not matrices"):
            read_directions(tmp_path / "fc.pt", "z")


def test_layers_from_the_first_on_are_taken_and_weights_are_not_learned_unless_it_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "layered.npy", np.ones((2, 3, 4)))
    assert read_directions(tmp_path / "layered.npy", "w+", layers=(0, 1)).info.layers == (0, 1)
    found = load_paths(SETS / "fixed_alphas_fixed_gammas" / "models" / "support_sets.pt", "z")
    assert isinstance(found, WarpedPaths)
    assert not found.learn_alphas
    alone = shutil.copy(SETS / "fixed_alphas_fixed_gammas" / "models" / "support_sets.pt", tmp_path / "support_sets.pt")
    found = load_paths(alone, "z")
    assert isinstance(found, WarpedPaths)
    assert (found.learn_alphas, found.learn_gammas) == (False, True), "the published defaults"
