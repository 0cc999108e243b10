"""Scores, groups, names, measures and pages of a ranking."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from support.reference import REFERENCE, settings

from semanifold.analysis.attributes.base import Attribute, AttributeReader
from semanifold.analysis.attributes.functions import function_reader
from semanifold.analysis.ranking import ATTRIBUTE_GROUPS, Measures, find_group, name_paths, read_measures, score
from semanifold.analysis.ranking.measures import METRICS, WalkRecord, mask_locality, measure_frames, save_measures
from semanifold.analysis.ranking.names import merged_names, why_unnamed
from semanifold.analysis.ranking.page import curve, page
from semanifold.analysis.ranking.reports import Group, as_json, markdown, table, write_group
from semanifold.analysis.ranking.scores import correlations, mean, monotonicities, order, rescale, slopes, steps_of
from semanifold.core.errors import SemanifoldError
from semanifold.images.metrics import inside_change, outside_change

PUBLISHED = settings("ranking")


def plain(n: int = 1, **options) -> list[Attribute]:
    return [Attribute(f"a{i}", **options) for i in range(n)]


def path(*values: float) -> np.ndarray:
    """One code, one path, one attribute."""
    return np.array(values, dtype=float)[None, None, :, None]


def random_values(codes: int = 3, paths: int = 4, t: int = 9, attributes: int = 5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drift = rng.normal(size=(1, paths, 1, attributes)) * np.linspace(-1, 1, t)[:, None]
    return 0.5 + 0.15 * drift + 0.05 * rng.normal(size=(codes, paths, t, attributes))


def measured(values: np.ndarray | None = None, **options) -> Measures:
    values = random_values() if values is None else values
    c, k, t, a = values.shape
    fields = {
        "attributes": tuple(plain(a)),
        "codes": tuple(f"code{i}" for i in range(c)),
        "paths": tuple(range(k)),
        "names": tuple(f"path {i}" for i in range(k)),
        "t": np.linspace(-1, 1, t),
        "facts": WalkRecord(generator="toy", space="z", step=0.25, count=(t - 1) // 2),
    }
    return Measures(values, **(fields | options))


# ------------------------------------------------------------------------------------------------------- the reference


@pytest.fixture(scope="module")
def fixture():
    from safetensors.numpy import load_file

    tensors = load_file(REFERENCE / "ranking.safetensors")
    groups = {}
    for name, facts in PUBLISHED["groups"].items():
        ranges = tensors[f"{name}/ranges"]
        attributes = [Attribute(a, *ranges[i], relative=a == "identity") for i, a in enumerate(facts["attributes"])]
        groups[name] = (tensors[f"{name}/attributes"].transpose(0, 2, 3, 1), attributes, facts, tensors)
    return groups


@pytest.mark.parametrize("name", PUBLISHED["groups"])
def test_scores_and_orders_are_those_of_the_reference(fixture, name):
    values, attributes, facts, tensors = fixture[name]
    scores = score(values, attributes)
    steps = steps_of(np.linspace(-1, 1, values.shape[2]), attributes)
    each = slopes(rescale(values, attributes), steps)
    assert np.abs(each - tensors[f"{name}/signed_scores"]).max() < 1e-9
    assert np.abs(np.abs(scores.slope) - tensors[f"{name}/corr"]).max() < 1e-9
    assert np.abs(scores.share - tensors[f"{name}/corr_l1"]).max() < 1e-9
    assert np.array_equal(order(np.abs(scores.slope)), tensors[f"{name}/order_corr"])
    assert np.array_equal(order(scores.share), tensors[f"{name}/order_corr_l1"])
    pearson = np.abs(mean(correlations(rescale(values, attributes), steps)))  # the fixture correlates clipped values
    assert pearson.argmax(0).tolist() == facts["best_path"]["true_pearson"]
    assert np.abs(np.abs(scores.slope) - pearson).max() == pytest.approx(facts["max_abs_difference_to_pearson"], abs=1e-9)


@pytest.mark.parametrize("name", sorted(path.name for path in (REFERENCE / "ranking").iterdir()))
def test_files_are_those_of_the_reference(fixture, tmp_path, name):
    values, attributes, about, _ = fixture[name]
    facts = WalkRecord(step=PUBLISHED["eps"], count=PUBLISHED["shift_steps"])
    measures = measured(values, attributes=tuple(attributes), facts=facts)
    group = Group(about["reference_group"], tuple(a.name for a in attributes), score(values, attributes))
    write_group(tmp_path / "g", group, measures, 3, {})
    expected = REFERENCE / "ranking" / name
    for theirs in ("corr/attr_idx_corr.csv", "corr/attr_idx_corr_diag.csv", "corr_l1/attr_idx_corr_l1.csv"):
        assert (tmp_path / "g" / theirs).read_text() == (expected / theirs).read_text()
    theirs = expected / "corr" / "attr_idx_corr_sorted_by_first_attribute.csv"
    assert (tmp_path / "g" / "corr" / f"attr_idx_corr_sorted_by_{attributes[0].name}.csv").read_text() == theirs.read_text()
    ours, theirs = (json.loads((p / "interpretable_paths.json").read_text()) for p in (tmp_path / "g", expected))
    assert {key: ours[key] for key in theirs} == theirs
    ours, theirs = (json.loads((p / "attributes_traversals_details.json").read_text()) for p in (tmp_path / "g", expected))
    exchanged = theirs | {"eps": theirs["shift_steps"], "shift_steps": str(PUBLISHED["shift_steps"])}  # a defect of the reference
    assert ours == exchanged


# ------------------------------------------------------------------------------------------------------------ the scores


def test_pearson_is_numpy_s():
    values = random_values()
    expected = np.zeros((3, 4, 5))
    for c, k, a in np.ndindex(expected.shape):
        expected[c, k, a] = np.corrcoef(values[c, k, :, a], np.arange(9))[0, 1]
    assert np.allclose(score(values, plain(5)).pearson, expected.mean(0), atol=1e-12)


def test_slope_is_pearson_times_the_spread():
    values = random_values(codes=1)
    scores = score(values, plain(5))
    assert np.allclose(scores.slope, scores.pearson * (2 * values[0]).std(1, ddof=1), atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, -3.0, 1e-3])
def test_pearson_and_monotonicity_do_not_depend_on_units(scale):
    values = random_values()
    one, other = score(values, plain(5)), score(values * scale + 0.3, plain(5))
    assert np.allclose(other.pearson, np.sign(scale) * one.pearson, atol=1e-9)
    assert np.allclose(other.monotonicity, np.sign(scale) * one.monotonicity, atol=1e-9)


def test_scores_do_not_depend_on_the_order_of_codes_or_the_company_of_paths():
    values = random_values()
    one, other = score(values, plain(5)), score(values[::-1, 1:3], plain(5))
    for field in ("slope", "share", "pearson", "monotonicity", "change"):
        assert np.allclose(getattr(one, field)[1:3], getattr(other, field), atol=1e-12)


def test_a_constant_attribute_scores_nothing():
    scores = score(path(0.1, 0.1, 0.1, 0.1, 0.1), plain())
    for field in ("slope", "share", "pearson", "monotonicity", "change"):
        assert getattr(scores, field).item() == pytest.approx(0, abs=1e-12)


def test_missing_values_are_left_out_and_nothing_at_all_is_nan():
    full, holed = path(0, 0.1, 0.2, 0.3, 0.4), path(0, np.nan, 0.2, 0.3, np.nan)
    assert score(holed, plain()).pearson.item() == pytest.approx(1)
    assert score(holed, plain()).monotonicity.item() == pytest.approx(1)
    both = np.concatenate([full, np.full_like(full, np.nan)])
    one, other = score(full, plain()), score(both, plain())
    assert other.slope.item() == pytest.approx(one.slope.item()), "a code without a face counts"
    empty = score(np.full_like(full, np.nan), plain())
    assert np.isnan([empty.slope.item(), empty.pearson.item(), empty.monotonicity.item(), empty.change.item()]).all()
    assert order(np.array([[np.nan], [0.1], [0.5]])).tolist() == [[2, 1, 0]], "a path without a value is ranked first"


def test_monotonicity_is_the_net_share_of_all_change():
    t = np.linspace(-1, 1, 5)
    assert monotonicities(path(0, 1, 2, 3, 4), plain(), t).item() == 1
    assert monotonicities(path(4, 3, 2, 1, 0), plain(), t).item() == -1
    assert monotonicities(path(0, 2, 0, 2, 0), plain(), t).item() == 0
    assert monotonicities(path(0, 3, 2, 3, 3), plain(), t).item() == pytest.approx(3 / 5)


def test_relative_attributes_are_followed_outwards():
    values, attribute = path(0.2, 0.6, 1, 0.6, 0.2), plain(relative=True)
    scores = score(values, attribute)
    assert scores.pearson.item() == pytest.approx(-1)
    assert scores.monotonicity.item() == pytest.approx(-1)
    assert scores.change.item() == pytest.approx(-0.8)
    assert score(values, plain()).pearson.item() == pytest.approx(0, abs=1e-12)


def test_values_beyond_the_range_are_clipped_for_the_slope_only():
    values = path(0, 1, 2, 3, 4)
    scores = score(values, plain())
    assert scores.change.item() == 1
    assert scores.pearson.item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "attributes", "words"),
    [
        (np.zeros((1, 2, 3)), plain(), "expected as"),
        (np.zeros((1, 2, 1, 1)), plain(), "2 or more frames"),
        (np.zeros((1, 2, 3, 2)), plain(), "1]"),
    ],
)
def test_values_of_another_shape_are_refused(values, attributes, words):
    with pytest.raises(SemanifoldError, match=re.escape(words)):
        score(values, attributes)


# ------------------------------------------------------------------------------------------------------------ the groups


def test_the_twelve_published_groups_are_there():
    assert len(ATTRIBUTE_GROUPS) == 12
    assert ATTRIBUTE_GROUPS["Smiling-AU12"] == ("au_12_Lip_Corner_Puller", "identity", "gender", "age", "race")
    assert len(ATTRIBUTE_GROUPS["Rotation"]) == 12
    everything = {a for group in ATTRIBUTE_GROUPS.values() for a in group}
    assert all(find_group(name, sorted(everything)) == (name, group) for name, group in ATTRIBUTE_GROUPS.items())


def test_own_groups_and_near_names():
    names = ["smile", "yaw", "pitch"]
    assert find_group("pose=yaw, pitch", names) == ("pose", ("yaw", "pitch"))
    assert find_group("all", names) == ("all", tuple(names))
    with pytest.raises(SemanifoldError, match=r"no attribute group 'Rotatoin': did you mean 'Rotation'"):
        find_group("Rotatoin", names)
    with pytest.raises(SemanifoldError, match=r"'smiel', which was not measured: did you mean 'smile'"):
        find_group("mouth=smiel", names)
    for wrong in ("pose=", "=yaw", "pose=yaw,yaw"):
        with pytest.raises(SemanifoldError, match="GROUP=ATTRIBUTE,ATTRIBUTE"):
            find_group(wrong, names)


# ------------------------------------------------------------------------------------------------------------- the names


def line_values(slopes_of_paths: list[list[float]]) -> np.ndarray:
    t = np.linspace(-1, 1, 9)
    return (0.5 + 0.4 * t[:, None] * np.array(slopes_of_paths)[:, None, :])[None]


def named(rows: list[list[float]], **options) -> dict[int, str]:
    values = line_values(rows)
    attributes = plain(values.shape[-1])
    return name_paths(score(values, attributes), [a.name for a in attributes], range(10, 10 + len(rows)), **options)


def test_the_purest_path_of_an_attribute_gets_its_name_and_sign():
    assert named([[1, 0.5, 0], [-0.6, 0.1, 0], [0, 0, 0.3]]) == {11: "a0 -", 12: "a2 +"}


def test_a_path_without_a_lead_or_a_straight_line_gets_none():
    assert named([[1, 0.9]]) == {}
    assert named([[1, 0.9]], lead=1.05) == {10: "a0 +"}
    bent = path(0.1, 0.9, 0.2, 0.8, 0.3, 0.9)
    assert name_paths(score(bent, plain()), ["a"], [0]) == {}
    assert name_paths(score(bent, plain()), ["a"], [0], pearson=0.1) == {0: "a +"}
    assert named([[0, 0]]) == {}
    assert named([[0.02, 0]]) == {}, "a path that changes next to nothing is named"


def test_paths_without_a_name_say_why():
    rows = [[1, 0.5, 0], [0.9, 0.7, 0.3], [0.02, 0, 0], [0, 0.5, 0.5], [0, 0.9, 0], [0.2, -0.24, 0]]
    values = np.concatenate([line_values(rows), line_values(rows)], 0)
    values[:, 4, :, 1] = 0.5 + 0.3 * np.array([-1, 1, -0.8, 1, *[1] * (values.shape[2] - 4)])  # rises, and not in a line
    scores, names, paths = score(values, plain(3)), ["a0", "a1", "a2"], range(10, 16)
    found = name_paths(scores, names, paths)
    assert found == {10: "a0 +"}
    assert why_unnamed(scores, names, paths, found) == {
        11: "changes a0, which path 10 does more purely",
        12: "hardly changes anything",
        13: "changes a1 and a2 about as much",
        14: "changes a1 too unevenly",
        15: "no attribute names this change; a1 changes most, by -19 % of its range",
    }


def test_it_is_the_farthest_attribute_that_says_how_little_a_path_changes_and_not_the_steepest():
    steep = [0, -0.4, 0, 0.7, 0.3]
    for far, words in ((0.38, "no attribute names this change; a1 changes most, by +19 % of its range"), (0.5, "too unevenly")):
        scores = score(np.array([steep, [0, 0.19, 0.19, 0.19, far]]).T[None, None], [Attribute(n, -1, 1) for n in ("a0", "a1")])
        assert words in why_unnamed(scores, ["a0", "a1"], [0], {})[0]


def test_names_never_repeat():
    rng = np.random.default_rng(0)
    found = named(rng.normal(size=(40, 6)).tolist(), lead=1.0)
    bare = [name[:-2] for name in found.values()]
    assert 3 <= len(found) <= 6
    assert len(set(bare)) == len(bare)


def test_new_names_replace_old_ones_of_the_same_path_or_attribute():
    before = {0: "smile +", 1: "yaw -", 2: "my own"}
    assert merged_names(before, {1: "smile -"}) == {1: "smile -", 2: "my own"}
    assert merged_names(before, {}) == before


# ---------------------------------------------------------------------------------------------------------- the measures


class Brightness(AttributeReader):
    """The mean, and the distance from the reference; NaN for dark pictures."""

    attributes = (Attribute("brightness", -1, 1), Attribute("distance", 0, 2, relative=True))

    def read(self, images, reference):
        level = images.mean((1, 2, 3))
        level = torch.where(level < -0.9, torch.nan, level)
        return torch.stack([level, (images - reference).abs().mean((1, 2, 3))], 1)


def test_frames_are_measured_in_any_batch_alike():
    pictures = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pictures[5] = -1
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    reference = pictures[3:4]
    one = measure_frames(lambda rows: pictures[rows], 7, reference, Brightness(), mask, batch=3)
    other = measure_frames(lambda rows: pictures[rows], 7, reference, Brightness(), mask, batch=100)
    assert np.allclose(one[0], other[0], equal_nan=True)
    assert np.isnan(one[0][:, 0]).tolist() == [False] * 5 + [True, False]
    assert one[0][3, 1] == 0
    assert one.locality is not None
    assert other.locality is not None
    assert np.allclose(one.locality, other.locality, equal_nan=True)
    assert np.allclose(one.locality[:, 0], inside_change(pictures, reference, mask))
    assert np.allclose(one.locality[:, 1], outside_change(pictures, reference, mask))
    assert measure_frames(lambda rows: pictures[rows], 7, reference, Brightness())[1] is None
    assert one.evenness == pytest.approx(other.evenness)


def test_evenness_is_the_smallest_over_the_largest_step_of_the_picture():
    ramp = torch.tensor([0.0, 0.1, 0.2, 0.4, 0.5])[:, None, None, None].expand(5, 3, 4, 4)
    assert measure_frames(lambda rows: ramp[rows], 5, ramp[:1], Brightness(), batch=2).evenness == pytest.approx(0.5)
    still = torch.zeros(5, 3, 4, 4)
    assert math.isnan(measure_frames(lambda rows: still[rows], 5, still[:1], Brightness()).evenness)


def test_evenness_is_kept_and_ranked(tmp_path):
    measures = measured(random_values(codes=2, paths=2), evenness=np.array([[0.5, np.nan], [0.7, np.nan]]))
    save_measures(measures, lambda name: tmp_path / name)
    again = read_measures(tmp_path)
    assert again.evenness is not None
    assert measures.evenness is not None
    assert np.array_equal(again.evenness, measures.evenness, equal_nan=True)
    scores = score(measures.values, measures.attributes)
    group = Group("all", tuple(a.name for a in measures.attributes), scores)
    report = json.loads(as_json(measures, [group], {}, None, 0.0))
    assert report["evenness"] == [pytest.approx(0.6), None]
    text = page(measures, scores, [group], {0: f"{measures.attributes[0].name} +"}, {})
    assert "evenness 0.60" in text
    facts = json.loads((tmp_path / "measures.json").read_text())
    for wrong in ([[0.5]], [[2.0, 0.5]] * 2, "much"):
        (tmp_path / "measures.json").write_text(json.dumps(facts | {"evenness": wrong}))
        with pytest.raises(SemanifoldError, match="evenness"):
            read_measures(tmp_path)
    del facts["evenness"]
    (tmp_path / "measures.json").write_text(json.dumps(facts))
    assert read_measures(tmp_path).evenness is None, "as version 0.1.0 wrote them"


def local_measures(ratios: list[float], reach: list[float]) -> Measures:
    """Paths whose change outside is ``sqrt(ratio)`` times that inside, which grows to ``reach``."""
    t = np.linspace(-1, 1, 9)
    inside = np.abs(t) * np.array(reach)[:, None]
    locality = np.zeros((1, len(ratios), 9, len(METRICS)))
    locality[0, :, :, 0] = inside
    locality[0, :, :, 1] = inside * np.sqrt(np.array(ratios))[:, None]
    return measured(random_values(1, len(ratios), 9), locality=locality, mask="mouth")


def test_locality_is_compared_at_equal_inside_change():
    ratios, level = mask_locality(local_measures([0.1, 4.0, 1.0, 0.0], [1, 0.9, 0.1, 1]))
    assert level == pytest.approx(0.475)
    assert ratios[:2] == pytest.approx([0.1, 4.0])
    assert np.isnan(ratios[2]), "a path that hardly changes the inside is compared"
    assert ratios[3] == pytest.approx(0, abs=1e-9)
    assert mask_locality(local_measures([0.5, 2], [1, 0.2]), level=0.15)[0] == pytest.approx([0.5, 2])


def test_locality_needs_a_mask_and_a_change_inside():
    with pytest.raises(SemanifoldError, match="without a mask"):
        mask_locality(measured())
    with pytest.raises(SemanifoldError, match="No path changes the inside"):
        mask_locality(local_measures([1], [0]))


def test_measures_survive_their_files(tmp_path):
    measures = local_measures([1, 2], [1, 1])
    save_measures(measures, tmp_path.joinpath)
    again = read_measures(tmp_path)
    assert np.array_equal(again.values, measures.values)
    assert again.locality is not None
    assert measures.locality is not None
    assert np.array_equal(again.locality, measures.locality)
    for field in ("attributes", "codes", "paths", "names", "mask", "facts"):
        assert getattr(again, field) == getattr(measures, field)


@pytest.mark.parametrize("name", ["attributes.npy", "locality.npy", "measures.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    save_measures(local_measures([1, 2], [1, 1]), tmp_path.joinpath)
    file = tmp_path / name
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:40])
    elif name.endswith("json"):
        file.write_text('{"format": "semanifold-measures-1"}')
    else:
        np.save(file, np.zeros((2, 3)))
    with pytest.raises(SemanifoldError) as caught:
        read_measures(tmp_path)
    assert (name if damage != "other" else "measures.json") in str(caught.value)


# -------------------------------------------------------------------------------------------------------------- the pages


def test_the_page_needs_nothing_else_and_names_cannot_break_it():
    evil = "</script><b>smile</b>"
    attributes = (Attribute(evil), *plain(2))
    values = line_values([[1, 0.1, 0], [0, 0.2, -0.8]])
    measures = measured(values, attributes=attributes)
    scores = score(values, attributes)
    group = Group("all", tuple(a.name for a in attributes), scores)
    found = {0: f"{evil} +", 1: "a1 -"}
    text = page(measures, scores, [group], found, {0: b"GIF89a-film"}, np.array([0.5, np.nan]), 0.1)
    assert evil not in text
    assert "{{" not in text
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?:https?:|//|\.|/)", text), "the page asks for something outside of itself"
    assert not re.findall(r"url\(|@import|<link", text)
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert held is not None
    data = json.loads(held[1])
    assert data["groups"][0]["attributes"][0] == evil
    assert data["locality"] == [0.5, None]
    assert data["gifs"]["0"].startswith("data:image/gif;base64,")
    assert np.allclose(data["groups"][0]["slope"], scores.slope, atol=1e-4)
    assert text.count("<polyline") == 2 * 2, "a line a code and one for the mean, on every card"
    assert text.count('stroke-width="2.4"') == 2, "the mean is thick"
    assert "&lt;/script&gt;&lt;b&gt;smile&lt;/b&gt; +" in text


def test_a_ranking_without_names_says_so():
    measures = measured()
    scores = score(measures.values, measures.attributes)
    group = Group("all", tuple(a.name for a in measures.attributes), scores)
    assert "No path has earned a name" in page(measures, scores, [group], {}, {})


def test_a_curve_stays_in_its_frame_and_skips_gaps():
    drawn = curve(np.array([[-3, 0.2, np.nan, 0.5, 9]]), Attribute("a"))
    points = [tuple(map(float, pair.split(","))) for pair in drawn.lines[0].split()]
    assert len(points) == 4
    assert all(0 <= x <= 92 and 0 <= y <= 58 for x, y in points)
    assert all(y > after for (_, y), (_, after) in pairwise(points)), "a rising value falls on the page"


def test_markdown_shows_the_best_paths_and_leaves_identity_out():
    attributes = (Attribute("smile"), Attribute("identity", relative=True))
    measures = measured(line_values([[0.2, 0], [1, 0], [0.5, 0.5]]), attributes=attributes)
    group = Group("mine", ("smile", "identity"), score(measures.values, attributes))
    text = markdown(group, measures, 2, {1: "gifs/path_001.gif"})
    rows = [line for line in text.splitlines() if line.startswith(("| 1", "| 2", "| 3"))]
    assert [row.split("|")[2].strip() for row in rows] == ["path 0", "path 1"]
    assert "![path 1](gifs/path_001.gif)" in rows[1]
    assert "## identity" not in text


def test_json_and_csv_keep_gaps_as_gaps(tmp_path):
    values = random_values(attributes=2)
    values[:, 1, :, 0] = np.nan
    measures = measured(values)
    group = Group("a/b", ("a0", "a1"), score(values, measures.attributes))
    report = json.loads(as_json(measures, [group], {0: "a0 +"}, np.array([0.2, np.nan, 0.1, 3.0]), 0.3))
    assert report["groups"]["a/b"]["pearson"][1][0] is None
    assert report["groups"]["a/b"]["orders"]["pearson"]["a0"][-1] == 1
    assert report["locality"]["order"] == [2, 0, 3]
    assert report["found_names"] == {"0": "a0 +"}
    write_group(tmp_path / "g", group, measures, 1, {})
    rows = list(csv.reader(io.StringIO((tmp_path / "g" / "pearson" / "attr_idx_pearson.csv").read_text())))
    assert rows[2][:2] == ["1", ""]


def test_the_mean_curve_lies_where_its_values_are():
    values = np.tile(np.linspace(0, 1, 211), (2, 1))  # 0.4 apart, coordinates go through 21.2, 51.2, ...
    lines = curve(values, Attribute("smile")).lines
    assert len(lines) == 3
    assert len(set(lines)) == 1, "two equal codes and their mean"


# ------------------------------------------------------------------------------------------------------------- the ranges


def blue_values(low: float, high: float) -> np.ndarray:
    """Two paths over three codes: the first moves the attribute from low to high, the second not at all."""
    t = np.linspace(0, 1, 9)
    moving = low + (high - low) * np.stack([0.1 + 0.8 * t, 0.05 + 0.9 * t, t])[:, None, :]
    return np.concatenate([moving, np.full_like(moving, (low + high) / 2)], 1)[..., None]


@pytest.mark.parametrize(("low", "high"), [(-0.78, -0.11), (235.0, 307.0), (0.2, 0.9)])
def test_an_attribute_without_a_declared_range_has_that_of_its_readings(tmp_path, low, high):
    reader = function_reader(lambda images: images.mean((1, 2, 3)), "blue")
    measures = measured(blue_values(low, high), attributes=reader.attributes)
    assert len(measures.remarks) == 1
    assert measures.remarks[0].startswith("blue has no declared range; that of its readings is used, ")
    for scores in (score(measures.values, measures.attributes), score(100 * measures.values, measures.attributes)):
        assert scores.change[0, 0] == pytest.approx(0.9, abs=0.01), "the range is not that of the readings"
        assert scores.slope[0, 0] > 0.5
        assert scores.slope[1, 0] == 0
        assert name_paths(scores, ["blue"], [7, 8]) == {7: "blue +"}
    save_measures(measures, tmp_path.joinpath)
    again = read_measures(tmp_path)
    assert (again.attributes[0].low, again.attributes[0].high) == pytest.approx((low, high), rel=0.02)
    assert not again.attributes[0].declared
    assert again.remarks == measures.remarks


def test_readings_outside_of_a_declared_range_are_counted():
    outside = measured(blue_values(-0.78, -0.11), attributes=(Attribute("blue"),)).remarks
    assert outside == [
        "100% of the readings of blue lie outside its range, 0 to 1: they go from -0.78 to -0.11, and its slopes are cut off "
        "there; declare the range that it has."
    ]
    some = blue_values(0.0, 1.0)
    assert measured(some, attributes=(Attribute("blue"),)).remarks == []
    some[0, 0, :2] = 1.5
    assert measured(some, attributes=(Attribute("blue"),)).remarks[0].startswith("4% of the readings")
    some[0, 0, 0] = 1.01
    assert measured(some, attributes=(Attribute("blue"),)).remarks == [], "a hair's breadth, or a single picture, is reported"


def test_readings_that_are_all_alike_or_not_there_are_said():
    values = np.full((1, 2, 3, 2), 4.0)
    values[..., 1] = np.nan
    attributes = (Attribute("flat", declared=False), Attribute("none", declared=False))
    measures = measured(values, attributes=attributes)
    assert measures.remarks == ["flat is 4 in every picture, so no path changes it.", "No picture has a value of none."]
    assert score(values, attributes).slope[:, 0].tolist() == [0, 0]


def test_infinite_readings_are_no_readings():
    class Odd(AttributeReader):
        attributes = (Attribute("odd"),)

        def read(self, images, reference):
            return torch.tensor([[torch.inf], [1.0], [-torch.inf]])[: len(images)]

    values, _, _ = measure_frames(lambda rows: torch.zeros(3, 3, 4, 4)[rows], 3, torch.zeros(1, 3, 4, 4), Odd())
    assert np.isnan(values[:, 0]).tolist() == [True, False, True]


# ------------------------------------------------------------------------------------------------- files of strangers


def described(tmp_path: Path, **changes) -> Path:
    save_measures(local_measures([1, 2], [1, 1]), tmp_path.joinpath)
    file = tmp_path / "measures.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return tmp_path


def attribute(**changes) -> dict:
    return {"name": "a", "low": 0.0, "high": 1.0} | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attributes": [attribute(name=3)] * 5}, "name"),
        ({"attributes": [attribute(name="x" * 5000)] * 5}, "damaged"),
        ({"attributes": [attribute(low="0")] * 5}, "low"),
        ({"attributes": [attribute(high=10**400)] * 5}, "damaged"),
        ({"attributes": [attribute(high=float("nan"))]}, "finite range"),
        ({"attributes": [attribute(low=2.0)]}, "finite range"),
        ({"attributes": [attribute()] * 5}, "two attributes have one name"),
        ({"codes": "abc"}, "codes"),
        ({"codes": []}, "names no attribute, code, path or moment"),
        ({"names": ["a"]}, "not every path has a name"),
        ({"paths": [0, 10**12]}, "paths"),
        ({"paths": [1, 1]}, "one index"),
        ({"t": [0.0] * 10_000}, "describes float64"),
        ({"t": ["0"]}, "t"),
        ({"mask": None}, "mask"),
        ({"metrics": ["inside"]}, "metrics"),
        ({"traversal": []}, "traversal"),
        ({"traversal": {"step": "x"}}, "step"),
        ({"traversal": {"count": 1e999}}, "count"),
        ({"traversal": {"generator": ["a"]}}, "generator"),
        ({"format": "semanifold-measures-9"}, "another version"),
    ],
)
def test_wrong_fields_of_measures_give_one_sentence(tmp_path, changes, words):
    with pytest.raises(SemanifoldError, match=words) as caught:
        read_measures(described(tmp_path, **changes))
    assert len(str(caught.value)) < 500


def forge_array(path: Path, header: str) -> None:
    """Write the header of an array without the array."""
    text = (header + " " * (63 - (len(header) + 10) % 64) + "\n").encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(100))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1099511627776,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000000000000000000000,)}",
        "{'descr': '<f16', 'fortran_order': False, 'shape': (1, 2, 9, 5)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1, 2, 9, 5)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2, 9, 5)}",
        "[" * 5000,
        "",
    ],
)
def test_arrays_are_checked_before_they_are_read(tmp_path, header):
    forge_array(described(tmp_path) / "attributes.npy", header)
    with pytest.raises(SemanifoldError, match=r"attributes.npy"):
        read_measures(tmp_path)


def test_infinite_readings_and_pipes_are_refused(tmp_path):
    values = np.load(described(tmp_path) / "attributes.npy")
    values[0, 0, 0, 0] = np.inf
    np.save(tmp_path / "attributes.npy", values)
    with pytest.raises(SemanifoldError, match="infinite"):
        read_measures(tmp_path)
    for name in ("attributes.npy", "measures.json"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(SemanifoldError, match="pipe"):
            read_measures(tmp_path)


EVIL = "<img src=x onerror=alert(1)>|`a`[b](javascript:c) \x1b[2J\u202e**"


def test_names_of_strangers_are_shown_and_do_nothing(tmp_path):
    rows = [attribute(name=EVIL), attribute(name="b/c"), attribute(name="b|c"), attribute(name="x" * 200), attribute(name="d")]
    facts = {"step": 0.1, "count": 4, "space": EVIL, "generator": EVIL, "method": EVIL}
    measures = read_measures(described(tmp_path, attributes=rows, names=[EVIL, "plain"], mask=EVIL, traversal=facts))
    scores = score(measures.values, measures.attributes)
    group = Group(EVIL, tuple(a.name for a in measures.attributes), scores)
    write_group(tmp_path / "g", group, measures, 2, {0: "a.gif"})
    assert len(list((tmp_path / "g" / "corr").iterdir())) == 2 + 5, "two attributes share a file"
    text = next((tmp_path / "g").glob("*.md")).read_text()
    html = page(measures, scores, [group], {0: f"{measures.attributes[0].name} +"}, {}, np.array([1.0, 2.0]), 0.1)
    for written in (text, html, *(p.read_text() for p in (tmp_path / "g").rglob("*.csv"))):
        assert not set("\x1b\u202e") & set(written)
    assert "<img src=x" not in html
    assert "<" not in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}, "a name adds columns to the table"
    assert "[b]" not in text


def test_names_are_no_formulas_in_tables() -> None:
    text = table("path_id", ["=cmd|' /c calc'!A0", "@x", "smile"], [0], np.zeros((1, 3)))
    assert text.splitlines()[0] == "path_id,'=cmd|' /c calc'!A0,'@x,smile"


def test_gaps_are_bridged_by_what_was_known_before_them():
    """The first frame counts also where the second has no value; two frames are a path, and one is none."""
    attribute = [Attribute("a", 0, 1)]
    values = np.array([0.0, np.nan, 0.4, 0.2, np.nan]).reshape(1, 1, 5, 1)
    found = score(values, attribute)
    assert found.monotonicity[0, 0] == pytest.approx((0.2 - 0.0) / (0.4 + 0.2))
    assert found.change[0, 0] == pytest.approx(0.2)
    two = score(np.array([0.25, 0.75]).reshape(1, 1, 2, 1), attribute)
    assert (two.change[0, 0], two.monotonicity[0, 0]) == (0.5, 1)
    assert np.isnan(two.pearson[0, 0]), "two points always lie on a line"
    with pytest.raises(SemanifoldError, match="2 or more frames"):
        score(np.zeros((1, 1, 1, 1)), attribute)


def test_rounding_is_no_change_however_many_frames_there_are():
    steps = np.arange(100.0)[:, None]
    for size, still in ((3e-13, True), (3e-11, False)):
        values = 1 + size * np.where(steps < 50, -1, 1).reshape(1, 1, 100, 1)
        assert (correlations(values, steps)[0, 0, 0] == 0) == still
        assert (correlations(-1e6 * values, steps)[0, 0, 0] == 0) == still


def test_relative_attributes_are_followed_outwards_also_without_a_frame_in_the_middle() -> None:
    """From the two frames beside the middle: 1 -> 2 one way, 1.5 -> 3 the other; the step between them belongs to neither."""
    t = np.array([-1.0, -1 / 3, 1 / 3, 1.0])
    values = path(2, 1, 1.5, 3)
    relative = plain(relative=True)
    assert monotonicities(values, relative, t).item() == pytest.approx(1)
    assert monotonicities(path(2, 1, 1.5, 1), relative, t).item() == pytest.approx((1 - 0.5) / (1 + 0.5))
    assert monotonicities(values, plain(), t).item() == pytest.approx((3 - 2) / (1 + 0.5 + 1.5))


@pytest.mark.parametrize("value", [-1.0, 0.0, 0.1, -1e6])
def test_an_attribute_that_stands_still_is_correlated_with_nothing(value: float) -> None:
    steps = steps_of(np.linspace(-1, 1, 9), plain())
    assert correlations(path(*[value] * 9), steps).item() == 0
    rounding = path(*[value * (1 + 1e-15 * (-1) ** i) for i in range(9)])
    assert correlations(rounding, steps).item() == 0
