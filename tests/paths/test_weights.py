"""Paths in weights: the published numbers, one kernel per sample by hand, files, and what the paths do on generators."""

from __future__ import annotations

import math
import re
import shutil
from dataclasses import asdict

import pytest
import torch
from support.formula_weights import formula_state
from support.reference import GRADIENTS, REFERENCE, agree, numbers, settings
from torch import Tensor

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.edits import EditInfo, Sum, WeightEdit, in_one_space, load_edit, save_edit
from semanifold.edits.files import FORMAT
from semanifold.edits.operations import combine
from semanifold.generators.editing import weight_of
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.navigan import layer_index, layer_name, write_deformation
from semanifold.paths.weights import WeightPaths, info_of, matrix, matrix_shape, svd_paths, unmatrix
from semanifold.storage.records import checked
from semanifold.storage.tensors import read_tensors, write_tensors
from semanifold.training.draws import Draw
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import TrainingSettings
from semanifold.training.state import adam
from semanifold.training.step import TrainingStep, run_step

FOLDER = REFERENCE / "weight_deformation"
CONFIG = settings("weight_deformation")
LAYER = layer_name(CONFIG["layer_ix"])
KINDS = ("hessian", "hessian_rectification", "svd", "svd_rectification")


@pytest.fixture(scope="module")
def generator() -> StyleGAN2:
    return sm.load_generator(str(REFERENCE / "stylegan2_rosinality" / "generator.pt"))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def z() -> sm.Latents:
    return sm.Latents(numbers("weight_deformation")["z"], "z")


def published(kind: str, generator: StyleGAN2, tmp_path) -> WeightPaths:
    """The paths of one of the four published ways, from the file that Navigan has written."""
    if kind == "hessian":
        shutil.copy(FOLDER / "eigenvectors_layer3_small.pt", tmp_path / f"eigenvectors_layer{CONFIG['layer_ix']}_small.pt")
        return load_paths(tmp_path / f"eigenvectors_layer{CONFIG['layer_ix']}_small.pt")  # type: ignore[return-value]
    if kind == "svd":
        held = numbers("weight_deformation", "svd")
        return WeightPaths.from_svd(held["u"], held["vh"], {LAYER: tuple(weight_of(generator, LAYER).shape)}, info_of(generator))
    for file in FOLDER.glob("*.pt"):
        shutil.copy(file, tmp_path / file.name)
    return load_paths(tmp_path / f"checkpoint_{kind}.pt")  # type: ignore[return-value]


@pytest.mark.parametrize("kind", KINDS)
def test_the_four_published_ways_make_the_published_pictures(kind, generator, z, tmp_path):
    held, paths = numbers("weight_deformation", kind), published(kind, generator, tmp_path)
    assert len(paths) == CONFIG[kind]["directions_count"]
    pictures = paths.shifted_images(generator, z, held["directions"], held["shifts"])
    agree(pictures, held["img"])
    for k, shift, delta in zip(held["directions"].tolist(), held["shifts"], held["delta"]):
        agree(shift * paths.direction(k)[LAYER], delta)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_coefficients_are_the_published_ones(kind, generator, z, tmp_path):
    """The fixture's loss is the mean of the squared pictures."""
    held, paths = numbers("weight_deformation", kind), published(kind, generator, tmp_path).requires_grad_()
    pictures = paths.shifted_images(generator, z, held["directions"], held["shifts"])
    (gradient,) = torch.autograd.grad(pictures.square().mean(), paths.coefficients)
    agree(gradient, held["grad_coefs"], GRADIENTS)


@pytest.mark.parametrize("kind", ["hessian_rectification", "svd_rectification"])
def test_saved_deformations_are_read_as_long_as_they_are_and_written_again(kind, generator, z, tmp_path):
    held = numbers("weight_deformation", f"deformation_{kind}")
    paths = load_paths(FOLDER / f"deformation_{kind}.pt")
    assert isinstance(paths, WeightPaths)
    edit = paths[0]
    assert isinstance(edit, WeightEdit)
    scale = CONFIG[f"deformation_{kind}"]["scale_after_loading"]
    assert edit.norm == pytest.approx(scale, rel=1e-6)
    agree(edit.images(generator, z, held["amplitudes"] / scale), held["img"])
    write_deformation(paths, 0, tmp_path / "again.pt")
    again = torch.load(tmp_path / "again.pt", weights_only=True)
    theirs = torch.load(FOLDER / f"deformation_{kind}.pt", weights_only=True)
    assert again["layer_ix"] == theirs["layer_ix"]
    torch.testing.assert_close(again["shift"], theirs["shift"])


