"""The truth share on the face renderer itself, where every answer is known."""

from __future__ import annotations

import pytest
import torch

from semanifold.core.errors import SemanifoldError
from semanifold.images.masks import ellipse
from semanifold.locality.truth import calibrate, own_factors, pixel_effects, pixel_weights, truth_share
from semanifold.worlds.faces.factors import FACTORS, factor_index, likeable_face
from semanifold.worlds.faces.renderer import render

NONE = torch.zeros(len(FACTORS), dtype=torch.float64)


def face(**changes: float) -> torch.Tensor:
    return likeable_face(torch.float64, **changes)


def picture(factors: torch.Tensor) -> torch.Tensor:
    return render(factors, 32)


def test_effects_are_the_derivative_of_the_renderer() -> None:
    j = factor_index("mouth_opening")
    effects = pixel_effects(face(), picture)
    tiny = torch.zeros_like(face())
    tiny[0, j] = 1e-6
    exact = ((picture(face() + tiny) - picture(face() - tiny)) / 2e-6).square().mean(1).sqrt()[0]
    assert effects.shape == (len(FACTORS), 1, 32, 32)
    assert (effects[j, 0] - exact).abs().max() < 0.1 * exact.max()


def test_effects_at_the_end_of_a_range_are_one_sided() -> None:
    end, near = pixel_effects(face(background_tone=1.0), picture), pixel_effects(face(background_tone=0.98), picture)
    j = factor_index("background_tone")
    assert pixel_weights(end)[j].item() == pytest.approx(pixel_weights(near)[j].item(), rel=0.1)


def test_a_hidden_iris_weighs_nothing() -> None:
    j = factor_index("iris_hue")
    closed, opened = (pixel_weights(pixel_effects(face(eye_opening=v), picture))[j] for v in (0.0, 0.9))
    assert closed < 0.02 * opened


def test_effects_of_several_faces_are_refused() -> None:
    with pytest.raises(SemanifoldError, match="one face"):
        pixel_effects(face().expand(2, -1), picture)


def test_factors_belong_to_the_region_a_mask_is_named_after() -> None:
    effects, mask = pixel_effects(face(), picture), torch.full((1, 1, 32, 32), 0.5)
    names = {f.name for f, ok in zip(FACTORS, own_factors("mouth", mask, effects).tolist(), strict=True) if ok}
    assert names == {f.name for f in FACTORS if f.region == "mouth"}
    assert torch.equal(own_factors("~mouth", mask, effects), ~own_factors("mouth", mask, effects))


def test_factors_of_a_painted_mask_are_those_that_act_inside() -> None:
    effects = pixel_effects(face(), picture)
    mouth = ellipse(0.5, 0.76, 0.25, 0.14).at(32, 32)
    own = own_factors("box", mouth, effects)
    names = {f.name for f, ok in zip(FACTORS, own.tolist(), strict=True) if ok}
    assert {"smile", "mouth_width", "lip_colour"} <= names
    assert not names & {"hair_tone", "eye_size", "background_hue", "skin_tone", "yaw"}


def test_share_of_known_changes() -> None:
    weights, own = torch.tensor([2.0, 1.0, 0.0]), torch.tensor([True, False, False])
    change = torch.tensor([[0.3, 0.0, 0.9], [0.1, -0.2, 0.0], [0.0, 0.4, 0.0], [0.0, 0.0, 0.5]])
    found = truth_share(change, weights, own, torch.zeros(3))
    assert found[:3].tolist() == pytest.approx([1.0, 0.5, 0.0])
    assert found[3].isnan()


def test_changes_within_the_reading_error_do_not_count() -> None:
    weights, own = torch.ones(2), torch.tensor([True, False])
    found = truth_share(torch.tensor([[0.5, 0.04], [0.5, 0.3]]), weights, own, torch.tensor([0.1, 0.1]))
    assert found.tolist() == pytest.approx([1.0, 0.4 / 0.6])


def test_calibration_of_a_perfect_reader_and_of_a_noisy_one() -> None:
    held: dict[str, torch.Tensor] = {}

    def rendered(factors: torch.Tensor) -> torch.Tensor:
        held["factors"] = factors
        return render(factors, 16)

    def perfect(_pictures: torch.Tensor) -> torch.Tensor:
        return held["factors"]

    def noisy(pictures: torch.Tensor) -> torch.Tensor:
        draw = torch.Generator().manual_seed(int(pictures.sum() * 1e3))
        return held["factors"] + 0.1 * torch.randn(held["factors"].shape, generator=draw)

    exact = calibrate(perfect, rendered, ("mouth", "~eyes"), faces=4)
    assert exact.error.max() < 1e-6
    assert list(exact.ceiling) == ["mouth", "~eyes"]
    assert min(exact.ceiling.values()) > 0.999
    assert max(exact.floor.values()) < 0.001
    blurred = calibrate(noisy, rendered, ("mouth", "~eyes"), faces=16)
    assert blurred.error.mean().item() == pytest.approx(0.1 * 2**0.5, rel=0.15)
    assert blurred.ceiling["mouth"] < 0.95
    assert blurred.floor["mouth"] > 0.01
