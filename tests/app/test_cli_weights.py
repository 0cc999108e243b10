"""The commands about weights, end to end: found, played, combined, timed, baked, walked, trained."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.docs_world import usually
from support.instances import stylegan3

from semanifold.app import cli
from semanifold.app.actions import weights
from semanifold.core.errors import SemanifoldError
from semanifold.edits import Sum, WeightEdit, load_edit
from semanifold.generators.editing import weight_of
from semanifold.generators.loading import load_generator, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images import media
from semanifold.paths import weight_ranges, weight_trained
from semanifold.paths.carried import carried
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.weight_axes import joint_weight_paths
from semanifold.paths.weight_hessian import hessian_paths
from semanifold.paths.weight_masked import masked_weight_paths
from semanifold.paths.weight_methods import weight_paths
from semanifold.paths.weights import WeightPaths

SHORT = ("--seconds", "0.5", "--fps", "8")
BOX = "box:0.2,0.2,0.8,0.8"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small StyleGAN2 in it."""
    place = tmp_path_factory.mktemp("weights")
    save_generator(
        StyleGAN2(StyleGAN2Config(16, 6, 6, (5, 4, 4), mapping_layers=2), name="small", seed=3), place / "g.safetensors"
    )
    return place


@pytest.fixture(autouse=True, scope="module")
def _rough_ranges() -> Iterator[None]:
    """How far a path may go is asked of few pictures."""
    with pytest.MonkeyPatch.context() as patch:
        for name, less in (("OWN", 12), ("UNSEEN", 4), ("COMPONENTS", 6), ("NORMS", 4)):
            patch.setattr(weight_ranges, name, less)
        usually(patch, weight_ranges.calibrated, samples=4)
        yield


@pytest.fixture(autouse=True)
def _here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    usually(monkeypatch, joint_weight_paths, kept=4)  # of 64: diagonalising them takes five seconds
    usually(monkeypatch, masked_weight_paths, kept=4)
    usually(monkeypatch, hessian_paths, tolerance=0.1)
    monkeypatch.setattr(weights, "REFINEMENT", 1)
    monkeypatch.setattr(weight_trained, "TERMS", 8)
    for module in (weights, weight_trained):
        monkeypatch.setattr(module, "SAMPLES", 4)


