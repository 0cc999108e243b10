"""Directions in weights that are found by what they do to pictures, against the published numbers and by what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from support.formula_weights import random_lpips
from support.reference import REFERENCE, agree, numbers, settings
from support.two_layers import two_layers
from torch import Tensor

import semanifold as sm
from semanifold.core.eigenpairs import Eigenpairs
from semanifold.core.errors import SemanifoldError
from semanifold.generators.editing import weight_of
from semanifold.images.distances import BACKBONES, FeatureDistance, l2, lpips_from
from semanifold.images.masks import as_mask
from semanifold.images.metrics import mse_ratio
from semanifold.paths import weight_ranges
from semanifold.paths.navigan import layer_name
from semanifold.paths.weight_axes import joint_weight_paths
from semanifold.paths.weight_hessian import FORMAT, hessian_paths, hessian_product, leading, read_state, state_of
from semanifold.paths.weight_masked import masked_weight_paths
from semanifold.paths.weight_ranges import SEEN, Look, Walk, calibrated
from semanifold.paths.weights import svd_paths
from semanifold.storage.keeping import Keeper
from semanifold.storage.tensors import read_tensors, write_tensors

LAYER = layer_name(settings("hessian_small")["layer_ix"])
DISTANCES = {
    "nearest16": lambda a, b: l2(F.interpolate(a, (16, 16)), F.interpolate(b, (16, 16))),
    "avgpool16": lambda a, b: l2(F.avg_pool2d(a, 4), F.avg_pool2d(b, 4)),
}


@pytest.fixture(scope="module")
def generator() -> sm.Generator:
    return sm.load_generator(str(REFERENCE / "stylegan2_rosinality" / "generator.pt")).double()


@pytest.fixture(scope="module")
def faces() -> Iterator[sm.Generator]:
    """The bundled faces, whose manifold is found once per seed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight_ranges, "manifold_of", cache(weight_ranges.manifold_of))
        yield sm.load_generator("faces")


@pytest.fixture(scope="module")
def codes() -> sm.Latents:
    return sm.Latents(numbers("hessian_small")["zs"].double(), "z")


@pytest.mark.parametrize("net", BACKBONES)
def test_lpips_has_the_hessian_that_differences_along_a_line_have(net, generator, codes):
    """Of every backbone, with random weights of its own; LPIPS is bent only where a rectifier switches."""
    torch.manual_seed(0)
    distance = lpips_from(random_lpips(net).double())
    weight, few = weight_of(generator, LAYER), codes[[0]]
    plain = F.interpolate(generator.images(few), (32, 32))
    vectors = torch.randn(2, weight.numel(), generator=torch.Generator().manual_seed(1)).double()
    product = hessian_product(generator, [LAYER], few, distance, size=32)(vectors)
    assert float(product[0] @ vectors[1]) == pytest.approx(float(product[1] @ vectors[0]), rel=1e-9)

    def along(t: float) -> float:
        other = generator.with_weights({LAYER: weight + t * vectors[0].reshape(weight.shape)})
        return float(distance(F.interpolate(other.images(few), (32, 32)), plain).mean())

    step = 1e-5
    assert float(product[0] @ vectors[0]) == pytest.approx((along(step) + along(-step)) / step**2, rel=1e-3)


@pytest.mark.parametrize("name", list(DISTANCES))
def test_products_with_the_hessian_are_the_published_ones(name, generator, codes):
    held = numbers("hessian_small", name)
    product = hessian_product(generator, [LAYER], codes, DISTANCES[name], batch=5)
    agree(product(held["probe_vectors"][:2]), held["hvp"][:2], 1e-7)


def test_the_leading_eigenvector_is_that_of_the_dense_hessian(generator, codes):
    held = numbers("hessian_small", "avgpool16")
    count = 1  # a gap follows, so that few products do; fewest, one at a time
    product = hessian_product(generator, [LAYER], codes, DISTANCES["avgpool16"], batch=12)
    found = leading(product, held["eigenvectors"].shape[1], count, held["eigenvectors"], tolerance=1e-4, block=1, progress=False)
    assert found.residuals.max() <= 1e-4
    torch.testing.assert_close(found.values, held["eigenvalues"][:count], rtol=1e-6, atol=0)
    cosines = torch.linalg.svdvals(found.vectors @ held["eigenvectors"][:count].T)
    assert torch.acos(cosines.clamp(max=1)).max() <= 1e-3