def test_files_of_navigan_are_told_apart_when_they_are_inspected(tmp_path):
    folder = REFERENCE / "weight_deformation"
    said = {file.name: sm.inspect(file) for file in folder.glob("*.pt")}
    assert said["deformation_svd_rectification.pt"].holds == "one path in the weights of convs.4 [8, 8, 3, 3]"
    assert said["deformation_svd_rectification.pt"].advice.endswith(":0 --generator FILE")
    assert said["eigenvectors_layer3_small.pt"].holds == "6 paths in the weights of convs.4 [8, 8, 3, 3]"
    for kind in ("svd", "hessian"):
        trained = said[f"checkpoint_{kind}_rectification.pt"]
        assert trained.usable
        assert re.search(r"generator.*, with \d+ paths in the weights of convs.4", trained.holds)
        assert f"semanifold render {trained.path}:0 --generator {trained.path}" in trained.advice
    alone = tmp_path / "checkpoint.pt"
    shutil.copy(folder / "checkpoint_hessian_rectification.pt", alone)
    assert "eigenvectors" in sm.inspect(alone).notes["as paths"]


def test_a_checkpoint_without_its_eigenvectors_says_what_is_missing(tmp_path):
    shutil.copy(FOLDER / "checkpoint_hessian_rectification.pt", tmp_path / "checkpoint.pt")
    with pytest.raises(SemanifoldError, match=r"put the one file eigenvectors_layer\d+_NAME.pt"):
        load_paths(tmp_path / "checkpoint.pt")
    shutil.copy(FOLDER / "eigenvectors_layer3_small.pt", tmp_path / "vectors.pt")
    with pytest.raises(SemanifoldError, match="whose layer is told by their name"):
        load_paths(tmp_path / "vectors.pt")
    torch.save({"layer_ix": -1, "shift": torch.ones(1, 1, 2, 2, 3, 3)}, tmp_path / "bad.pt")
    with pytest.raises(SemanifoldError, match="not the number of a layer"):
        load_paths(tmp_path / "bad.pt")
    assert [layer_index(layer_name(i)) for i in (0, 11)] == [0, 11]
    with pytest.raises(SemanifoldError, match=r"not convs\.0"):
        layer_index("convs.0")


@pytest.mark.parametrize("damage", ["complex", "huge", "whole numbers", "no shape"])
@pytest.mark.parametrize("kind", ["deformation", "eigenvectors", "coefficients", "singular"])
def test_files_of_navigan_with_other_tensors_are_refused(kind, damage, tmp_path):
    bad = {
        "complex": lambda x: x.to(torch.complex64),
        "huge": lambda x: 1e38 * x,
        "whole numbers": lambda x: x.long(),
        "no shape": lambda _: torch.ones(()),
    }[damage]
    change, path = bad(torch.ones(1, 1, 4, 4, 3, 3)), tmp_path / "checkpoint.pt"
    if kind == "deformation":
        torch.save({"layer_ix": 1, "shift": change}, path)
    elif kind == "eigenvectors":
        path = tmp_path / "eigenvectors_layer1_x.pt"
        torch.save(change, path)
    elif kind == "coefficients":
        torch.save(torch.ones(3, 1, 4, 4, 3, 3), tmp_path / "eigenvectors_layer1_x.pt")
        torch.save({"generator": {"convs.1.conv.direction_to_basis_coefs": bad(torch.ones(2, 3))}}, path)
    else:
        held = {"u": bad(torch.ones(36, 4)), "vh": torch.ones(4, 4), "weight": torch.ones(1, 4, 4, 3, 3)}
        held = held | {"direction_to_eigenvalues_delta": torch.ones(2, 4)}
        held = held | ({"weight": bad(held["weight"]), "u": torch.ones(36, 4)} if damage == "no shape" else {})
        torch.save({"generator": {f"convs.1.conv.{name}": value for name, value in held.items()}}, path)
    with pytest.raises(SemanifoldError, match=r"damaged|expected"):
        load_paths(path)