def run(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def found(folder) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("weights", "svd", "--layer", "convs.2", "--k", 3, "--generator", "g.safetensors", "--out", "svd") == 0
    return folder / "svd"


@pytest.mark.parametrize("method", ["mask", "joint", "hessian", "one"])
def test_directions_are_found_and_the_next_command_plays_one(method, capsys):
    words = {
        "mask": ["mask", "--mask", BOX],
        "joint": ["joint"],
        "hessian": ["hessian"],
        "one": ["mask", "--mask", BOX, "--one"],
    }[method]
    command = ["weights", *words, "--layer", "convs.2", "convs.3", "--k", 2, "--samples", 3, "--size", 8]
    command += ["--generator", "g.safetensors", "--out", method]
    assert run(*command) == 0
    said = capsys.readouterr().out
    assert "2 directions in the weights of convs.2 [4, 4, 3, 3], convs.3 [4, 4, 3, 3] of small" in said
    paths = load_paths(method)
    assert isinstance(paths, WeightPaths)
    assert len(paths) == 2
    assert f"Next: semanifold render {method}:0 --seed 0" in said
    assert paths[1].info.mask == (BOX if "--mask" in words else "")
    assert run("render", f"{method}:0", "--seed", 0, *SHORT, "--out", f"{method}-film") == 0
    edit = load_edit(f"{method}-film/edit.safetensors")
    assert isinstance(edit, WeightEdit)
    assert set(edit.layers) == {"convs.2", "convs.3"}
    assert run(*command) == 0
    assert "finished already" in capsys.readouterr().out


def test_edits_of_weights_and_codes_are_combined_played_and_carried_over(found, capsys):
    model = ("--generator", "g.safetensors")
    assert run("directions", "pca", "--k", 2, *model, "--out", "pca") == 0
    assert run("combine", "svd:1", "pca:0", "--seed", 4, *model, *SHORT, "--out", "both") == 0
    both = load_edit("both/edit.safetensors")
    assert isinstance(both, Sum)
    generator = load_generator("g.safetensors")
    alone = load_paths("svd")[1].baked(generator, 0.5)
    codes = load_paths("pca")[0].latents(generator.sample(4, "w"), 0.5)
    torch.testing.assert_close(both.images(generator, generator.sample(4, "w"), [0.5]), alone.images(codes), rtol=1e-4, atol=1e-4)
    assert run("render", "both", "--even", "--reverse", *SHORT, "--out", "even") == 0
    assert run("transfer", "both", "--seeds", "1-2", *SHORT, "--mask", BOX, "--out", "others") == 0
    assert (
        run("play", "svd:1=0:0,0.5:1", "pca:0=0:0,0.5:-1", "--seed", 4, *model, "--fps", 8, "--seconds", 0.5, "--out", "film")
        == 0
    )
    frames = media.FrameFolder(Path("film/frames"))
    last = load_paths("svd")[1].baked(generator, 1).images(load_paths("pca")[0].latents(generator.sample(4, "w"), -1.0))
    assert abs(frames[len(frames) - 1].astype(int) - media.to_uint8(last)[0].astype(int)).max() <= 1
    # what was combined is combined, and played, again
    assert run("combine", "both", "svd:2", *model, *SHORT, "--out", "three") == 0
    three = load_edit("three/edit.safetensors")
    more = load_paths("svd")[2].baked(alone, 0.5)
    torch.testing.assert_close(three.images(generator, generator.sample(4, "w"), [0.5]), more.images(codes), rtol=1e-4, atol=1e-4)
    whole = ("--fps", 8, "--seconds", 0.5, "--out", "film2")
    assert run("play", "both=0:0,0.5:1", *model, *whole) == 0
    frames = media.FrameFolder(Path("film2/frames"))
    last = both.images(generator, generator.sample(4, "w"), [1.0])
    assert abs(frames[len(frames) - 1].astype(int) - media.to_uint8(last)[0].astype(int)).max() <= 1
    assert run("combine", "svd:1", "pca:0", "--seed", 4, "--pad", *model, "--out", "no") == 2
    assert "edits of weights are combined without it" in capsys.readouterr().err
    assert not Path("no").exists()


def test_a_generator_with_an_edit_inside_makes_the_edited_pictures(found, capsys):
    assert run("bake", "svd:2", "baked.safetensors", "--strength", -0.5, "--generator", "g.safetensors") == 0
    assert "Next: semanifold sample --generator baked.safetensors" in capsys.readouterr().out
    baked, plain = load_generator("baked.safetensors"), load_generator("g.safetensors")
    assert baked.name == "baked", "it is another generator than the one that it was made of"
    wanted = load_paths("svd")[2].images(plain, 5, [-0.5])
    torch.testing.assert_close(baked.images(baked.sample(5)), wanted, rtol=1e-4, atol=1e-5)
    for words, sentence in {
        ("bake", "svd:2", "baked.safetensors", "--generator", "g.safetensors"): "exists already",
        ("bake", "svd:2", "baked.npz", "--generator", "g.safetensors"): "must end in .safetensors",
        ("bake", "svd:2", "new.safetensors", "--strength", "nan", "--generator", "g.safetensors"): "-1000 to 1000",
        ("bake", "svd:2", "new.safetensors", "--strength", "1e30", "--generator", "g.safetensors"): "-1000 to 1000",
        ("bake", "faces:smile", "new.safetensors"): "moves codes",
        (
            "bake",
            "svd:2",
            "new.safetensors",
            "--generator",
            "faces",
        ): "The edit changes weights [4, 4, 3, 3] in convs.2, but those",
    }.items():
        assert run(*words) == 2
        assert sentence in capsys.readouterr().err
    assert not Path("new.safetensors").exists()


def test_a_t_beyond_the_usable_range_is_said(found, capsys):
    model = ("--generator", "g.safetensors")
    paths = load_paths("svd")
    low, high = (-0.75, -0.75, -0.75), (0.5, 0.5, 0.5)
    save_paths(paths.with_info(measured=paths.info.measured | {"low": low, "high": high}), "short.safetensors")
    for words, t in {
        ("render", "short.safetensors:0", "--amplitudes", 0.5, 1): None,
        ("render", "short.safetensors:0", "--amplitudes", 0.5, 2): "-1.5",
        ("play", "short.safetensors:0=0:0,0.5:3", "--seed", 4): "1.5",
        ("play", "short.safetensors:0=0:0,0.5:1", "--seed", 4): None,
        ("bake", "short.safetensors:0", "far.safetensors", "--strength", 0.9): "0.9",
        ("bake", "short.safetensors:0", "near.safetensors"): None,
    }.items():
        film = () if words[0] == "bake" else (*SHORT, "--out", "beyond", "--overwrite")
        assert run(*words, *model, *film) == 0
        said = capsys.readouterr().err
        assert (f"t = {t} lies outside of the usable range of path 0, -0.75 to 0.5" in said) == (t is not None), said
    whole = load_paths("short.safetensors")[0].baked(load_generator("g.safetensors"), 0.5)
    assert load_generator("near.safetensors").fingerprint == whole.fingerprint, "it ends where the range ends"
    assert run("inspect", "short.safetensors") == 0
    assert "range of t   -0.75 to 0.5, -0.75 to 0.5, -0.75 to 0.5" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["cut short", "of another search"])
