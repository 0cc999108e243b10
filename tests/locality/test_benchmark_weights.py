"""Edits of weights in the benchmark: any edit as a side, and the rows of directions that are one for all faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.docs_world import usually
from support.toy import Toy, ToyConv, ToyWeights, left_world
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.edits import Edit, EditInfo, Sum, WeightEdit
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.locality import methods
from semanifold.locality.benchmark import LocalitySettings, make_problem, run_benchmark
from semanifold.locality.matching import both_signs, of_sides, ray, side_images
from semanifold.locality.methods import METHODS
from semanifold.locality.report import LocalityReport
from semanifold.locality.rows import ROWS
from semanifold.locality.worlds import World, world_of
from semanifold.paths.weight_masked import masked_weight_paths
from semanifold.worlds.faces.analytic import AnalyticFaces

WEIGHTS = ("weights-plain", "weights")


def random_ray(number: int) -> Any:
    return ray(torch.randn(6, generator=torch.Generator().manual_seed(number)), "z", "ray")


def random_change(generator: Generator, layer: str = "second") -> WeightEdit:
    weight = generator.get_submodule(layer).weight
    assert isinstance(weight, Tensor)
    return WeightEdit({layer: torch.randn(weight.shape, generator=torch.Generator().manual_seed(5))}, EditInfo(space="weights"))


def mixed_sides(generator: Generator) -> list[Edit]:
    change = random_change(generator)
    both = Sum([random_ray(1), change], EditInfo(name="both"))
    return [random_ray(2), change, random_ray(3), both, random_ray(4)]


def test_sides_of_any_kind_keep_their_order() -> None:
    generator = ToyConv()
    seed, sides, t = generator.sample([0]), mixed_sides(generator), torch.tensor([0.5, 0.2, 0.7, 0.1, 1.0])
    pictures = side_images(generator, seed, sides, t)
    for side, step, picture in zip(sides, t, pictures, strict=True):
        assert torch.allclose(side.images(generator, seed, step)[0], picture, atol=1e-6)
    rows = of_sides(generator, seed, sides, t, lambda _, codes, rows: torch.tensor(rows)[:, None] + 0 * codes.values[:, :1])
    assert rows[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_sides_that_move_codes_are_made_together(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, made = ToyConv(), []
    images = ToyConv.images

    def counted(self: ToyConv, latents: Latents, *, size: int | None = None) -> Tensor:
        made.append(len(latents))
        return images(self, latents, size=size)

    monkeypatch.setattr(ToyConv, "images", counted)
    rays = [random_ray(i) for i in range(128)]
    seed = generator.sample([0])
    pictures = side_images(generator, seed, [*rays[:70], random_change(generator), *rays[70:]], torch.full((129,), 0.5))
    assert sorted(made) == [1, 64, 64]
    monkeypatch.undo()
    moved = seed.values + 0.5 * torch.cat([side.displacement(1.0) for side in rays])
    batches = [generator.images(seed.with_values(moved[i : i + 64])) for i in (0, 64)]
    assert torch.equal(torch.cat([pictures[:70], pictures[71:]]), torch.cat(batches))


def test_both_signs_of_an_edit_go_equally_far() -> None:
    edit = random_change(ToyConv())
    there, back = both_signs(edit, 3.0, "both").sides
    assert float(there.way(torch.tensor([1.0]))) == pytest.approx(3.0)
    assert float(back.way(torch.tensor([1.0]))) == pytest.approx(-3.0)
    assert there.way(torch.tensor([0.0, 0.125])).flatten().tolist() == pytest.approx([0, 3 / 64])


def run(generator: Generator, out: Path, chosen: Sequence[str] = WEIGHTS, **changes: Any) -> LocalityReport:
    settings = LocalitySettings(generator="toy", masks=("left",), seeds=2, methods=tuple(chosen), level=0.3, out=out)
    return run_benchmark(left_world(generator), replace(settings, **changes), METHODS)


def test_weights_hold_on_faces_that_no_search_has_seen_and_local_codes_do_not(tmp_path: Path) -> None:
    report = run(ToyWeights(), tmp_path, ("eigen-other", "weights", "eigen"), layer="colours")
    ratios = {method: report.mean("left", method, "mse_ratio") for method in report.methods}
    assert ratios["weights"] == pytest.approx(0, abs=1e-4)
    assert (ratios["eigen-other"] or 0) > 0.05
    assert (ratios["eigen"] or 1) < 0.5 * (ratios["eigen-other"] or 0)
    assert {row.candidates for row in report.rows if row.method == "weights"} == {1}
    assert {row.sides for row in report.rows} == {2}


def test_masked_directions_are_found_once_and_not_on_the_faces_of_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    found = methods.masked_weight_paths
    calls = []

    def watched(*args: Any, **options: Any) -> Any:
        calls.append(args)
        monkeypatch.setattr(ToyConv, "draw", lambda self, seed: drawn.append(seed) or Generator.draw(self, seed))
        paths = found(*args, **options)
        monkeypatch.undo()
        return paths

    monkeypatch.setattr(methods, "masked_weight_paths", watched)
    run(ToyConv(), tmp_path, ("weights",), seeds=3)
    assert len(calls) == 1
    assert len(set(drawn)) >= methods.WEIGHT_SAMPLES
    assert not set(drawn) & set(range(3))


@pytest.fixture
def _few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let directions in weights be looked for at two pictures, and refined little."""
    usually(monkeypatch, masked_weight_paths, kept=4, refine=2)
    monkeypatch.setattr(methods, "WEIGHT_SAMPLES", 2)