def small(**changes) -> StyleGAN2:
    return StyleGAN2(StyleGAN2Config(16, 6, 6, (5, 4, 4), mapping_layers=2, **changes), seed=3)


def test_singular_vectors_are_those_of_the_matrix_of_the_paper():
    weight = torch.randn(4, 3, 3, 3)
    rows = matrix(weight)
    assert rows.shape == matrix_shape(weight.shape)
    assert rows[(1 * 3 + 2) * 3 + 1, 2] == weight[2, 1, 1, 2]  # row (kx, ky, in), column out
    assert torch.equal(unmatrix(rows, weight.shape), weight)
    flat = torch.randn(4, 3)
    assert torch.equal(unmatrix(matrix(flat), flat.shape), flat)
    generator = small()
    paths = svd_paths(generator, "convs.2", 3)
    weight, first = weight_of(generator, "convs.2"), paths.direction(0)["convs.2"]
    assert torch.linalg.matrix_rank(matrix(first)) == 1
    assert abs(float((weight * first).sum())) == pytest.approx(float(torch.linalg.svdvals(matrix(weight))[0]), rel=1e-5)
    assert paths.info.step * paths.info.count == pytest.approx(float(weight.norm()) / 2)
    with pytest.raises(SemanifoldError, match="has 4 singular vectors"):
        svd_paths(generator, "convs.2", 5)
    with pytest.raises(SemanifoldError, match=r"did you mean 'convs\.2'"):
        svd_paths(generator, "conv.2")


def two_layers(generator: sm.Generator, k: int = 3) -> WeightPaths:
    layers = {name: tuple(weight_of(generator, name).shape) for name in ("convs.1", "colours.2", "convs.3.affine")}
    size = sum(math.prod(shape) for shape in layers.values())
    return WeightPaths.from_vectors(
        torch.randn(k, size, generator=torch.Generator().manual_seed(0)), layers, info_of(generator, step=1.0)
    )


def test_a_path_in_several_layers_is_one_direction_of_unit_norm():
    generator = small()
    paths = two_layers(generator)
    norm = sum(float(part.square().sum()) for part in paths.direction(1).values())
    assert norm == pytest.approx(1, abs=1e-5)
    edit = paths[1]
    assert isinstance(edit, WeightEdit)
    assert edit.norm == pytest.approx(16, rel=1e-5)
    codes = generator.sample([3, 4])
    moved = paths.shifted_images(generator, codes, [1, 1], [8.0, -16.0])
    torch.testing.assert_close(edit.images(generator, codes, [0.5, -1.0]), moved)
    baked = edit.baked(generator, 0.5)
    torch.testing.assert_close(baked.images(codes[0]), moved[:1], rtol=1e-4, atol=1e-5)
    assert baked.fingerprint != generator.fingerprint
    torch.testing.assert_close(edit.baked(baked, -0.5).images(codes), generator.images(codes), rtol=1e-3, atol=1e-4)


