"""Inverting: what is found, where it begins, how it ends, and that stopping, killing and resuming lose nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.small_world import SmallWorld
from torch import nn

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.solutions import Result
from semanifold.generators.loading import load_generator
from semanifold.generators.wrapped import wrap
from semanifold.images.distances import l2
from semanifold.images.masks import box
from semanifold.inversion import InversionSettings, inversion_steps, invert
from semanifold.inversion.solve import decibels
from semanifold.storage.tensors import read_header, read_tensors, write_tensors
from semanifold.worlds.faces.attribute_network import attribute_network

QUICK = InversionSettings(starts=16, steps=60)


def picture(seed: int, world=None) -> torch.Tensor:
    world = world or SmallWorld()
    return world.images(world.sample([seed]))


@pytest.mark.parametrize("space", ["z", "w+"])
def test_a_picture_of_the_generator_is_found_again(space):
    world = SmallWorld()
    solution = invert(world, picture(500), replace(QUICK, space=space))
    assert solution.result is Result.CONVERGED
    assert solution.value.space == space
    assert solution.stats["psnr"] >= 45
    difference = (world.images(solution.value) - picture(500)).square().mean()
    assert solution.stats["psnr"] == pytest.approx(decibels(float(difference)), abs=0.01)
    assert solution.stats["evaluations"] < 120
    json.dumps(solution.stats)


def test_codes_of_the_first_space_are_found_without_the_encoder_which_reads_others():
    faces = load_generator("faces")
    first = next(inversion_steps(faces, picture(5, faces), replace(QUICK, space="z", starts=1, tries=1)))
    assert first.code.space == "z"


def test_a_face_that_was_rendered_is_found_nearly_and_its_factors_are_read_from_it():
    faces, analytic = load_generator("faces"), load_generator("analytic")
    target = analytic.images(analytic.sample([1000]))
    solution = invert(faces, target, InversionSettings(steps=40))
    assert solution.stats["psnr"] > 31
    assert solution.stats["distance"] < 0.02
    assert solution.stats["nature"] < 1
    read, true, other = (attribute_network()(x) for x in (faces.images(solution.value), target, picture(3, faces)))
    wrong, usual = (read - true).abs().mean(), (other - true).abs().mean()
    assert wrong < 0.15 * usual


def test_natural_codes_are_nearer_to_the_mean_when_that_is_asked_for():
    faces, analytic = load_generator("faces"), load_generator("analytic")
    target = analytic.images(analytic.sample([1000]))
    free, kept = (
        invert(faces, target, InversionSettings(space="w", naturalness=weight, steps=6, starts=0, tries=1)).stats["nature"]
        for weight in (0.0, 0.3)
    )
    assert kept < 0.7 * free


def test_inside_of_a_mask_the_picture_is_found_and_outside_it_is_free():
    world = SmallWorld()
    target = picture(500).clone()
    target[:, :, :8] = 5.0  # what no code makes
    mask = box(0, 0.5, 1, 1)
    inside = invert(world, target, QUICK, mask=mask)
    everywhere = invert(world, target, QUICK)
    lower = [float((world.images(solution.value) - target)[:, :, 8:].square().mean()) for solution in (inside, everywhere)]
    assert inside.stats["psnr"] == pytest.approx(decibels(lower[0]), abs=0.5)
    assert lower[0] < 0.01 * lower[1]


def test_the_search_begins_where_it_is_told():
    world = SmallWorld()
    begun = next(inversion_steps(world, picture(500), replace(QUICK, space="z"), start=9))
    torch.testing.assert_close(begun.code.values, world.sample([9]).values)
    assert begun.state.start_name == "the given code"
    named = [step.state.start_name for step in inversion_steps(world, picture(3), replace(QUICK, steps=1))]
    assert named[0] == "random code 3"
    tried = invert(world, picture(500), replace(QUICK, tries=3)).stats["starts"]
    assert len(tried) == 3
    assert "the mean" in tried


def test_classes_take_turns_and_the_best_stays(tmp_path):
    def network(z, y):
        return (z @ torch.eye(3)).tanh()[:, :, None, None].expand(-1, 3, 8, 8) * (y @ torch.tensor([0.2, 0.5, 1.0]))[
            :, None, None, None
        ]

    four = wrap(network, 3, classes=3)
    target = four.images(four.sample([77], labels=2))
    near = replace(QUICK, enough=200)
    solution = invert(four, target, near)
    assert solution.value.labels.argmax() == 2
    assert solution.stats["psnr"] == pytest.approx(invert(four, target, near, labels=2).stats["psnr"], abs=0.1)
    only = invert(four, target, replace(QUICK, naturalness=0), labels=1)
    assert only.value.labels.argmax() == 1
    list(inversion_steps(four, target, QUICK, labels=1, checkpoint=tmp_path / "state.safetensors"))
    for labels in (None, 2):
        with pytest.raises(SemanifoldError, match="belongs to an inversion with another"):
            list(inversion_steps(four, target, QUICK, labels=labels, checkpoint=tmp_path / "state.safetensors"))


def test_a_code_of_double_precision_gives_one():
    world = SmallWorld(torch.float64)
    assert invert(world, picture(500), QUICK).value.values.dtype == torch.float64


def test_steps_can_be_watched_and_stopped_and_ctrl_c_keeps_the_best():
    said = []

    def interrupt(report):
        said.append(report)
        if report["step"] == 9:
            raise KeyboardInterrupt

    solution = invert(SmallWorld(), picture(500), replace(QUICK, enough=200, tolerance=0), progress=interrupt)
    assert solution.result is Result.INTERRUPTED
    assert solution.stats["steps"] == 9
    assert torch.equal(solution.value.values, said[-1]["code"].values)
    assert said[0]["objective"] > said[-1]["objective"]
    assert {"step", "steps", "evaluations", "PSNR"} <= said[0].keys()
    # and what is done before the first step: the best start so far
    before = [report["starts"] for report in said if "starts" in report]
    assert before[:3] == ["16 of 17 starts compared", "17 of 17 starts compared", "start 1 of 2 followed for 1 steps"]
    assert before[-1] == "start 2 of 2 followed for 6 steps"
    assert said[1]["PSNR"] == pytest.approx(
        decibels(float((SmallWorld().images(said[1]["code"]) - picture(500)).square().mean()))
    )


def test_a_stopped_inversion_goes_on_to_the_same_bits(tmp_path):
    settings, file = replace(QUICK, enough=200, tolerance=0, naturalness=0), tmp_path / "state.safetensors"
    whole = invert(SmallWorld(), picture(500), replace(settings, steps=30))
    for step in inversion_steps(SmallWorld(), picture(500), replace(settings, steps=30), checkpoint=file):
        if step.step == 10:
            break
    resumed = list(inversion_steps(SmallWorld(), picture(500), replace(settings, steps=30), checkpoint=file))
    assert resumed[0].step == 10
    assert torch.equal(resumed[-1].code.values, whole.value.values)
    assert resumed[-1].solution().stats == whole.stats


def test_checkpoints_of_others_and_damaged_ones_are_refused(tmp_path):
    file = tmp_path / "state.safetensors"
    invert(SmallWorld(), picture(500), QUICK, checkpoint=file)
    for changes in ({"image": picture(501)}, {"settings": replace(QUICK, seed=1)}, {"start": 3}):
        call = {"image": picture(500), "settings": QUICK} | changes
        with pytest.raises(SemanifoldError, match="belongs to an inversion with another"):
            list(inversion_steps(SmallWorld(), **call, checkpoint=file))
    header, tensors = read_header(file), dict(read_tensors(file).tensors)
    for name, value in (("x", torch.zeros(1, 5)), ("start", torch.full((1, 6), float("nan"))), ("moves.999", torch.zeros(1, 6))):
        write_tensors(file, {**tensors, name: value}, header, crc=True)
        with pytest.raises(SemanifoldError, match=r"do(es)? not fit"):
            list(inversion_steps(SmallWorld(), picture(500), QUICK, checkpoint=file))
    Path(file).write_bytes(b"nonsense")
    with pytest.raises(SemanifoldError, match="delete it"):
        list(inversion_steps(SmallWorld(), picture(500), QUICK, checkpoint=file))


def test_what_does_not_fit_is_refused_before_any_work():
    world = SmallWorld()
    for call, words in (
        ({"image": torch.zeros(1, 3, 16, 16)}, "makes pictures"),
        ({"image": torch.zeros(2, 1, 16, 16)}, "makes pictures"),
        ({"image": torch.zeros(16, 16, dtype=torch.uint8)}, "makes pictures"),
        ({"image": "photo.png"}, "of type str"),
        ({"image": torch.full((1, 1, 16, 16), float("nan"))}, "NaN"),
        ({"image": picture(1), "settings": InversionSettings(space="s")}, "no latent space"),
        ({"image": picture(1), "start": [1, 2]}, "begins at one code, but got 2"),
        ({"image": picture(1), "start": Latents(torch.zeros(1, 5), "z")}, "shape"),
        ({"image": picture(1), "mask": "mouth"}, "region"),
        ({"image": picture(1), "mask": box(0, 0, 1e-3, 1e-3)}, "empty"),
    ):
        with pytest.raises(SemanifoldError, match=words):
            inversion_steps(world, **call)
    with pytest.raises(SemanifoldError, match="nothing to invert"):
        inversion_steps(load_generator("facemaps"), torch.zeros(1, 3, 64, 64))

    class Still(nn.Module):
        def forward(self, z):
            return z.detach()[:, :, None, None].expand(-1, 3, 8, 8)

    with pytest.raises(SemanifoldError, match="cannot be differentiated"):
        inversion_steps(wrap(Still(), 3), torch.zeros(1, 3, 8, 8))


def test_a_distance_that_becomes_nan_fails_in_a_sentence():
    world = SmallWorld()
    with pytest.raises(SemanifoldError, match="infinite or NaN"):
        invert(world, picture(500), QUICK, distance=lambda x, y: l2(x, y) * float("nan"))
    assert (
        invert(world, picture(500), QUICK, distance=lambda x, y: l2(x, y) * float("nan"), throw=False).result is Result.DIVERGED
    )
