"""Masks by a click: what belongs together at a point, against the parts that are painted, and what is refused."""

from statistics import median

import pytest
import torch
from support.toy import Toy, ToyConv
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

import semanifold as sm
from semanifold.core.errors import SemanifoldError
from semanifold.generators import parts
from semanifold.worlds.faces.label_maps import LABELS, label_map
from semanifold.worlds.faces.reading import read_factors

VISIBLE = {
    "mouth": ("lips", "mouth", "teeth"), "eyes": ("lids", "whites", "irises"), "hair": ("hair",), "background": ("background",)
}  # fmt: skip


def overlap(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_click_selects_the_mouth_both_eyes_the_hair_and_the_background_of_a_face() -> None:
    """Of the usual face: on some a click fails, and versions of PyTorch that round otherwise draw other clusters."""
    faces, seeds = sm.load_generator("faces"), range(7101, 7106)
    labels = label_map(read_factors(faces, faces.sample(seeds)), 64)
    for name, parts_of_it in VISIBLE.items():
        found = []
        for seed, map_ in zip(seeds, labels):
            truth = torch.isin(map_, torch.tensor([LABELS.index(part) for part in parts_of_it]))
            inner = avg_pool2d(truth.float()[None], 5, 1, 2)[0] * truth  # the largest where all neighbours belong to it
            row, column = divmod(int(inner.argmax()), 64)
            mask = sm.parse_mask(f"at:{(column + 0.5) / 64},{(row + 0.5) / 64}", faces, seed)
            found.append(overlap(mask.at(64, 64)[0, 0] > 0.5, truth))
        assert median(found) > 0.4, (name, found)


def test_clicks_join_like_any_mask_are_found_once_and_lie_elsewhere_in_another_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    net = ToyConv()
    both = sm.parse_mask("at:0.2,0.2|at:0.8,0.8", net, 3).at(16, 16)
    one, other = (sm.parse_mask(f"at:{p},{p}", net, 3) for p in (0.2, 0.8))
    assert torch.equal(both, torch.maximum(one.at(16, 16), other.at(16, 16)))
    assert one.at(16, 16)[0, 0, 3, 3] > 0.5
    assert torch.allclose(sm.parse_mask("~at:0.2,0.2", net, 3).at(16, 16), 1 - one.at(16, 16))
    assert str(sm.parse_mask("feather:0.05(at:3.2,3.2px)", net, 3)) == "feather:0.05(at:3.2,3.2px)"
    assert torch.equal(sm.parse_mask("at:3.2,3.2px", net, 3).at(16, 16), one.at(16, 16))
    assert torch.equal(ToyConv().clicked(0.2, 0.2, 3).at(16, 16), one.at(16, 16)), "the same mask, found anew"
    assert not torch.equal(net.clicked(0.2, 0.2, 4).at(16, 16), one.at(16, 16))
    monkeypatch.setattr(parts, "_searched", None)  # a second look for the parts would fail
    assert net.clicked(0.8, 0.8, 3).at(40, 24).shape == (1, 1, 40, 24)


class Constant(nn.Module):
    """Feature maps that are the same everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.grow = nn.ConvTranspose2d(4, 6, 8)
        nn.init.zeros_(self.grow.weight)
        self.paint = nn.Conv2d(6, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.paint(self.grow(z[:, :, None, None]))


@pytest.mark.parametrize(
    ("text", "generator", "code", "why"),
    [
        ("at:1.2,0.5", ToyConv(), 3, "lies off the picture"),
        ("at:nan,0.5", ToyConv(), 3, "needs 2 numbers"),
        ("at:0.5", ToyConv(), 3, "needs 2 numbers"),
        ("at:0.5,0.5", ToyConv(), None, "say whose"),
        ("at:0.5,0.5", Toy(), 3, "no feature maps"),
        ("at:0.5,0.5", None, None, "none was given"),
        ("at:0.5,0.5", sm.wrap(Constant(), 4), 3, "the same at all places"),
    ],
)
def test_points_that_select_nothing_are_refused_in_a_sentence(
    text: str, generator: sm.Generator | None, code: int | None, why: str
) -> None:
    with pytest.raises(SemanifoldError, match=why):
        sm.parse_mask(text, generator, code)


def test_feature_maps_of_nan_and_points_of_several_pictures_are_refused() -> None:
    broken = ToyConv()
    with torch.no_grad():
        next(p for p in broken.parameters() if p.ndim == 4).fill_(torch.nan)
    with pytest.raises(SemanifoldError, match="NaN"):
        broken.clicked(0.5, 0.5, 3)
    net = ToyConv()
    with pytest.raises(SemanifoldError, match="2 codes"):
        net.clicked(0.5, 0.5, net.sample([1, 2]))  # type: ignore[arg-type]
    with pytest.raises(SemanifoldError, match="off the picture"):
        net.clicked(-0.1, 0.5, 3)


def test_what_turns_its_sign_from_place_to_place_tells_no_parts_apart() -> None:
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    smooth, chequer = (rows / 8 + columns.square() / 64)[None, None], (-1) ** (rows + columns)[None, None]
    assert parts._chequer(smooth) < parts.CHEQUERED < parts._chequer(smooth + chequer)
    kept = parts._stacked({16: smooth + chequer}, (16,), (16, 16), frozenset())
    assert torch.equal(kept, smooth + chequer)
    averaged = parts._stacked({16: smooth + chequer}, (16,), (16, 16), frozenset({16}))
    assert torch.allclose(averaged[..., 1:-1, 1:-1], (smooth + 1 / 128)[..., 1:-1, 1:-1], atol=1e-6)