@pytest.mark.usefixtures("_few_pictures")
def test_another_layer_measures_only_the_rows_of_weights_again(tmp_path: Path) -> None:
    def lines() -> list[str]:
        return (tmp_path / ROWS).read_text().splitlines()

    chosen = ("eigen", "weights")
    first = run(ToyConv(), tmp_path, chosen, seeds=1)
    other = run(ToyConv(), tmp_path, chosen, seeds=1, layer="last")
    assert [row.candidate for row in first.rows][1:] == ["second 1"]
    assert [row.candidate for row in other.rows][1:] == ["last 1"]
    assert len(lines()) == 3
    assert run(ToyConv(), tmp_path, chosen, seeds=1).rows == first.rows
    assert len(lines()) == 3


@pytest.mark.parametrize("generator", [Toy(), AnalyticFaces()])
def test_without_a_convolution_there_are_no_rows_of_weights(generator: Generator, tmp_path: Path) -> None:
    world = World(generator, generator.first_space, left_world(Toy()).masks)
    problem = make_problem(world, LocalitySettings(), "left", 0, 1.0)
    assert METHODS["weights"](problem) == METHODS["weights-plain"](problem) == []
    assert run(Toy(), tmp_path).methods == []


def test_faces_and_others_have_layers_of_their_own() -> None:
    faces = load_generator("faces")
    problem = make_problem(World(faces, "w+"), LocalitySettings(), "mouth", 0, 1.0)
    assert methods.layer_of(problem) == "convs.5"
    assert methods.layer_of(replace(problem, layer="convs.2")) == "convs.2"
    toy = make_problem(left_world(ToyConv()), LocalitySettings(), "left", 0, 1.0)
    assert methods.layer_of(toy) == "second"


@pytest.mark.usefixtures("_few_pictures")
def test_features_before_the_layer_have_no_score(tmp_path: Path) -> None:
    row = run(ToyConv(), tmp_path, ("weights",), seeds=1).rows[0]
    assert row.localization_layers["4"] is None
    assert row.localization == row.localization_layers["8"]


def test_a_layer_that_is_not_there_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match="did you mean 'second'"):
        world_of(ToyConv(), (), "secnd")
    with pytest.raises(SemanifoldError, match="did you mean 'second'"):
        run(ToyConv(), tmp_path, layer="secnd")
    assert not (tmp_path / ROWS).exists()
