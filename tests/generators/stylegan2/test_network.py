"""StyleGAN2 against the plain formulas, and what a frozen differentiable generator must keep."""

import math

import pytest
import torch
from support.small_stylegan2 import ARCHITECTURES, codes, make, plain_pictures, plain_upsample
from torch import Tensor
from torch.func import functional_call, jvp, vmap

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config


@pytest.mark.parametrize("clamp", [None, 0.8])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_equals_the_plain_version(architecture: str, clamp: float | None) -> None:
    generator = make(architecture, clamp=clamp)
    latents = codes(generator, 3)
    latents.values.requires_grad_()
    ours, plain = generator.images(latents), plain_pictures(generator, latents.values, clamp)
    torch.testing.assert_close(ours, plain, rtol=1e-7, atol=1e-7)
    toward = torch.randn(ours.shape, dtype=ours.dtype, generator=torch.Generator().manual_seed(1))
    ours, plain = (torch.autograd.grad((x * toward).sum(), latents.values)[0] for x in (ours, plain))
    torch.testing.assert_close(ours, plain, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weight_gradients_equal_those_of_the_plain_version(architecture: str) -> None:
    generator = make(architecture).train().requires_grad_(True)
    latents = codes(generator)
    names = [n for n, _ in generator.named_parameters() if not n.startswith("mapping")]
    weights = [p for n, p in generator.named_parameters() if n in names]
    ours = torch.autograd.grad(generator.images(latents).square().mean(), weights)

    def plain(*values: Tensor) -> Tensor:
        held = dict(generator.state_dict()) | dict(zip(names, values))
        generator_state, generator.state_dict = generator.state_dict, lambda: held  # type: ignore[method-assign]
        try:
            return plain_pictures(generator, latents.values).square().mean()
        finally:
            generator.state_dict = generator_state  # type: ignore[method-assign]

    expected = torch.autograd.grad(plain(*weights), weights)
    for name, a, b in zip(names, ours, expected):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


def test_a_small_picture_is_the_running_sum() -> None:
    generator = make()
    latents = codes(generator)
    # silence every layer above 16 pixels: what is left is the small picture, doubled by the filter
    state = {k: v * 0 if k.startswith("colours.3") and ".affine" not in k else v for k, v in generator.state_dict().items()}
    silent = functional_call(generator, state, (latents,))
    small = generator.images(latents, size=16)
    assert small.shape == (2, 3, 16, 16)
    torch.testing.assert_close(plain_upsample(small), silent)
    torch.testing.assert_close(generator.images(latents, size=32), generator.images(latents))


@pytest.mark.parametrize("architecture", ["resnet", "orig"])
def test_a_small_picture_is_an_average_where_there_is_no_sum(architecture: str) -> None:
    generator = make(architecture)
    latents = codes(generator)
    full = generator.images(latents)
    torch.testing.assert_close(generator.images(latents, size=8), full.reshape(2, 3, 8, 4, 8, 4).mean((3, 5)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_many_directions_at_once(architecture: str) -> None:
    generator = make(architecture)
    values, steps = codes(generator).values, codes(generator, seed=6).values

    def render(v: Tensor) -> Tensor:
        return generator.images(Latents(v[None], "w+"))[0]

    # many directions at one code: the way to J v for a block of v
    columns = vmap(lambda s: jvp(render, (values[0],), (s,))[1])(steps)
    torch.testing.assert_close(columns[1], jvp(render, (values[0],), (steps[1],))[1])
    back = torch.func.vjp(render, values[0])[1]
    rows = vmap(lambda g: back(g)[0])(columns)
    torch.testing.assert_close(rows[1], back(columns[1])[0])


def test_other_weights_by_functional_call() -> None:
    generator = make()
    before = {key: value.clone() for key, value in generator.state_dict().items()}
    latents = codes(generator)
    usual = generator.images(latents)
    for name in ("convs.1.weight", "convs.2.weight", "colours.1.weight", "convs.1.affine.weight"):
        delta = torch.randn(before[name].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        edited = functional_call(generator, {name: before[name] + delta}, (latents,))
        assert (edited - usual).abs().max() > 1e-2
        other = make()
        other.load_state_dict(before | {name: before[name] + delta})
        torch.testing.assert_close(edited, other.images(latents))
        # the derivative along a change of weights, as closed forms of weight directions need it
        along = jvp(lambda v, name=name: functional_call(generator, {name: v}, (latents,)), (before[name],), (delta,))[1]
        near = functional_call(generator, {name: before[name] + 1e-6 * delta}, (latents,))
        torch.testing.assert_close(along, (near - usual) / 1e-6, rtol=1e-4, atol=1e-4)
    assert all(torch.equal(value, before[key]) for key, value in generator.state_dict().items())
    assert torch.equal(generator.images(latents), usual)


def test_changed_weights_are_seen_at_once() -> None:
    generator, fresh = make(), make(seed=1)
    latents = codes(generator)
    generator.images(latents)
    generator.load_state_dict(fresh.state_dict())
    assert torch.equal(generator.images(latents), fresh.images(latents))
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.data.mul_(1.1)
        for parameter in fresh.parameters():
            parameter.mul_(1.1)
    assert torch.equal(generator.images(latents), fresh.images(latents))


def test_trains_when_asked() -> None:
    generator = make(double=False)
    assert not any(p.requires_grad for p in generator.parameters())
    generator.train().requires_grad_(True)
    z = generator.sample(range(4))
    picture = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = [torch.randn(4, 1, m.shape[0], m.shape[0]) for m in generator.draw_noise(1)]
    adam = torch.optim.Adam(generator.parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        loss = (generator.images(z, noise=noise) - picture).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in generator.parameters())
    assert losses[-1] < 0.5 * losses[0]


def test_noise() -> None:
    generator = make()
    latents = codes(generator, 1)
    const = generator.images(latents)
    own = [generator.get_buffer(f"{layer.name}.noise") for layer in generator.layers if layer.kind != "colour"]
    torch.testing.assert_close(generator.images(latents, noise=own), const)
    torch.testing.assert_close(generator.images(latents, noise=[m * 0 for m in own]), generator.images(latents, noise="none"))
    pair = Latents(latents.values.expand(2, -1, -1), "w+")
    random = generator.images(pair, noise=torch.Generator().manual_seed(3))
    assert (random[0] - random[1]).abs().max() > 1e-3
    state = torch.get_rng_state()
    assert torch.equal(generator.with_noise("random", 3).images(pair), random)
    assert torch.equal(torch.get_rng_state(), state), "the global random numbers are not touched"
    assert torch.equal(generator.with_noise("none").images(latents), generator.images(latents, noise="none"))
    assert torch.equal(generator.images(latents), const), "the generator itself keeps its noise"
    with pytest.raises(SemanifoldError, match="no noise 'loud'"):
        generator.with_noise("loud")
    drawn = generator.draw_noise(4)
    assert all(torch.equal(a, b) for a, b in zip(drawn, generator.draw_noise(4)))
    apart = [torch.stack([a, b])[:, None] for a, b in zip(drawn, own)]
    torch.testing.assert_close(generator.images(pair, noise=apart)[1:], const)
    for wrong in ("constant", own[:-1], [m[:2] for m in own]):
        with pytest.raises(SemanifoldError):
            generator.images(latents, noise=wrong)  # type: ignore[arg-type]


def test_truncation() -> None:
    generator = make()
    seeds = [1, 2]
    mean = generator.images(Latents(generator.w_avg[None], "w"))
    torch.testing.assert_close(generator.images(generator.sample(seeds, truncation=0.0)), mean.expand(2, -1, -1, -1))
    w = generator.sample(seeds, "w").values
    half = generator.sample(seeds, truncation=0.5)
    assert half.space == "w"
    torch.testing.assert_close(half.values, (w + generator.w_avg) / 2)
    cut = generator.sample(seeds, truncation=0.0, cutoff=3)
    assert cut.space == "w+"
    torch.testing.assert_close(cut.values[:, :3], generator.w_avg.expand(2, 3, -1))
    torch.testing.assert_close(cut.values[:, 3:], w[:, None].expand(-1, 5, -1))
    with pytest.raises(SemanifoldError, match="not in z"):
        generator.sample(seeds, "z", truncation=0.5)


def test_layers_and_mixing() -> None:
    generator = make()
    a, b = codes(generator, 1, 1), codes(generator, 1, 2)
    mixed = generator.mix(a, b, (2, 4))
    assert torch.equal(mixed.values[:, 2:4], b.values[:, 2:4])
    assert torch.equal(mixed.values[:, :2], a.values[:, :2])
    assert torch.equal(mixed.values[:, 4:], a.values[:, 4:])
    for wrong in ((0, 9), (3, 3), (-1, 2)):
        with pytest.raises(SemanifoldError, match=r"layers 0\.\.7"):
            generator.mix(a, b, wrong)
    table = [(layer.index, layer.size, layer.kind) for layer in generator.layers]
    assert table[:5] == [(0, 4, "conv"), (1, 4, "colour"), (1, 8, "up"), (2, 8, "conv"), (3, 8, "colour")]
    for layer in generator.layers:
        # moving one code first changes the smallest picture that one of its layers reaches
        moved = Latents(a.values.clone(), "w+")
        moved.values[:, layer.index] += 1
        first = min(other.size for other in generator.layers if other.index == layer.index)
        assert layer.name + ".weight" in generator.state_dict()
        if first > 4:
            assert torch.equal(generator.images(moved, size=first // 2), generator.images(a, size=first // 2))
        assert (generator.images(moved, size=first) - generator.images(a, size=first)).abs().max() > 1e-4


def test_classes() -> None:
    generator = make(classes=3)
    one, other = generator.sample([1], "w", labels=0), generator.sample([1], "w", labels=2)
    assert (one.values - other.values).abs().max() > 1e-3
    soft = generator.sample([1], labels=torch.tensor([[0.5, 0, 0.5]]))
    torch.testing.assert_close(generator.convert(soft, "w+").values[:, 3], generator.convert(soft, "w").values)
    with pytest.raises(SemanifoldError, match="labels"):
        generator.images(Latents(torch.zeros(1, 7).double(), "z"))


def test_bad_input() -> None:
    generator = make()
    with pytest.raises(SemanifoldError, match="32 pixels, not 12"):
        generator.images(codes(generator), size=12)
    with pytest.raises(SemanifoldError, match=r"shape \(8, 6\)"):
        generator.images(Latents(torch.zeros(1, 7, 6), "w+"))
    with pytest.raises(SemanifoldError, match="no way from space w to z"):
        generator.convert(generator.sample([1], "w"), "z")
    for changes in ({"size": 48}, {"channels": (4, 4)}, {"architecture": "skips"}):
        with pytest.raises(SemanifoldError):
            StyleGAN2Config(**({"size": 16, "z_dim": 4, "w_dim": 4, "channels": (4, 4, 4)} | changes))


def test_two_seeds_make_two_generators_without_the_global_state() -> None:
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    config = StyleGAN2Config(8, 4, 4, (4, 4))
    a, b, again = StyleGAN2(config, seed=1), StyleGAN2(config, seed=2), StyleGAN2(config, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert a.fingerprint == again.fingerprint != b.fingerprint
    pictures = StyleGAN2(StyleGAN2Config(32, 64, 64, (64, 64, 64, 64))).images(a.sample([0]).with_values(torch.randn(1, 64)))
    assert 0.2 < pictures.std() < 5
    assert math.isfinite(pictures.abs().max())