def test_any_distance_has_its_own_hessian_and_resizing_is_the_published_one(generator, codes):
    """Of features: the second derivative along a line, by differences."""
    distance = FeatureDistance(lambda x: [F.avg_pool2d(x, 8), F.max_pool2d(x, 4).tanh()])
    vector = torch.randn(1, weight_of(generator, LAYER).numel(), generator=torch.Generator().manual_seed(1)).double()
    few = codes[[0, 1]]
    curve = float((hessian_product(generator, [LAYER], few, distance)(vector) * vector).sum())
    weight, plain = weight_of(generator, LAYER), generator.images(few)

    def along(t: float) -> float:
        other = generator.with_weights({LAYER: weight + t * vector.reshape(weight.shape)})
        return float(distance(other.images(few), plain).mean())

    step = 1e-3
    assert curve == pytest.approx((along(step) + along(-step)) / step**2, rel=1e-3)
    resized = hessian_product(generator, [LAYER], few, l2, size=16)(vector)
    agree(resized, hessian_product(generator, [LAYER], few, DISTANCES["nearest16"])(vector), 1e-9)


class Two(torch.nn.Module):
    """Pictures whose left half comes from one channel and whose right half from another."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 2, 1, bias=False)
        self.last = torch.nn.Conv2d(2, 1, 1, bias=False)
        self.conv.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[..., None, None]
        self.last.weight.data = torch.ones(1, 2, 1, 1)
        ramp = torch.zeros(1, 2, 8, 8)
        ramp[:, 0, :, :4], ramp[:, 1, :, 4:] = 1, 1
        self.register_buffer("place", ramp)

    def forward(self, z: Tensor) -> Tensor:
        return self.last(self.conv(self.place * z[:, :2, None, None])).tanh()


@pytest.fixture
def halves() -> sm.Generator:
    return sm.wrap(Two(), 4, name="halves")


def test_directions_inside_a_mask_leave_the_outside_alone_on_unseen_pictures(halves):
    left = sm.box(0, 0, 0.5, 1)
    paths = masked_weight_paths(halves, ["network.conv"], left, 2, samples=6, kept=4, progress=False)
    weight = paths.direction(0)["network.conv"]
    assert weight[:, 0].norm() > 0.999 * weight.norm(), "only what is read on the left may move"
    for seed in (100, 101):
        plain = halves.images(halves.sample(seed))
        moved = paths[0].images(halves, seed, [-1.0, 1.0])
        assert mse_ratio(moved, plain, left.at(8, 8)).max() < 1e-4
    with pytest.raises(SemanifoldError, match="covers nothing or everything"):
        masked_weight_paths(halves, ["network.conv"], sm.box(0, 0, 1, 1), progress=False)
    with pytest.raises(SemanifoldError, match="At least one layer"):
        masked_weight_paths(halves, [], left, progress=False)
    blind = Two()
    blind.place.zero_()
    with pytest.raises(SemanifoldError, match="do not change"):
        masked_weight_paths(sm.wrap(blind, 4), ["network.conv"], left, progress=False)


def test_refinement_lowers_what_changes_outside_on_unseen_pictures(generator):
    mask = sm.box(0, 0, 0.4, 1)
    generator = generator.float()
    rough, fine = (
        masked_weight_paths(generator, [LAYER], mask, 2, samples=6, kept=6, refine=steps, progress=False) for steps in (0, 16)
    )

    def outside(paths: sm.PathSet) -> float:
        codes = generator.sample([100, 101, 102, 103])
        found = []
        for k in range(2):
            moved = paths.shifted_images(generator, codes, k, 0.3 * float(weight_of(generator, LAYER).norm()))
            found.append(mse_ratio(moved, generator.images(codes), mask.at(*generator.picture_shape[1:])).mean())
        return float(torch.stack(found).mean())

    assert outside(fine) < 0.7 * outside(rough)
    for paths in (rough, fine):
        assert len(paths.info.measured["outside_inside"]) == 2
    assert sum(fine.info.measured["outside_inside"]) < sum(rough.info.measured["outside_inside"])
    for one, other in zip(rough, fine, strict=True):
        assert float((one.deltas[LAYER] * other.deltas[LAYER]).sum()) > 0.3 * one.norm * other.norm, "still the same change"


def test_joint_axes_tell_the_halves_apart(halves):
    paths = joint_weight_paths(halves, ["network.conv"], 2, samples=8, kept=4, progress=False)
    for k in range(2):
        columns = paths.direction(k)["network.conv"][..., 0, 0].norm(dim=0)
        assert columns.max() > 0.999 * columns.norm(), "an axis moves one half"


def test_a_search_goes_on_where_it_broke_off(tmp_path):
    """Bit for bit, from the state that was written last; the state of another search is refused."""
    generator, layer = two_layers(), "network.0"
    ways = {"samples": 2, "batch": 2, "tolerance": 1e-3}
    whole = hessian_paths(generator, [layer], 3, progress=False, **ways)

    def stop(told: dict) -> None:
        if told["products"].startswith("16"):
            raise KeyboardInterrupt

    state = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        hessian_paths(generator, [layer], 3, checkpoint=state, every=0, progress=stop, **ways)
    again = hessian_paths(generator, [layer], 3, checkpoint=state, progress=False, **ways)
    assert torch.equal(again.basis, whole.basis)
    assert again.info.measured == whole.info.measured
    values = again.info.measured["eigenvalue"]
    assert list(values) == sorted(values, reverse=True)
    assert max(again.info.measured["residual"]) <= 1e-3
    hessian_paths(generator, [layer], 3, checkpoint=state, every=0, progress=False, **ways)
    ended = hessian_paths(generator, [layer], 3, checkpoint=state, progress=False, **ways)
    assert torch.equal(ended.basis, whole.basis), "a search that had ended goes no further"
    for wrong in ({"k": 5}, {"samples": 3}):
        with pytest.raises(SemanifoldError, match="of another search"):
            hessian_paths(generator, [layer], **{"k": 3, "checkpoint": state, "progress": False, **ways, **wrong})
    state.write_bytes(b"nothing")
    with pytest.raises(SemanifoldError, match=r"state\.safetensors.* remove the checkpoint to begin again"):
        hessian_paths(generator, [layer], 3, checkpoint=state, progress=False, **ways)


@pytest.mark.parametrize("wrong", ["nan", "no rows", "flipped", "whole numbers", "checksum", "count", "truth"])
def test_a_damaged_state_of_a_search_is_refused(wrong, tmp_path):
    like = torch.zeros(1, 9)
    good = Eigenpairs(torch.eye(9)[:4], 2 * torch.eye(9)[:4], torch.eye(9)[4:6], 4)
    keeper = Keeper(tmp_path / "s", FORMAT, "key")
    keeper.write(*state_of(good))
    assert torch.equal(read_state(keeper, like).products, good.products)
    basis, ahead = good.basis.clone(), good.ahead
    if wrong == "nan":
        basis[0, 0] = torch.nan
    if wrong == "no rows":  # it would multiply nothing for ever
        ahead = ahead[:0]
    bad = Eigenpairs(basis, good.products, ahead, {"count": -1, "truth": True}.get(wrong, 4))
    if wrong == "whole numbers":
        bad = Eigenpairs(good.basis.long(), good.products.long(), good.ahead.long(), 4)
    keeper.write(*state_of(bad))
    header, tensors, _ = read_tensors(tmp_path / "s")
    if wrong == "flipped":
        tensors["products"][1, 1] = 3
    if wrong == "checksum":
        header["crc32"] = "x"
    write_tensors(tmp_path / "s", tensors, header)
    with pytest.raises(SemanifoldError, match=r"damaged.*remove (it|the checkpoint) to begin again"):
        read_state(keeper, like)


def test_a_checkpoint_that_cannot_be_written_is_refused(generator, tmp_path):
    for place in (tmp_path, tmp_path / "nowhere" / "s", "a\0b/s"):
        with pytest.raises(SemanifoldError, match="A checkpoint is a file in a folder that is there"):
            sm.weight_paths(generator, "hessian", k=1, checkpoint=place, progress=False)
    with pytest.raises(SemanifoldError, match="cannot be written"):
        Keeper(tmp_path / ("x" * 300), FORMAT, "key").write(*state_of(Eigenpairs(*3 * [torch.eye(3)], 4)))
    with pytest.raises(SemanifoldError, match="A distance returns one number per picture"):
        sm.weight_paths(generator, "hessian", k=1, distance=lambda *_: 0, samples=1, progress=False)


def test_pictures_too_small_to_depend_on_a_layer_are_refused():
    generator = sm.load_generator(str(REFERENCE / "stylegan2_rosinality" / "generator.pt"))
    for find in (joint_weight_paths, lambda *a, **k: masked_weight_paths(*a[:2], "box:0,0,0.5,1", *a[2:], **k)):
        with pytest.raises(SemanifoldError, match=r"do not change with the weights of convs\.5.* larger pictures"):
            find(generator, ["convs.5"], 1, samples=1, size=4, progress=False)


class Slider(torch.nn.Module):
    """A square whose brightness is the weight of a convolution; half of it is squashed at 1, as by a hyperbolic tangent."""

    def __init__(self, squash: bool) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 1, bias=False)
        torch.nn.init.constant_(self.conv.weight, 0.5)
        self.squash = squash

    def forward(self, z: Tensor) -> Tensor:
        seen = self.conv(z.reshape(-1, 1, 4, 4))
        return (4 * seen).tanh() if self.squash else seen


def test_a_range_ends_where_pictures_stop_changing():
    sets = {}
    for squash in (False, True):
        sliders = sm.wrap(Slider(squash), (16,))
        seen = []
        sets[squash] = calibrated(svd_paths(sliders, "network.conv", 1), sliders, samples=2, progress=seen.append)
        assert [(now["step"], now["steps"]) for now in seen] == [(1, 2), (2, 2)]
        again = calibrated(sets[squash], sliders, samples=2, progress=False)
        torch.testing.assert_close(again.scale, sets[squash].scale, msg="whatever scale it has before")
    even, squashed = (sets[squash].info.measured for squash in (False, True))
    assert even["evenness"][0] > 0.99, "a linear layer is an even slider"
    assert squashed["evenness"][0] < 0.9
    assert sets[True][0].info.usable == (squashed["low"][0], squashed["high"][0])
    norms, one = torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64), torch.ones(4, 1, dtype=torch.float64)
    growing = norms[:, None]
    assert Walk(growing, growing, 0 * one).end(norms) == 8, "nothing ends it"
    assert Walk(growing.clamp(max=2), growing, 0 * one).end(norms) == 2, "the change stalls at 2"
    assert Walk(growing, growing, growing / 4).end(norms) == pytest.approx(4), "the manifold is left at 4"


def test_a_range_ends_where_pictures_are_no_longer_the_generators_own(faces):
    """Pictures of faces whose weights are driven far are no faces: the range of the first singular vector is short."""
    paths = calibrated(svd_paths(faces, "convs.4", 1), faces, samples=2, progress=False)
    low, high = paths[0].info.usable
    assert low < -0.05
    assert high > 0.05
    assert low != -high, "each way ends by itself"
    assert min(-low, high) < 0.95
    assert max(-low, high) >= 1 - 1e-6, "t = 1 is no farther than the farther end"
    seen = paths.shifted_images(faces, 9, 0, high * paths.info.step * paths.info.count)
    torch.testing.assert_close(paths[0].images(faces, 9, [high]), seen, rtol=1e-3, atol=1e-3)


def test_a_blurred_picture_is_not_the_generators_own(faces):
    """Principal components explain blur well, so that it is measured by itself: inside the mask, against other mouths."""
    codes = faces.sample([50, 51, 52])
    look = Look.at(faces, codes, [as_mask("mouth", faces, code) for code in codes], 0)
    blurred = torch.nn.functional.avg_pool2d(look.plain, 9, 1, 4)
    assert (look.off(look.plain) < 1).all()
    assert (look.off(blurred) > 3).all()
    assert (look.off(blurred, 0) > 1).all(), "all three against the first"
    mouths = torch.cat([as_mask("mouth", faces, code).at(64, 64).reshape(1, 1, 64, 64) for code in codes])
    assert (look.off(torch.where(mouths > 0.1, look.plain, blurred)) < 1.2).all(), "sharp where it counts"


def test_a_path_ends_where_its_change_is_seen_at_once(faces):
    paths = calibrated(svd_paths(faces, "convs.5", 1), faces, "mouth", samples=2, progress=False)
    codes = faces.sample([50, 51, 52])
    plain, strangers = faces.images(codes), faces.images(faces.sample(range(60, 76)))
    shares = []
    for i, code in enumerate(codes):
        inside = as_mask("mouth", faces, code).at(64, 64).sqrt()
        usual = ((strangers - plain[i]) * inside).square().mean((1, 2, 3)).sqrt().median()
        moved = paths[0].images(faces, code, [-1.0, 1.0])
        shares.append(((moved - plain[i]) * inside).square().mean((1, 2, 3)).sqrt() / usual)
    assert 0.5 * SEEN < float(torch.cat(shares).mean()) < 2 * SEEN
