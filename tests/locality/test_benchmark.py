"""The benchmark end to end: fairness, resuming, its table and its figure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from PIL import Image
from support.docs_world import usually
from support.toy import Toy, ToyConv, left_world

from semanifold.core.errors import SemanifoldError
from semanifold.edits import EditInfo, Lattice
from semanifold.generators.loading import load_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.locality import methods
from semanifold.locality.benchmark import QUICK, LocalitySettings, locality_benchmark, run_benchmark
from semanifold.locality.matching import Candidate, line
from semanifold.locality.methods import METHODS, Problem, out_and_back
from semanifold.locality.report import LocalityReport
from semanifold.locality.rows import ROWS
from semanifold.locality.worlds import lpips_change_map, perceptual_map, world_of
from semanifold.manifolds.settings import ManifoldSettings
from semanifold.paths.changes import changes_of
from semanifold.paths.masked import masked_paths
from semanifold.paths.weight_masked import masked_weight_paths


def axis(number: int):
    def method(problem: Problem) -> list[Candidate]:
        return [line(torch.eye(4)[number], problem.reach, problem.start.space, f"axis {number}")]

    return method


AXES = {"random": axis(1), "ganspace": axis(2), "ours": axis(0)}


def settings(out: Path, **changes: Any) -> LocalitySettings:
    start = LocalitySettings(
        generator="toy", masks=("left",), seeds=2, methods=("random", "ganspace", "ours"), level=0.3, out=out
    )
    return replace(start, **changes)


def run(out: Path, functions: Any = AXES, **changes: Any) -> LocalityReport:
    return run_benchmark(left_world(Toy()), settings(out, **changes), functions)


def test_known_axes_get_their_known_scores(tmp_path: Path) -> None:
    report = run(tmp_path)
    assert report.mean("left", "ours", "mse_ratio") == pytest.approx(0, abs=1e-9)
    assert report.mean("left", "ours", "ssim") == pytest.approx(1)
    both = report.mean("left", "ganspace", "mse_ratio")
    assert both is not None
    assert 0.3 < both < 3
    assert report.mean("left", "random", "mse_ratio") is None
    assert report.misses("left", "random") == (4, 4)
    goals = report.summary()["left"]
    assert goals.ahead
    assert goals.half
    assert goals.best_baseline == "ganspace"


def test_our_other_method_is_no_baseline(tmp_path: Path) -> None:
    report = run(tmp_path, {**AXES, "weights": axis(0)}, methods=("ganspace", "weights", "ours"))
    assert report.summary()["left"].best_baseline == "ganspace"


def test_the_oracle_takes_the_best_candidate_that_reaches_the_level(tmp_path: Path) -> None:
    def several(problem: Problem) -> list[Candidate]:
        return [c for number in (1, 2, 0, 3) for c in axis(number)(problem)]

    report = run(tmp_path, {"ours": several}, methods=("ours",))
    assert [row.candidate for row in report.rows] == ["axis 0", "axis 0"]
    assert report.rows[0].candidates == 4


def test_a_method_that_the_generator_does_not_allow_is_left_out(tmp_path: Path) -> None:
    report = run(tmp_path, {**AXES, "random": lambda _: []})
    assert report.methods == ["ganspace", "ours"]
    assert "random" not in report.markdown()


def test_what_is_named_twice_is_measured_and_counted_once(tmp_path: Path) -> None:
    once = run(tmp_path / "once", seeds=(0, 1))
    twice = run(tmp_path / "twice", seeds=(0, 1, 0), methods=("random", "ours", "random", "ganspace"), masks=("left", "left"))
    assert twice.misses("left", "random") == once.misses("left", "random") == (4, 4)
    assert len(twice.rows) == len(once.rows) == 6
    assert "`toy`, 2 seeds" in twice.markdown()
    assert "best of 4)" in twice.markdown(), "the toy has no more directions"


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    calls: list[int] = []

    def counted(problem: Problem) -> list[Candidate]:
        calls.append(problem.number)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return axis(0)(problem)

    methods = {**AXES, "ours": counted}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", methods)
    file = tmp_path / "cut" / ROWS
    with file.open("a") as writer:
        writer.write('{"mask": "left", "se')  # a line that a kill cut off
    resumed = run(tmp_path / "cut", methods)
    assert calls == [0, 1, 1]
    for a, b in zip(whole.rows, resumed.rows, strict=True):
        assert msgspec.structs.replace(a, seconds=0) == msgspec.structs.replace(b, seconds=0)
    assert all(json.loads(text) for text in file.read_text().splitlines())


def test_damaged_rows_are_measured_again_and_a_link_is_refused(tmp_path: Path) -> None:
    whole = run(tmp_path)
    file = tmp_path / ROWS
    lines = file.read_text().splitlines()
    for changes in (
        {"misses": "none"},
        {"mse_ratio": [1]},
        {"mse_ratio": 10**400},
        {"picture": {"shape": [3, 1, 2, 2], "bytes": "AAAA"}},
        {"picture": {"shape": [3, 1, 10**9, 10**9], "bytes": ""}},
        {"method": None},
        {"seed": []},
        {"localization_layers": {"4": "x"}},
    ):
        damaged = json.dumps(json.loads(lines[0]) | changes)
        file.write_bytes(("\n".join([damaged, *lines[1:]]) + "\n").encode() + b"[" * 100_000 + b"\n\xff\xfe\nnull\n")
        again = run(tmp_path)
        assert [row.mse_ratio for row in again.rows] == [row.mse_ratio for row in whole.rows]
        assert again.markdown()
    (tmp_path / "mine").write_text("mine")
    file.unlink()
    file.symlink_to(tmp_path / "mine")
    with pytest.raises(SemanifoldError, match="is a link"):
        run(tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"


def test_rows_of_other_settings_or_weights_are_not_reused(tmp_path: Path) -> None:
    first = run(tmp_path)
    other = run(tmp_path, level=0.2)
    assert other.rows[2].level == pytest.approx(first.rows[2].level * 2 / 3)
    generator = Toy()
    generator.basis.mul_(0.9)
    third = run_benchmark(left_world(generator), settings(tmp_path), AXES)
    assert third.rows[2].level != first.rows[2].level


def test_layers_are_scored_where_there_are_any(tmp_path: Path) -> None:
    world = left_world(ToyConv())
    chosen = settings(tmp_path, methods=("random",), seeds=1)
    row = run_benchmark(world, chosen, METHODS).rows[0]
    assert set(row.localization_layers) == {"4", "8"}
    assert 0 < row.localization < 1


@pytest.mark.usefixtures("_few_pictures")
def test_all_methods_run_in_the_w_plus_of_a_stylegan2(tmp_path: Path) -> None:
    generator = StyleGAN2(StyleGAN2Config(size=16, z_dim=8, w_dim=8, channels=(6, 5, 4)))
    small = ManifoldSettings(frames=5, steps=6)
    chosen = settings(tmp_path, methods=tuple(METHODS), seeds=1, top=3, manifold=small, paper_steps=2)
    world = replace(left_world(generator), space="w+")
    rows = {row.method: row for row in run_benchmark(world, chosen, METHODS).rows}
    assert {name: row.candidates for name, row in rows.items()} == {
        "random": 1, "ganspace": 12, "sefa": 12, "weights-plain": 3, "eigen-other": 10, "mask": 1, "weights": 1, "rbe": 25,
        "localdiff": 25, "eigen": 10, "paper": 1, "ours": 1,
    }  # fmt: skip
    assert rows["ours"].misses == 0
    assert rows["ours"].mse_ratio < rows["random"].mse_ratio
    assert set(rows["ours"].localization_layers) == {"4", "8", "16"}


def test_table_json_and_figure(tmp_path: Path) -> None:
    report = run(tmp_path)
    table = report.markdown()
    assert "| masked manifold, ours | 0.0000 |" in table
    assert "4 of 4" in table
    held = json.loads(json.dumps(report.numbers()))
    assert held["goals"]["left"]["ahead"] is True
    assert "picture" not in held["rows"][0]
    figure = report.figure(tmp_path / "figure.png")
    with Image.open(figure) as picture:
        assert picture.size[0] > 300
    assert not list(tmp_path.glob("*.part"))


def test_out_and_back_splits_a_closed_path_in_the_middle() -> None:
    offsets = torch.tensor([0.0, 1.0, 2.0, 3.0, 0.0])[:, None]
    edit = Lattice(offsets, (torch.linspace(0, 1, 5),), EditInfo(space="z"))
    out, back = out_and_back(edit)
    assert out.displacement(torch.tensor([0.5, 1.0]))[:, 0].tolist() == [1.0, 2.0]
    assert back.displacement(torch.tensor([0.5, 1.0]))[:, 0].tolist() == [3.0, 2.0]


def test_unknown_methods_and_empty_settings_are_refused() -> None:
    with pytest.raises(SemanifoldError, match="did you mean 'sefa'"):
        LocalitySettings(methods=("seffa",))
    with pytest.raises(SemanifoldError, match="at least one seed"):
        LocalitySettings(seeds=0)
    with pytest.raises(SemanifoldError, match="did you mean 'analytic'"):
        locality_benchmark(LocalitySettings(generator="analytical"))


def test_grey_pictures_have_a_perceptual_distance() -> None:
    change, _ = perceptual_map()
    assert change is not None
    grey = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.allclose(change(grey, grey.flip(0)), change(grey.expand(-1, 3, -1, -1), grey.flip(0).expand(-1, 3, -1, -1)))


def test_faces_are_read_for_masks_that_are_no_region() -> None:
    faces = load_generator("faces")
    world = world_of(faces, ("box:0.3,0.6,0.7,0.9", "mouth|nose"))
    assert world.space == "w+"
    assert world.truth is not None
    assert "mouth" in world.truth.source
    mask = world.mask(faces.sample([0]), "mouth|nose").at(64, 64)
    assert torch.equal(mask, torch.maximum(*(world.mask(faces.sample([0]), name).at(64, 64) for name in ("mouth", "nose"))))
    with pytest.raises(SemanifoldError, match="There is no mask of 'moth'"):
        world_of(faces, ("moth",))


@pytest.mark.slow
def test_lpips_keeps_its_place() -> None:
    pytest.importorskip("lpips")
    change = lpips_change_map(random=True)
    plain = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    edited = plain.clone()
    edited[..., :16, :16] *= -1
    there = change(edited, plain)
    assert there.shape == (1, 1, 64, 64)
    assert change(plain, plain).abs().max() == 0
    assert there[..., :16, :16].mean() > 5 * there[..., 40:, 40:].mean().abs()


@pytest.fixture
def _few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let methods that look at many pictures look at a few."""
    usually(monkeypatch, changes_of, probes=2)
    usually(monkeypatch, masked_paths, samples=2, kept=4)
    usually(monkeypatch, masked_weight_paths, kept=4, refine=2)
    monkeypatch.setattr(methods, "WEIGHT_SAMPLES", 2)
    monkeypatch.setattr(methods, "SAMPLES", 512)


@pytest.mark.slow
@pytest.mark.usefixtures("_few_pictures")
def test_quick_benchmark_on_the_analytic_faces(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    assert QUICK.methods == tuple(METHODS)
    fewer_steps, chosen = replace(QUICK.manifold, steps=6), ("random", "ganspace", "sefa", "mask", "weights", "paper", "ours")
    quick = replace(QUICK, methods=chosen, top=2, manifold=fewer_steps, paper_steps=2, out=tmp_path)
    report = locality_benchmark(quick, told.append)
    assert report.methods == ["random", "ganspace", "mask", "paper", "ours"]
    assert told[-1]["step"] == told[-1]["steps"] == len(chosen)
    ours, random = (report.mean("mouth", m, "mse_ratio") for m in ("ours", "random"))
    assert ours is not None
    assert random is not None
    assert ours < 0.5 * random
    truth = report.mean("mouth", "ours", "truth")
    assert truth is not None
    assert truth > (report.mean("mouth", "random", "truth") or 0)