def test_frames_of_one_picture_share_what_comes_before(monkeypatch):
    generator, rows = small(), []
    forward = type(generator.convs[1]).forward

    def watched(self: torch.nn.Module, x: Tensor, *rest: object, **more: object) -> Tensor:
        rows.append(len(x))
        return forward(self, x, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(type(generator.convs[1]), "forward", watched)
    svd_paths(generator, "convs.2", 2)[0].images(generator, 3, [0.5, 1.0, -1.0])
    assert rows == [1, 1, 1, 3, 3], "the convolution that is edited meets one picture, and those after it three"


def test_files_hold_paths_and_edits_of_weights(tmp_path):
    generator = small()
    for paths in (two_layers(generator), svd_paths(generator, "convs.2", 2)):
        save_paths(paths.with_info(names={1: "wide +"}), tmp_path / "set.safetensors")
        again = load_paths(tmp_path / "set.safetensors")
        assert isinstance(again, WeightPaths)
        assert repr(again) == repr(paths.with_info(names={1: "wide +"}))
        save_edit(again["wide"], tmp_path / "edit.safetensors")
        edit = load_edit(tmp_path / "edit.safetensors")
        t = [-1.0, 0.0, 0.7]
        assert torch.equal(edit.images(generator, 5, t), paths[1].images(generator, 5, t))
    # numbers of any precision are read, also where they differ
    file = read_tensors(tmp_path / "set.safetensors")
    kinds = dict(zip(file.tensors, (torch.float16, torch.float64, torch.float32, torch.bfloat16), strict=True))
    mixed = {key: value.to(kinds[key]) for key, value in file.tensors.items()}
    write_tensors(tmp_path / "set.safetensors", mixed, file.header)
    assert load_paths(tmp_path / "set.safetensors")[0].images(generator, 5, [0.7]).dtype == torch.float32
    with pytest.raises(SemanifoldError, match=r"those of .* are \[6, 5, 3, 3\]|has no layer|are \["):
        paths.check_generator(StyleGAN2(StyleGAN2Config(16, 6, 6, (6, 5, 5), mapping_layers=2)))


def test_several_changes_of_weights_become_one_generator():
    generator = small()
    first, second = svd_paths(generator, "convs.2", 1)[0], two_layers(generator)[1]
    both = combine([first, second])
    assert not both.moves_codes
    expected = second.baked(first.baked(generator, 0.5), 0.5).images(generator.sample([4]))
    torch.testing.assert_close(both.baked(generator, 0.5).images(generator.sample([4])), expected)
    offset = sm.Lattice(torch.stack([torch.zeros(6), torch.ones(6)]), [torch.tensor([0.0, 1.0])], EditInfo(space="w"))
    with pytest.raises(SemanifoldError, match="moves codes; only an edit of weights"):
        combine([first, offset]).baked(generator)


def test_a_change_of_weights_is_shown_as_any_edit_is():
    generator, edit = small(), svd_paths(small(), "convs.2", 1)[0]
    for code in (3, generator.sample(3, "w+")):
        assert sm.show(edit, generator, code, count=4).size == sm.show(generator_paths(generator), generator, code, count=4).size
    assert len(sm.film(edit, generator, 3, seconds=0.4, fps=10, progress=False)) == 4


def generator_paths(generator: StyleGAN2) -> sm.Lattice:
    step = torch.stack([-torch.ones(6), torch.zeros(6), torch.ones(6)])
    return sm.Lattice(step, [torch.tensor([-1.0, 0.0, 1.0])], EditInfo(space="w", usable=(-1, 1)))


def test_frames_of_codes_that_do_not_meet_the_weights_are_all_there(tmp_path):
    generator = sm.load_generator("faces")
    layer = "mapping.layers.0"
    edit = WeightEdit({layer: torch.ones(weight_of(generator, layer).shape)}, EditInfo(name="early", space="weights"))
    codes = generator.sample(7, "w")
    pictures = edit.images(generator, codes, [0.0, 0.5, 1.0])
    assert torch.equal(pictures, generator.images(codes).expand(3, -1, -1, -1)), "codes of w have the mapping behind them"
    assert not torch.equal(*edit.images(generator, 7, [0.0, 1.0]))
    with pytest.raises(SemanifoldError, match="usable range"):
        edit.with_info(usable=(0.0, 1e300))
    header = {"format": FORMAT, "kind": edit.kind, **asdict(edit.info), "usable": [0.0, 1e300]}
    write_tensors(tmp_path / "far.safetensors", edit.tensors(), header)
    with pytest.raises(SemanifoldError, match="is damaged: A usable range"):
        load_edit(tmp_path / "far.safetensors")


def test_a_path_of_some_layers_adds_to_one_of_all():
    generator = small()
    layers, width = generator.shapes["w+"]
    seed, knots = generator.sample(4, "w+"), [torch.tensor([0.0, 1.0])]
    part = sm.Lattice(
        torch.stack([torch.zeros(2, width), torch.ones(2, width)]), knots, EditInfo(space="w+", layers=(1, 3)), start=seed
    )
    everywhere = sm.Lattice(torch.stack([torch.zeros(width), torch.ones(width)]), knots, EditInfo(space="w"))
    offsets = combine([part, everywhere]).latents(seed, 1.0).values - seed.values
    torch.testing.assert_close(offsets[0, :, 0], torch.tensor([1.0, 2.0, 2.0] + [1.0] * (layers - 3)))
    with pytest.raises(SemanifoldError, match="trace it from one first"):
        combine([sm.Lattice(part.displacements, part.knots, part.info), everywhere])


def test_changes_of_codes_and_of_weights_add_up(tmp_path):
    generator = small()
    weights = svd_paths(generator, "convs.2", 2)
    codes = generator.sample(4, "w")
    offset = sm.Lattice(torch.stack([torch.zeros(6), torch.ones(6)]), [torch.tensor([0.0, 1.0])], EditInfo(space="w"))
    both = combine([offset, weights[0], two_layers(generator)[1]])
    assert isinstance(both, Sum)
    pictures = both.images(generator, codes, [0.0, 0.5])
    assert torch.equal(pictures[0], generator.images(codes)[0])
    other = two_layers(generator)[1].baked(weights[0].baked(generator, 0.5), 0.5)
    torch.testing.assert_close(pictures[1:], other.images(codes.with_values(codes.values + 0.5)), rtol=1e-4, atol=1e-5)
    save_edit(both, tmp_path / "sum.safetensors")
    again = load_edit(tmp_path / "sum.safetensors")
    torch.testing.assert_close(again.images(generator, codes, [0.5]), pictures[1:])
    more = combine([again, weights[1]])
    torch.testing.assert_close(
        more.images(generator, codes, [0.5]), weights[1].baked(other, 0.5).images(codes.with_values(codes.values + 0.5))
    )
    # beside a path of w+, the codes of a sum are carried there
    wide = sm.Lattice(torch.stack([torch.zeros(7, 6), torch.ones(7, 6)]), [torch.tensor([0.0, 1.0])], EditInfo(space="w+"))
    layers = generator.shapes["w+"][0]
    wide = sm.Lattice(wide.displacements[:, :layers], wide.knots, wide.info)
    twice = combine(in_one_space([again, wide], generator))
    assert twice.info.space == "w+"
    torch.testing.assert_close(
        twice.images(generator, generator.convert(codes, "w+"), [0.5]),
        other.images(codes.with_values(codes.values + 1.0)),
        rtol=1e-4,
        atol=1e-5,
    )


def test_two_changes_of_the_same_weights_add_up():
    """Also of different distances, and the demodulation sees their sum."""
    generator = small()
    paths = svd_paths(generator, "convs.2", 3)
    both = combine([paths[0], paths[2], two_layers(generator)[0]])
    codes = generator.sample([4, 5])
    pictures = both.images(generator, codes, [0.5, -1.0])
    for i, t in enumerate((0.5, -1.0)):
        other = two_layers(generator)[0].baked(paths[2].baked(paths[0].baked(generator, t), t), t)
        torch.testing.assert_close(pictures[i : i + 1], other.images(codes[i]), rtol=1e-4, atol=1e-5)


def test_what_makes_no_sense_is_refused():
    generator = small()
    shape = {"convs.2": tuple(weight_of(generator, "convs.2").shape)}
    for bad in (torch.ones(2, 7), torch.zeros(2, 144), torch.full((2, 144), math.nan)):
        with pytest.raises(SemanifoldError, match="ectors"):
            WeightPaths.from_vectors(bad, shape, info_of(generator))
    with pytest.raises(SemanifoldError, match="coefficients"):
        WeightPaths.from_vectors(torch.ones(2, 144), shape, info_of(generator), coefficients=torch.ones(2, 3))
    for count, terms, layers in ((0, 1, shape), (1, 0, shape), (1, 1, {})):
        with pytest.raises(SemanifoldError, match="at least 1 path in 1 layer"):
            WeightPaths("basis", count, terms, layers, info_of(generator))
    with pytest.raises(SemanifoldError, match=r"\[0, r\] and \[r, 0\]"):
        WeightPaths.from_svd(torch.ones(1, 1), torch.ones(1, 1), {"bias": (4,)}, info_of(generator))
    with pytest.raises(SemanifoldError, match="length >= 2"):
        checked({"form": "basis", "count": 1, "terms": 1, "weights": [["bias", [4]]]}, WeightPaths.schema, "The set")
    narrow = WeightPaths.from_vectors(torch.ones(1, 36), {"convs.2": (2, 2, 3, 3)}, info_of(generator, step=1.0))
    with pytest.raises(SemanifoldError, match="but those of"):
        narrow.shifted_images(generator, generator.sample([1]), [0], [1.0])
    with pytest.raises(SemanifoldError, match="goes nowhere"):
        WeightPaths.from_vectors(torch.ones(2, 144), shape, info_of(generator), coefficients=torch.zeros(2, 2))
    edit = WeightEdit({"convs.2": torch.ones(4, 4, 3, 3)}, EditInfo(space="weights"))
    with pytest.raises(SemanifoldError, match="t is a number"):
        edit.images(generator, 1, "far")  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="2 codes take one t"):
        edit.images(generator, [1, 2], [0.1, 0.2, 0.3])


