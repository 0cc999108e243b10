"""Distances against plain formulas, and LPIPS against the numbers of the published package with weights given by a formula."""

from pathlib import Path

import pytest
import torch
from support.formula_weights import lpips_with_formula_weights
from support.reference import GRADIENTS, agree, described, numbers
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.images.distances import FeatureDistance, distance_by_name, l2, lpips_distance, lpips_from


@pytest.fixture(scope="module")
def fixture() -> tuple[dict, dict[str, Tensor]]:
    return described("masked_manifold"), numbers("masked_manifold")


def test_l2_is_the_mean_square_and_broadcasts() -> None:
    images = torch.rand(3, 2, 5, 4)
    reference = torch.rand(1, 2, 5, 4)
    expected = torch.stack([((image - reference[0]) ** 2).mean() for image in images])
    torch.testing.assert_close(l2(images, reference), expected)


def test_feature_distance_is_the_plain_formula_and_blind_to_scale() -> None:
    a, b = torch.rand(2, 4, 3, 3), torch.rand(1, 4, 3, 3)
    features = lambda images: [images, images[:, :, :2, :2]]  # noqa: E731
    distance = FeatureDistance(features)
    expected = []
    for image in a:
        layers = []
        for crop in (slice(0, 3), slice(0, 2)):
            x, y = image[:, crop, crop], b[0, :, crop, crop]
            layers.append((x / x.norm(dim=0) - y / y.norm(dim=0)).square().sum(0).mean())
        expected.append(torch.stack(layers).mean())
    torch.testing.assert_close(distance(a, b), torch.stack(expected))
    torch.testing.assert_close(distance(5 * a, b), distance(a, b))
    assert distance(b, b) == 0


def test_feature_distance_has_a_finite_gradient_where_all_features_vanish() -> None:
    images = torch.zeros(1, 3, 2, 2, requires_grad=True)
    FeatureDistance(lambda x: [x])(images, torch.rand(1, 3, 2, 2)).sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_equals_the_published_numbers(net: str, fixture: tuple[dict, dict[str, Tensor]]) -> None:
    about, expected = fixture
    distance = lpips_from(lpips_with_formula_weights(net, about["config"]["lpips"]["nets"][net]))
    image = expected[f"lpips_{net}/image"].requires_grad_(net == "vgg")
    found = distance(image, expected[f"lpips_{net}/target"])
    agree(found, expected[f"lpips_{net}/distance"].flatten())
    if net == "vgg":
        agree(torch.autograd.grad(found.sum(), image)[0], expected["lpips_vgg/grad_image"], GRADIENTS)


def test_lpips_takes_small_and_grey_pictures(fixture: tuple[dict, dict[str, Tensor]]) -> None:
    about, _ = fixture
    distance = lpips_from(lpips_with_formula_weights("alex", about["config"]["lpips"]["nets"]["alex"]))
    images = torch.rand(2, 1, 28, 28) * 2 - 1
    found = distance(images, images[:1])
    assert found.shape == (2,)
    assert found[0] < 1e-9
    assert found[1] > 0


def test_a_file_without_backbone_weights_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("lpips")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "alexnet.pth")
    with pytest.raises(SemanifoldError, match="does not hold torchvision's weights of alexnet"):
        lpips_distance("alex", tmp_path / "alexnet.pth")


def test_backbone_weights_are_read_from_a_given_file(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    pytest.importorskip("lpips")
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), tmp_path / "squeeze.pth")
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    one, two = (lpips_distance("squeeze", tmp_path / "squeeze.pth")(images, images[:1]) for _ in range(2))
    assert torch.equal(one, two)


def test_distances_have_names() -> None:
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    assert distance_by_name("l2")(images, images[:1]).shape == (2,)
    assert distance_by_name("faces")(images, images[:1])[0] < 1e-9
    with pytest.raises(SemanifoldError, match="did you mean 'lpips-alex'"):
        distance_by_name("lpips-alec")
    with pytest.raises(SemanifoldError, match="no net 'resnet'"):
        lpips_distance("resnet")