def test_a_damaged_set_of_an_unfinished_run_is_found_again(damage, tmp_path, monkeypatch, capsys):
    words = ("weights", "svd", "--layer", "convs.2", "--k", 2, "--generator", "g.safetensors", "--out", tmp_path / "run")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("semanifold.app.actions.weights.draw", stop)
        assert run(*words) == 130
    file = tmp_path / "run" / "paths.safetensors"
    good = file.read_bytes()
    if damage == "cut short":
        file.write_bytes(good[:-100])
    else:
        save_paths(weight_paths(load_generator("g.safetensors"), "svd", layers="convs.3", k=3, progress=False), file)
    assert run(*words) == 0
    assert file.read_bytes() == good
    assert ("the directions are found again" in capsys.readouterr().err) == (damage == "cut short")


def test_a_search_that_was_interrupted_says_that_it_goes_on(tmp_path, monkeypatch, capsys):
    words = ("weights", "joint", "--layer", "convs.2", "--k", 2, "--generator", "g.safetensors", "--out", tmp_path / "run")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("semanifold.paths.weight_axes.SAVE_EVERY", 0.0)
        patch.setattr("semanifold.app.actions.weights.save_paths", stop)
        assert run(*words) == 130
    assert "goes on where it was interrupted" not in capsys.readouterr().err
    assert run(*words) == 0
    assert "The search goes on where it was interrupted." in capsys.readouterr().err


def test_the_paths_are_walked(found):
    assert (
        run("traverse", "svd", "--generator", "g.safetensors", "--seeds", "0-1", "--steps", 3, "--size", 32, "--out", "walk") == 0
    )
    assert not list(Path("walk").glob("*/codes.safetensors")), "no codes move"
    assert len(list(Path("walk").glob("*/paths_images/path_002/*.png"))) == 14


