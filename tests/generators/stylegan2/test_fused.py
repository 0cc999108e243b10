"""The fast kernels of the frozen synthesis network against their plain formulas, in value and in every derivative."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, jvp, vjp, vmap

from semanifold.core.latents import Latents
from semanifold.generators.stylegan2 import fused as stylegan2_fused
from semanifold.generators.stylegan2.fused import Layer
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

FORMS = [(up, scaled, coloured) for up in (False, True) for scaled, coloured in ((True, False), (True, True), (False, True))]


def case(up: bool, scaled: bool, coloured: bool, *, shared_noise: bool) -> tuple[Layer, list[Tensor]]:
    draw = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    n, inputs, outputs, size = 2, 3, 4, 4
    pixels = (size * (1 + up)) ** 2
    layer = Layer(random(outputs, inputs, 3, 3), up, scaled, coloured)
    x = random(n, size, size, inputs).permute(0, 3, 1, 2)
    tensors = [x, random(1 if shared_noise else n, pixels, 2), random(n, 2, outputs)]
    tensors += [random(n, outputs)] * scaled + [random(n, outputs, 3)] * coloured
    return layer, [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("form", FORMS)
def test_kernels_equal_their_formulas(form: tuple[bool, bool, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stylegan2_fused, "STRIP", 40)  # several strips a picture, the last one short
    for shared_noise in (True, False):
        layer, tensors = case(*form, shared_noise=shared_noise)
        fast, plain = layer.pair()(*tensors), layer.plain(*tensors)
        for a, b in zip(fast, plain, strict=True):
            torch.testing.assert_close(a, b)
        toward = [torch.randn_like(x) for x in fast[1:]]
        ours = torch.autograd.grad(fast[1:], tensors, toward)
        expected = torch.autograd.grad(plain[1:], tensors, toward)
        for a, b in zip(ours, expected, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("form", [FORMS[1], FORMS[3]])
def test_kernels_differentiate_in_both_modes_and_twice(form: tuple[bool, bool, bool]) -> None:
    layer, tensors = case(*form, shared_noise=False)

    def kept(*inputs: Tensor) -> tuple[Tensor, ...]:
        return layer.pair()(*inputs)[1:]

    assert gradcheck(kept, tensors, check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(kept, tensors, fast_mode=True)
    # the features themselves, which no other layer reads
    assert gradcheck(lambda *inputs: layer.pair()(*inputs)[0], tensors, fast_mode=True)


def test_transforms_nest() -> None:
    generator = StyleGAN2(StyleGAN2Config(16, 4, 4, (4, 4, 4), mapping_layers=1)).double()
    draw = torch.Generator().manual_seed(1)
    w, step = (torch.randn(6, 4, generator=draw, dtype=torch.float64) for _ in range(2))

    def energy(v: Tensor) -> Tensor:
        return generator.images(Latents(v[None], "w+")).square().mean()

    h = 1e-6
    expected = (grad(energy)(w + h * step) - grad(energy)(w - h * step)) / (2 * h)
    forward_over_reverse = jvp(grad(energy), (w,), (step,))[1]
    reverse_over_reverse = vjp(grad(energy), w)[1](step)[0]
    torch.testing.assert_close(forward_over_reverse, expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(reverse_over_reverse, expected, rtol=1e-5, atol=1e-8)
    many = vmap(lambda s: jvp(grad(energy), (w,), (s,))[1])(torch.stack([step, 2 * step]))
    torch.testing.assert_close(many[1], 2 * expected, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(vmap(grad(energy))(torch.stack([w, step]))[0], grad(energy)(w))


def test_noise_maps_and_styles_have_gradients() -> None:
    """Projection of a real picture moves the noise maps too."""
    generator = StyleGAN2(StyleGAN2Config(16, 4, 4, (4, 4, 4), mapping_layers=1)).double()
    generator.load_state_dict({k: v + 0.3 if k.endswith("strength") else v for k, v in generator.state_dict().items()})
    maps = [m.requires_grad_() for m in generator.draw_noise(1)]
    latents = generator.sample([1, 2], "w+")
    fused = torch.autograd.grad(generator.images(latents, noise=maps).square().sum(), maps)
    generator.requires_grad_(True)
    plain = torch.autograd.grad(generator.images(latents, noise=maps).square().sum(), maps)
    for a, b in zip(fused, plain, strict=True):
        assert a.abs().max() > 0
        torch.testing.assert_close(a, b)
