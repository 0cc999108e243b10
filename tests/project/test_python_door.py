"""What a person may write in Python: texts for masks, numbers for seeds, and what things say of themselves."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from support.small_world import SmallWorld

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.core.solutions import Result, Solution
from semanifold.edits import EditInfo
from semanifold.generators.base import Generator, as_latents
from semanifold.generators.loading import save_generator
from semanifold.images.masks import as_mask, box
from semanifold.manifolds import discover_manifolds, local_directions
from semanifold.paths.base import info_for
from semanifold.paths.linear import LinearPaths
from semanifold.worlds.faces.world import FACES

LOWER = "box:0,0.5,1,1"
QUICK = sm.ManifoldSettings(space="w+", layers=(0, 2), frames=5, steps=3)


@pytest.fixture(scope="module")
def faces() -> Generator:
    return sm.load_generator("faces")


def named_paths(world: Generator) -> LinearPaths:
    shape, info = info_for(world, "z", names={1: "smile +"})
    return LinearPaths("linear", 4, shape, info)


@pytest.fixture(scope="module")
def world() -> SmallWorld:
    return SmallWorld()


def test_searches_take_seeds_and_texts(world: SmallWorld) -> None:
    seed = world.sample([4])
    mask = sm.parse_mask(LOWER)
    plain, words = (sm.discover_manifold(world, *start, QUICK).value for start in ((seed, mask), (4, LOWER)))
    assert torch.equal(plain.displacements, words.displacements)
    several = discover_manifolds(world, 4, LOWER, [0.01], QUICK)
    assert several[0].value.info.mask == LOWER
    assert torch.equal(local_directions(world, 4, LOWER, 2).vectors, local_directions(world, seed, mask, 2).vectors)


def test_edits_take_seeds(world: SmallWorld) -> None:
    edit = sm.discover_manifold(world, 4, LOWER, QUICK).value
    codes = world.sample([7, 8], "w+")
    assert torch.equal(edit.images(world, [7, 8], 0.5), edit.images(world, codes, 0.5))
    assert sm.transfer(edit, 7, world).start == sm.transfer(edit, codes[0]).start == codes[0]
    assert sm.traced(edit, 7, generator=world).start == codes[0]
    for call in (lambda: sm.transfer(edit, 7), lambda: sm.traced(edit, 7)):
        with pytest.raises(SemanifoldError, match=r"A seed, such as 7, .* give generator="):
            call()
    with pytest.raises(SemanifoldError, match=r"combine\(\[a, b\]\)"):
        sm.combine(edit)  # type: ignore[arg-type]


def test_paths_take_seeds_names_and_numbers(world: SmallWorld) -> None:
    paths = named_paths(world)
    index, magnitude = torch.tensor([1, 1]), torch.tensor([0.5, 0.5])
    expected = paths.shifted_images(world, world.sample([7, 8]), index, magnitude)
    for which in (1, "smile", index, [1, 1]):
        assert torch.equal(paths.shifted_images(world, [7, 8], which, 0.5), expected)
    with pytest.raises(SemanifoldError, match="There is no path 'x"):
        paths.find("x" * 5000)
    for odd in ("9" * 5000, "²", "path " + "9" * 5000):
        with pytest.raises(SemanifoldError, match="There is no path"):
            paths.find(odd)


def test_a_search_that_failed_raises_unless_asked_not_to() -> None:
    failed = Solution(torch.zeros(1), Result.DIVERGED)
    assert failed.thrown(False) is failed
    with pytest.raises(SemanifoldError, match="NaN"):
        failed.thrown(True)


def test_the_regions_of_the_faces_are_asked_of_the_generator(faces: Generator) -> None:
    mask = sm.parse_mask("mouth|~eyes", faces, 7)
    other = sm.parse_mask("mouth|~eyes", faces.regions(faces.sample([7], "w")))
    assert torch.equal(mask.at(64, 64), other.at(64, 64))
    assert not torch.equal(mask.at(64, 64), sm.parse_mask("mouth|~eyes", faces, 8).at(64, 64))
    assert torch.equal(sm.parse_mask("box:0,0,32,64px", faces).at(64, 64), box(0, 0, 0.5, 1).at(64, 64))
    with pytest.raises(SemanifoldError, match="elsewhere in every picture; say whose it is by a seed"):
        sm.parse_mask("mouth", faces)
    with pytest.raises(SemanifoldError, match="belongs to one picture, but 2"):
        sm.parse_mask("mouth", faces, faces.sample([1, 2]))
    with pytest.raises(SemanifoldError, match="did you mean 'mouth'"):
        sm.parse_mask("mouht", faces)
    with pytest.raises(SemanifoldError, match=r"no face is found in the picture of .*; draw a shape, such as box"):
        sm.parse_mask("mouth", SmallWorld(), 7)


def test_regions_belong_to_weights_not_to_a_name(tmp_path: Path, faces: Generator) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(FACES.generators["faces"].read_bytes())
    renamed = sm.load_generator(other)
    assert (renamed.name, renamed.world) == ("faces", FACES)
    weights = {key: value.clone() for key, value in faces.state_dict().items()}
    weights["w_avg"] += 1
    changed = sm.load_generator(other)
    changed.load_state_dict(weights)
    assert changed.name == "faces"
    assert changed.world is None
    masks = [sm.parse_mask("mouth", generator, 7).at(64, 64) for generator in (renamed, changed)]
    assert not torch.equal(*masks), "those of a face that is found in the picture"
    assert float((masks[0] * masks[1]).sum() / torch.maximum(*masks).sum()) > 0.4
    assert sm.load_generator("analytic").world is FACES


def test_edited_faces_are_faces(tmp_path: Path, faces: Generator) -> None:
    """Named regions are read from pictures, so that those of a generator with other weights in a layer have them as well."""
    edited = faces.with_weights({"convs.4": 1.1 * faces.get_submodule("convs.4").weight})
    assert edited.fingerprint != faces.fingerprint
    assert edited.world is FACES
    assert copy.deepcopy(edited).world is FACES
    assert 0 < float(sm.parse_mask("mouth", edited, 7).at(64, 64).mean()) < 0.2
    save_generator(edited, tmp_path / "edited.safetensors")
    again = sm.load_generator(tmp_path / "edited.safetensors")
    assert again.world is FACES
    assert torch.equal(sm.parse_mask("mouth", again, 7).at(64, 64), sm.parse_mask("mouth", edited, 7).at(64, 64))


def test_masks_in_all_forms(world: SmallWorld, tmp_path: Path) -> None:
    half = torch.zeros(16, 16)
    half[8:] = 1
    for form in (LOWER, sm.parse_mask(LOWER), half, half.numpy(), "box:0,8,16,16px"):
        assert torch.equal(as_mask(form, world).at(16, 16)[0, 0], half)
    for nothing in (7, None, ["mouth"], b"mouth"):
        with pytest.raises(SemanifoldError, match="A mask is typed as a text"):
            as_mask(nothing, world)  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["mouth", 7.5, None, torch.zeros(1, 6), torch.zeros(1, 6).double(), {}])
def test_what_is_no_code_is_refused(given: Any, world: SmallWorld) -> None:
    with pytest.raises(SemanifoldError):
        as_latents(given, world)


def test_codes_of_another_precision_are_cast_at_the_door(world: SmallWorld) -> None:
    codes = world.sample([7])
    for dtype in (torch.float64, torch.float16):
        assert as_latents(codes.to(dtype=dtype), world).values.dtype == torch.float32
    assert as_latents(codes, world) is codes


def test_things_say_in_one_line_what_they_are(world: SmallWorld, faces: Generator) -> None:
    solution = sm.discover_manifold(world, 4, LOWER, QUICK)
    assert repr(faces) == "StyleGAN2('faces': z [32], w [128], w+ [10, 128], s [2256] -> 3 x 64 x 64)"
    assert repr(solution.value).startswith("Lattice('box:0,0.5,1,1': path in w+ [3, 2] of small, t from ")
    assert repr(solution).startswith("Solution(Lattice(")
    assert "STEPS: steps 3" in repr(solution)
    paths = named_paths(world)
    assert repr(paths) == "LinearPaths(4 paths in z [6] of small, 1 with names (smile +))"
    assert repr(sm.box(0, 0, 1, 0.5)) == "Mask('box:0,0,1,0.5')"
    assert all("\n" not in repr(thing) for thing in (faces, solution, paths, paths[0], solution.value))


def test_paths_of_w_and_w_plus_are_combined_as_on_the_command_line() -> None:
    knots = torch.tensor([0.0, 0.5, 1.0])
    narrow = sm.Lattice(torch.rand(3, 4) * knots[:, None], (knots,), EditInfo(name="yaw", space="w"))
    code = sm.Latents(torch.zeros(1, 2, 4), "w+")
    wide = sm.Lattice(torch.rand(3, 2, 4) * knots[:, None, None], (knots,), EditInfo(name="mouth", space="w+"), start=code)
    both = sm.combine([narrow, Solution(wide, Result.CONVERGED)])
    assert both.info.space == "w+"
    assert both.start is code, "the only picture that is known"
    torch.testing.assert_close(both.displacement(0.5), narrow.displacement(0.5)[:, None] + wide.displacement(0.5))


@pytest.mark.parametrize(
    "work",
    [
        lambda thing: sm.transfer(thing, sm.Latents(torch.zeros(1, 4), "w")),
        lambda thing: sm.retime(SmallWorld(), thing),
        lambda thing: sm.trim(SmallWorld(), thing),
        lambda thing: sm.extrapolate(thing, 2.0),
        sm.reverse,
        lambda thing: sm.combine([thing, thing]),
    ],
)
def test_works_on_paths_take_solutions_and_refuse_the_rest(work: Any) -> None:
    knots = torch.tensor([0.0, 0.5, 1.0])
    path = sm.Lattice(torch.zeros(3, 4), (knots,), EditInfo(space="w"))
    with pytest.raises(SemanifoldError, match="A path of displacements is expected, but got a value of type int"):
        work(3)
    with pytest.raises(SemanifoldError, match="infinite"):
        work(Solution(path, Result.DIVERGED))