def test_one_iteration_of_training_equals_the_published_one(generator):
    config, expected = settings("weight_train_step"), numbers("weight_train_step")
    vectors = torch.load(REFERENCE / config["basis"], weights_only=True)
    layers = {layer_name(config["layer_ix"]): tuple(vectors.shape[2:])}
    paths = WeightPaths.from_vectors(
        vectors.flatten(1), layers, info_of(generator), coefficients=expected["coefs"]
    ).requires_grad_()
    table = config["predictor"]
    reconstructor = make_reconstructor("lenet", table["dim"], table["channels"])
    formula = dict(zip(reconstructor.state_dict(), formula_state(table).values(), strict=True))  # other names, the same network
    reconstructor.load_state_dict(formula)
    reconstructor.train()
    z = sm.Latents(expected["z"], "z")
    draw = Draw(z, expected["index"], expected["shifts"])
    agree(paths.shifted_images(generator, z, draw.index, draw.magnitude)[:1], expected["img_shifted_first"])
    weights = TrainingSettings(lambda_cls=config["label_weight"], lambda_reg=config["shift_weight"])
    loss, row = run_step(TrainingStep(generator, paths, reconstructor, weights), draw)
    agree(row[[1, 2, 4]] * torch.tensor([1, config["shift_weight"], 1]), expected["losses"])
    loss.backward()
    assert paths.coefficients.grad is not None
    agree(paths.coefficients.grad, expected["grad_coefs"], GRADIENTS)
    learned = dict(reconstructor.named_parameters())
    for ours, theirs in (("feature_extractor.0.weight", "grad_P_conv0"), ("path_indices.3.weight", "grad_P_logits")):
        gradient = learned[ours].grad
        assert gradient is not None
        agree(gradient, expected[theirs], GRADIENTS)
    optimiser = adam(paths, config["adam_lr"])
    assert optimiser is not None
    optimiser.step()
    slope, apart = expected["grad_coefs"].abs(), (paths.coefficients.detach() - expected["coefs_after"]).abs()
    assert apart[slope > 1e-3 * slope.max()].max() <= 1e-6


def test_fewer_singular_vectors_than_columns_are_a_set_and_others_are_refused(generator: StyleGAN2) -> None:
    shape = tuple(weight_of(generator, LAYER).shape)
    rows, columns = matrix_shape(shape)
    paths = WeightPaths.from_svd(torch.eye(rows, 3), torch.eye(3, columns), {LAYER: shape}, info_of(generator))
    assert len(paths) == 3
    for u, vh in (((rows, 3), (2, columns)), ((rows + 1, 3), (3, columns)), ((rows, 3), (3, columns + 1))):
        with pytest.raises(SemanifoldError, match="Singular vectors"):
            WeightPaths.from_svd(torch.ones(u), torch.ones(vh), {LAYER: shape}, info_of(generator))
