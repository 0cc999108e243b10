"""Resizing and cutting out: equal to torchvision's and PyTorch's, exact on ramps, each picture by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semanifold.analysis.attributes.sampling import cut_out, normalised, rgb, shorter_side, weights
from semanifold.core.errors import SemanifoldError


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize(
    ("shape", "new", "corner"),
    [((40, 40), (16, 16), (0, 0)), ((61, 40), (24, 16), (4, 0)), ((40, 61), (16, 24), (0, 4)), ((9, 13), (16, 23), (0, 4))],
)
@pytest.mark.parametrize("antialias", [True, False])
def test_the_shorter_side(shape: tuple[int, int], new: tuple[int, int], corner: tuple[int, int], antialias: bool) -> None:
    """Sizes and corners are those of torchvision's Resize and CenterCrop."""
    given = noise(2, 3, *shape)
    top, left = corner
    whole = interpolate(given, new, mode="bilinear", antialias=antialias)
    assert torch.equal(shorter_side(given, 16, antialias), whole[:, :, top : top + 16, left : left + 16])


@pytest.mark.parametrize("size", [7, 20, 33])
def test_the_whole_square_is_resized_as_pytorch_does(size: int) -> None:
    given = noise(2, 3, 20, 20)
    found = cut_out(given, torch.tensor([[0.0, 0, 20, 20]] * 2, dtype=torch.float64), size)
    assert torch.allclose(found, interpolate(given, (size, size), mode="bilinear", antialias=True), atol=1e-12)


def test_every_picture_has_its_own_box_and_long_boxes_give_their_middle() -> None:
    rows = torch.arange(64, dtype=torch.float64).add(0.5)[:, None].expand(64, 64)
    ramp = torch.stack([rows, rows.T])[None].repeat(2, 1, 1, 1)  # y and x of every pixel
    boxes = torch.tensor([[10.3, 12.1, 30.3, 52.1], [8, 20, 48, 28]], dtype=torch.float64)
    found = cut_out(ramp, boxes, 4)
    for one, box in zip(found, boxes, strict=True):
        side = (box[2:] - box[:2]).min()
        middle = (box[2:] + box[:2]) / 2
        places = (torch.arange(4).double() + 0.5) / 4 * side - side / 2
        # a sum over whole pixels of triangles that lie between them is exact on a ramp only up to this
        assert torch.allclose(one[0], (middle[1] + places)[:, None].expand(4, 4), atol=0.06)
        assert torch.allclose(one[1], (middle[0] + places).expand(4, 4), atol=0.06)


def test_the_cut_moves_smoothly_with_its_box() -> None:
    given = shorter_side(noise(1, 3, 8, 8), 64)
    boxes = [torch.tensor([[9 + s, 9 + s, 41 + s, 41 + s]]).double() for s in torch.linspace(0, 2, 201).tolist()]
    steps = torch.stack([cut_out(given, b, 16)[0] for b in boxes]).diff(dim=0).abs().amax((1, 2, 3))
    assert 0 < steps.max() < 0.01


def test_weights_sum_to_one_and_the_border_goes_on() -> None:
    start, length = torch.tensor([-9.0, 2.5, 30.0]), torch.tensor([20.0, 0.5, 9.0])
    found = weights(start, length, 5, 12)
    assert found.shape == (3, 5, 12)
    assert torch.allclose(found.sum(-1), torch.ones(3, 5))
    assert found[2, :, -1].min() > 0.5


def test_pictures_in_grey_and_out_of_range() -> None:
    found = rgb(torch.tensor([-3.0, -1, 0, 1, 7]).view(1, 1, 1, 5))
    assert torch.equal(found[0, :, 0], torch.tensor([[0.0, 0, 0.5, 1, 1]] * 3))
    assert torch.allclose(normalised(torch.full((1, 3, 1, 1), 0.5), (0.5,) * 3, (2.0,) * 3), torch.zeros(1, 3, 1, 1))
    for wrong in (torch.zeros(3, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)):
        with pytest.raises(SemanifoldError, match="floating pictures"):
            rgb(wrong)