def test_combinations_of_directions_are_trained(found, capsys):
    words = ("train", "--generator", "g.safetensors", "--k", 3, "--iterations", 4, "--batch", 4, "--test-draws", 16)
    quick = (*words, "--reconstructor", "lenet", "--reconstructor-size", 32)
    assert run(*quick, "--kind", "weights-svd", "--layer", "convs.2", "--out", "learned") == 0
    paths = load_paths("learned")
    assert isinstance(paths, WeightPaths)
    assert (paths.form, len(paths)) == ("svd", 3)
    assert Path("learned/paths.png").exists()
    assert run(*quick, "--kind", "weights-hessian", "--layer", "convs.2", "colours.1", "--out", "learned2") == 0
    assert load_paths("learned2").what_moves == "the weights of convs.2 [4, 4, 3, 3], colours.1 [3, 4, 1, 1]"
    # the presets as published: magnitudes are norms of the change, in the layer of the recipe
    assert run(*quick, "--preset", "navigan-svd", "--layer", "convs.2", "--out", "learned3") == 0
    edit = load_paths("learned3")[0]
    assert isinstance(edit, WeightEdit)
    assert edit.norm == pytest.approx(3500, rel=1e-5)
    settings = json.loads(Path("learned3/run.json").read_text())["facts"]["settings"]
    assert (settings["min_magnitude"], settings["max_magnitude"], settings["lambda_reg"]) == (300, 3500, 0.0025)
    assert run(*words, "--kind", "weights-hessian", "--basis", "svd", "--out", "no") == 2
    assert "holds no directions in weights that can be combined" in capsys.readouterr().err
    assert (
        run("weights", "joint", "--layer", "convs.2", "--k", 2, "--samples", 2, "--generator", "g.safetensors", "--out", "axes")
        == 0
    )
    assert run(*quick, "--kind", "weights-hessian", "--basis", "axes", "--out", "learned4") == 0
    combined, axes = load_paths("learned4"), load_paths("axes")
    span = torch.stack([axes[k].deltas["convs.2"].flatten() for k in range(2)])
    one = combined[2].deltas["convs.2"].flatten()
    rest = one - span.T @ torch.linalg.lstsq(span.T, one[:, None]).solution[:, 0]
    assert rest.norm() < 1e-4 * one.norm(), "combinations of the given directions and nothing else"
    twin = StyleGAN2(StyleGAN2Config(16, 6, 6, (5, 4, 4), mapping_layers=2), name="twin", seed=4)
    save_generator(twin, "twin.safetensors", overwrite=True)
    capsys.readouterr()
    assert (
        run(*quick, "--kind", "weights-hessian", "--basis", "axes", "--generator", "twin.safetensors", "--out", "learned5") == 0
    )
    assert "was found on small, a generator with the same layers" in capsys.readouterr().err
    assert load_paths("learned5").info.fingerprint == twin.fingerprint
    for extra, sentence in {
        ("--kind", "weights-hessian", "--basis", "axes", "--layer", "convs.2"): "layers of a --basis are its own",
        ("--kind", "weights-svd", "--basis", "axes"): "--basis means nothing to weights-svd paths",
        ("--kind", "weights-hessian", "--basis", "nowhere"): "nowhere",
        ("--kind", "weights-svd", "--space", "w"): "--space means nothing to weights-svd paths",
        ("--kind", "warped", "--layer", "convs.2"): "--layer means nothing to warped paths",
        ("--kind", "weights-svd", "--k", 1001): "weights-svd paths has at most 1,000 of them",
        ("--kind", "ortho", "--k", 10_001): "ortho paths has at most 10,000 of them",
        ("--kind", "ortho", "--reconstructor", "lenet"): "at least 32 pixels, but these have 16",
        ("--kind", "weights-svd", "--layer", "conv2"): "has no layer 'conv2'",
        ("--kind", "weights-svd", "--layer", "convs.1", "convs.2"): "name one --layer",
    }.items():
        assert run(*words, *extra, "--out", "no") == 2
        assert sentence in capsys.readouterr().err
    assert not Path("no").exists()


