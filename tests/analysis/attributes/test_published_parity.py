"""The six published networks: layouts, raw outputs, decoding and preprocessing are those of the published program."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from support import published_script
from support.formula_networks import NAMES, description, network, numbers, paths, picture, pictures, state
from support.reference import REFERENCE
from support.reference import agree as close
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

from semanifold.analysis.attributes.fan_au import FanAU
from semanifold.analysis.attributes.published import MEASURES, PublishedAttributes, fairface_values
from semanifold.analysis.attributes.residual_readers import FairFace, degrees, expected
from semanifold.analysis.attributes.s3fd import MEAN_BGR, S3FD, best_faces, face_cells
from semanifold.analysis.attributes.sampling import normalised, shorter_side

PIPELINE = description()["config"]["pipeline"]
RUNS = (("stylegan2", 0), ("proggan", 0), ("stylegan2_antialias", 1), ("stylegan2", 2))
"""Each run and each path: runs differ in how pictures are made smaller only, paths in their size (the last is enlarged)."""


def within(x: Tensor) -> Tensor:
    return (x - x.min()) / (x.max() - x.min())


@pytest.mark.parametrize("name", NAMES)
def test_the_layout_is_the_published_one(name: str) -> None:
    with torch.device("meta"):
        found = {key: list(value.shape) for key, value in MEASURES[name].make("x_4race").state_dict().items()}
    table = description()["config"]["networks"][NAMES[name]]["state_dict"]
    assert found == {key: entry["shape"] for key, entry in table.items()}
    assert [entry["index"] for entry in table.values()] == list(range(len(table)))
    assert set(state(name)) == set(found)


def test_detector() -> None:
    given = pictures("face")
    for level, (scores, offsets) in enumerate(network("face")(given)):
        close(scores, numbers()[f"s3fd/cls{level}"])
        close(offsets, numbers()[f"s3fd/reg{level}"])


FEEDS: dict[str, Callable[[Tensor], Tensor]] = {
    "image0": lambda x: x,
    "image0_detect_from_image": lambda x: normalised(x, MEAN_BGR, (1, 1, 1)),
    "image0_as_trained": lambda x: normalised(x.flip(1), MEAN_BGR, (1, 1, 1)),
}


@pytest.mark.parametrize("feed", FEEDS)
def test_faces_are_found_where_the_published_detector_finds_them(feed: str) -> None:
    levels = network("face")(FEEDS[feed](pictures("face")[:1]))
    cells = face_cells(levels)[0]
    close(cells[cells[:, 4] > 0.05], numbers()[f"s3fd/{feed}/candidates"])
    first = numbers()[f"s3fd/{feed}/faces"][:1]
    found = best_faces(levels)
    close(found[found[:, 4].isfinite()], first)


def test_identity() -> None:
    given = adaptive_avg_pool2d(pictures("identity")[:, :, 35:223, 32:220] / 255 * 2 - 1, 112)
    close(given[:, :, ::8, ::8], numbers()["arcface/input_every8"])
    found = network("identity")(given)
    close(found, numbers()["arcface/embedding"])
    close(cosine_similarity(found[:1], found), numbers()["arcface/similarity"])


def test_fairface_and_its_proper_reading() -> None:
    given = normalised(pictures("fairface") / 255)
    close(given[:, :, ::16, ::16], numbers()["fairface/input_every16"])
    outputs = network("fairface")(given)
    close(outputs, numbers()["fairface/logits"])
    with torch.device("meta"):
        heads = FairFace(4), FairFace(7)
    four = fairface_values(outputs, outputs[:1], heads[0])
    close(four[:, 3:], numbers()["fairface/race4_probabilities"])
    close(four[:, 1], numbers()["fairface/reference_femaleness"])
    close(four[:, 0], (numbers()["fairface/age_probabilities"] * torch.arange(9) / 8).sum(1))
    races = numbers()["fairface/race4_probabilities"]
    close(four[:, 2], torch.stack([torch.zeros(()), (races[1] - races[0]).abs().sum() / 2]))
    seven = fairface_values(outputs, outputs[:1], heads[1])
    close(seven[:, 3:], numbers()["fairface/logits"][:, :7].softmax(1))
    close(published_script.score(outputs[:, :7]), numbers()["fairface/reference_race_score"])
    close(published_script.score(outputs[:, 9:]), numbers()["fairface/reference_age_score"])


def test_head_pose() -> None:
    outputs = network("pose")(normalised(pictures("pose") / 255))
    close(outputs, numbers()["hopenet/logits"])
    close(degrees(outputs), numbers()["hopenet/degrees"])
    values = MEASURES["pose"].values(outputs, outputs[:1], network("pose"))
    close(values, torch.deg2rad(numbers()["hopenet/degrees"]))


def test_action_units() -> None:
    made = network("au")
    assert isinstance(made, FanAU)
    given = within(pictures("au"))
    maps = made(given)
    close(maps[:, :, ::4, ::4], numbers()["fan_au/heatmaps_every4"])
    close(maps.amax((2, 3)), numbers()["fan_au/intensities"])
    close(made.fan(given)[0][:, :, ::8, ::8], numbers()["fan_au/landmark_maps_every8"])
    row = description()["config"]["pictures"]["fan_au_small"]
    small = picture(row["index"], row["height"], row["width"])[None]
    close(made(within(small)), numbers()["fan_au/small_heatmaps"])


def test_celeba() -> None:
    given = pictures("celeba")
    for scaled, words in ((given / 255 * 2 - 1, "minus1_1"), (within(given), "minmax")):
        outputs = network("celeba")(normalised(scaled))
        close(outputs, numbers()[f"celeba5/logits_{words}"])
        close(published_script.score(outputs), numbers()[f"celeba5/reference_scores_{words}"])


def test_the_soft_argmax_is_continuous_and_monotone_where_the_published_score_is_not() -> None:
    """The first class loses to the second; only the soft reading rises all the way."""
    first = torch.linspace(0.99, 0.01, 99)
    logits = torch.stack([first, 1 - first, *[torch.full_like(first, 1e-9)] * 4], 1).log()
    soft, hard = expected(logits), published_script.score(logits)
    assert (soft.diff() > 0).all()
    assert soft.diff().max() < 0.003
    assert (hard.diff() < 0).any()
    assert hard.diff().max() > 0.15


@pytest.mark.parametrize(("run", "path"), RUNS)
def test_the_whole_published_script(run: str, path: int) -> None:
    """From pictures of several sizes to its 26 attributes: detection, crops, inputs, raw outputs and scores."""
    values, raw = published_script.attributes(path, stylegan2=run != "proggan", antialias=run == "stylegan2_antialias")
    for key, found in raw.items():
        if f"{run}/{key}" in numbers():
            expected_numbers = numbers()[f"{run}/{key}"][path]
            exact = key.startswith("crop_")
            assert not exact or torch.equal(found, expected_numbers)
            close(found.float(), expected_numbers.float())
    names = PIPELINE["attributes"]
    assert set(values) == set(names)
    for index, name in enumerate(names):
        close(values[name].double(), numbers()[f"{run}/attributes"][index, path])


def test_the_published_files_hold_these_numbers() -> None:
    """The columns of the result files that people have are the attributes of the fixture, by the names that we use."""
    names = PIPELINE["attributes"]
    ours = {a.name for n, m in MEASURES.items() for a in m.attributes(network(n)) if not a.name.startswith("race_")}
    assert ours == set(names)
    for index, name in enumerate(names):
        held = np.load(REFERENCE / "attribute_networks" / "eval_np" / f"{name}.npy")
        assert np.array_equal(held, numbers()["stylegan2/attributes"][index].numpy())
    pose = json.loads((REFERENCE / "attribute_networks" / "eval_json" / "pose.json").read_text())
    yaw = numbers()["stylegan2/attributes"][names.index("yaw")]
    assert np.allclose(np.deg2rad([pose[str(path)][0] for path in range(len(yaw))]), yaw.numpy())


def test_all_networks_together() -> None:
    """One by one and in a batch, in any order of columns, the same numbers; and those of the parts."""
    images = paths()[-1][[0, -1]] / 127.5 - 1
    detector = cast(S3FD, network("face"))
    networks = {name: network(name) for name in ("face", "identity", "fairface", "pose", "au", "celeba")}
    reader = PublishedAttributes(networks, (), detector)
    names = [a.name for a in reader.attributes]
    assert names[:6] == ["face_width", "face_height", "identity", "age", "gender", "race"]
    assert len(names) == 30  # the published 26 and four races
    values = reader.read(images, images[:1])
    few = {name: networks[name] for name in ("pose", "identity", "celeba")}
    some = PublishedAttributes(few, ("roll", "identity", "celeba_age"), detector)
    columns = [names.index(a.name) for a in some.attributes]
    close(some.read(images[1:], images[:1]).nan_to_num(9), values[1:, columns].nan_to_num(9), 1e-4)
    assert values[0, 2] == pytest.approx(1)
    assert values[1, 2] < 0.99
    assert values[:, names.index("celeba_bangs") :].isfinite().all()
    square = shorter_side((images + 1) / 2, 256)
    faces = best_faces(detector(normalised(square.flip(1) * 255, MEAN_BGR, (1, 1, 1))))
    close(values[:, 0].nan_to_num(9), ((faces[:, 2] - faces[:, 0]) / 256).nan_to_num(9), 1e-4)