def test_edits_are_carried_to_a_child_of_the_generator_on_request_only(found, capsys):
    parent = load_generator("g.safetensors")
    torch.manual_seed(0)
    near = {layer: weight_of(parent, layer) * (1 + 0.1 * torch.randn(1)) for layer in ("convs.2", "convs.3")}
    child = parent.with_weights(near)
    save_generator(child, "child.safetensors", overwrite=True)
    kinship = f"was found on small ({parent.fingerprint}), not on small ({child.fingerprint})"
    on = ("--generator", "child.safetensors")
    for words in (
        ("render", "svd:0", *on, "--seed", 1, *SHORT),
        ("transfer", "svd:0", *on, "--seeds", "1-2", *SHORT),
        ("play", "svd:0=0:0,1:1", *on, "--seed", 1, *SHORT),
        ("traverse", "svd", *on, "--seeds", "1-2", "--no-films"),
        ("bake", "svd:0", "no", *on),
    ):
        place = () if words[0] == "bake" else ("--out", "no")
        assert run(*words, *place) == 2
        said = capsys.readouterr().err
        assert kinship in said
        assert "--force" in said
        assert not Path("no").exists()
    assert run("render", "svd:0", *on, "--seed", 1, *SHORT, "--force", "--out", "carried") == 0
    said = capsys.readouterr().err
    assert kinship in said
    assert "4 pictures change" in said
    measured = carried(load_paths("svd")[0], child)
    assert measured.words in said
    assert load_edit("carried/edit.safetensors").info.fingerprint == child.fingerprint
    assert run("transfer", "carried", "--seeds", "1-2", *SHORT, "--out", "on") == 0, "it is an edit of the child from then on"
    assert run("traverse", "svd", *on, "--seeds", "1-2", "--no-films", "--force", "--out", "carried-walk") == 0
    assert kinship in capsys.readouterr().err


def test_what_an_edit_does_elsewhere_is_measured(found):
    parent = load_generator("g.safetensors")
    path = load_paths("svd")[0]
    mine, off = carried(path, parent), carried(path.with_info(usable=(-40.0, 40.0)), parent)
    assert mine.t == path.info.usable
    assert all(small < large for small, large in zip(mine.change, off.change, strict=True))
    assert sum(mine.off) < sum(off.off)
    assert mine.outside_inside is None
    top = carried(path.with_info(mask="box:0,0,1,0.5"), parent)
    assert top.outside_inside is not None
    assert all(0 < ratio < 100 for ratio in top.outside_inside)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("svd", "--layer", "convs"), "has no layer 'convs'"),
        (("svd", "--layer", "convs.1", "convs.2"), "name one --layer"),
        (("svd", "--layer", "convs.2", "--k", 99), "has 4 singular vectors"),
        (("svd", "--k", 0), "k is 1 to 1,000 directions"),
        (("mask", "--mask", BOX, "--k", 100_000_000), "k is 1 to 1,000 directions"),
        (("joint", "--layer", "convs.2", "--k", 145), "is a whole number from 1 to 144"),
        (("joint", "--layer", "convs.2", "convs.1", "convs.2"), "convs.2 is named twice"),
        (("svd", "--size", 8), "No pictures decide for the method svd"),
        (("joint", "--size", 0), "from 1 to 4,096, but 0 was given"),
        (("mask",), "need a --mask"),
        (("svd", "--mask", BOX), "A mask means nothing to the method svd"),
        (("joint", "--one"), "leave --one out"),
        (("mask", "--mask", BOX, "--one", "--latents", "x.npy"), "leave --latents out"),
        (("svd", "--distance", "faces"), "leave --distance out"),
        (("joint", "--samples", 0), "samples are 1 to 10,000"),
        (("hessian", "--distance", "l3"), "There is no distance 'l3'"),
    ],
)
def test_nonsense_is_refused_and_nothing_is_left(words, sentence, capsys):
    assert run("weights", *words, "--generator", "g.safetensors", "--out", "nonsense") == 2
    assert sentence in capsys.readouterr().err
    assert not Path("nonsense").exists()


def test_the_layers_are_listed(capsys):
    assert run("weights", "layers", "--generator", "g.safetensors") == 0
    assert "convs.2                  4 x 4 x 3 x 3        144 numbers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"refine": "many"}, "from 0 to 100,000, but 'many' was given"),
        ({"size": "x"}, "from 1 to 4,096, but 'x' was given"),
        ({"refine": -1}, "refine, the number of steps"),
        ({"k": True}, "k, the number of directions"),
        ({"k": -1}, "k, the number of directions"),
        ({"samples": 1.5}, "The number of samples"),
        ({"layers": 3}, "Layers are a name, or a list"),
        ({"layers": [3]}, "has no layer '3'"),
        ({"layers": ["convs.2", "convs.2"]}, "named twice"),
        ({"seeds": 3}, "Seeds are a list"),
        ({"distance": "l2"}, "A distance is a function"),
        ({"checkpoint": 3}, "A checkpoint is the name of a file"),
    ],
)
def test_directions_are_not_found_with_values_that_mean_nothing(given, sentence):
    generator = load_generator("g.safetensors")
    with pytest.raises(SemanifoldError, match=sentence):
        weight_paths(generator, **{"mask": BOX, "k": 2, "samples": 2, "refine": 1, "progress": False} | given)


def test_an_edit_is_carried_over_with_values_that_mean_something(found):
    generator, path = load_generator("g.safetensors"), load_paths("svd")[0]
    for values, sentence in [
        ((3, generator), "is an edit"),
        ((path, "g"), "to a generator"),
        ((path, generator, 0), "from 1 to 1,000"),
        ((path, generator, 2, "a"), "A seed is"),
    ]:
        with pytest.raises(SemanifoldError, match=sentence):
            carried(*values[:2], **dict(zip(("samples", "seed"), values[2:], strict=False)))


def test_a_pad_in_a_sum_is_named(found, capsys):
    model = ("--generator", "g.safetensors")
    assert run("directions", "pca", "--k", 2, *model, "--out", "pad-pca", "--seed", 1) == 0
    assert run("combine", "pad-pca:0", "pad-pca:1", "--pad", *model, *SHORT, "--out", "pad") == 0
    assert run("combine", "pad", "svd:0", *model, *SHORT, "--out", "pad-sum") == 2
    assert "path 0 + path 1 is a pad; leave it out" in capsys.readouterr().err
    assert not Path("pad-sum").exists()


def test_a_pose_is_an_edit_wherever_one_is_taken(capsys):
    generator = stylegan3()
    save_generator(generator, Path("g3.safetensors"))
    model, kept = ("--generator", "g3.safetensors"), generator.pose.weight
    assert run("render", "pose:20,0.1", *model, "--seed", 2, *SHORT, "--out", "pose-turned") == 0
    edit = load_edit("pose-turned/edit.safetensors")
    delta = torch.tensor([[20 * math.pi / 180], [0.1], [0.0]])
    expected = generator.with_weights({"pose": kept + delta}).images(generator.sample(2))
    torch.testing.assert_close(edit.images(generator, 2, 1.0), expected, rtol=1e-4, atol=1e-5)
    assert run("play", "pose-turned=0:0,1:1", "pose:0,0.2=0:1", *model, "--seconds", 1, "--fps", 4, "--out", "pose-both") == 0
    assert isinstance(load_edit("pose-both/edit.safetensors"), Sum)
    assert run("bake", "pose:20", "turned.safetensors", *model) == 0
    torch.testing.assert_close(
        weight_of(load_generator("turned.safetensors"), "pose"), kept + delta * torch.tensor([[1.0], [0], [0]])
    )
    capsys.readouterr()
    assert run("transfer", "pose:20", *model, "--seeds", 1, *SHORT, "--out", "pose-others") == 0
    assert "semanifold render pose:20 --generator g3.safetensors --seed 1" in capsys.readouterr().out
    for words, sentence in [
        (("pose:a", *model), "such as pose:20"),
        (("pose:1,2,3,4", *model), "such as pose:20"),
        (("pose:0", *model), "not all 0"),
        (("pose:nan", *model), "not all 0"),
        (("pose:0,99", *model), "10 pictures at most"),
        (("pose:20",), "name the generator's file with --generator"),
        (("pose:20", "--generator", "g.safetensors"), "has no layer 'pose'"),
    ]:
        assert run("render", *words, "--out", "never") == 2
        assert sentence in capsys.readouterr().err
    assert not Path("never").exists()
