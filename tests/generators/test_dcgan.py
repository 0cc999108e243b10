"""DCGAN against the chain of layers that PyTorch's examples make, and what its files are known by."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.dcgan import DCGAN, DCGANConfig, from_published, recognise
from semanifold.generators.loading import load_generator
from semanifold.generators.states import assembled


def chain(channels: tuple[int, ...] = (7, 5, 4), *, colours: int = 3, bias: bool = False) -> nn.Sequential:
    """The layers of the examples, at small sizes, with statistics as a training leaves them."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(zip((6, *channels), (*channels, colours))):
        layers.append(nn.ConvTranspose2d(inputs, outputs, 4, 2 if i else 1, 1 if i else 0, bias=bias))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU()] if i < len(channels) else [nn.Tanh()]
    made, draw = nn.Sequential(*layers).eval(), torch.Generator().manual_seed(0)
    for key, value in made.state_dict().items():
        if "running_var" in key:
            value.uniform_(0.5, 2, generator=draw)
        elif not key.endswith("tracked"):
            value.normal_(generator=draw)
    return made


def under(word: str, layers: nn.Module) -> dict[str, Tensor]:
    return {f"{word}.{key}": value for key, value in layers.state_dict().items()}


@pytest.mark.parametrize(("bias", "channels", "colours"), [(False, (7, 5, 4), 3), (True, (5,), 1)])
def test_pictures_are_those_of_the_chain(bias, channels, colours, tmp_path, capsys):
    layers = chain(channels, colours=colours, bias=bias)
    torch.save({"epoch": 3, "netG_state_dict": under("main", layers), "optimizer": [1]}, tmp_path / "theirs.pt")
    generator = load_generator(tmp_path / "theirs.pt")
    assert isinstance(generator, DCGAN)
    assert generator.config == DCGANConfig(6, channels, colours)
    codes = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        theirs = layers(codes[:, :, None, None])
    assert theirs.shape[1:] == generator.picture_shape
    torch.testing.assert_close(generator.images(Latents(codes, "z")), theirs, rtol=1e-4, atol=1e-5)
    assert cli.main(["inspect", str(tmp_path / "theirs.pt")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a DCGAN generator of PyTorch's examples (its part netG_state_dict)" in said
    assert "read it as PyTorch's DCGAN: rectifiers, a hyperbolic tangent, strides of 2" in said, "no file says it"


@pytest.mark.parametrize("key", ["main.4.running_var", "main.6.weight", "main.1.bias"])
def test_what_is_missing_wrong_or_left_over_is_named(key):
    state = under("main", chain())
    missing = {name: value for name, value in state.items() if name != key}
    with pytest.raises(SemanifoldError, match=re.escape(f"lacks the tensor {key}")):
        from_published(missing)
    with pytest.raises(SemanifoldError, match=re.escape(f"{key} has shape")):
        from_published(state | {key: torch.ones(2, 2, 2)})
    with pytest.raises(SemanifoldError, match=re.escape(f"{key} holds NaN")):
        from_published(state | {key: state[key] * float("nan")})
    with pytest.raises(SemanifoldError, match=r"belong to no DCGAN: main\.2\.weight"):
        from_published(state | {"main.2.weight": torch.ones(4)})


def test_other_chains_are_not_taken_for_one():
    assert recognise(under("net", chain())) == "pytorch"
    other_kernel = nn.Sequential(nn.ConvTranspose2d(6, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.ConvTranspose2d(5, 3, 3))
    plain = nn.Sequential(nn.Conv2d(6, 5, 4), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 4))
    linear = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    for layers in (other_kernel, plain, linear, nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5))):
        assert recognise(under("main", layers)) is None
    assert recognise({"main.1.running_mean": torch.ones(3)}) is None


def test_a_small_file_cannot_ask_for_pictures_without_end(tmp_path):
    torch.save(under("main", chain((1,) * 11)), tmp_path / "deep.pt")
    with pytest.raises(SemanifoldError, match="would make pictures of 8,192 x 8,192 pixels"):
        load_generator(tmp_path / "deep.pt")
    torch.save(under("main", chain((1,) * 10)), tmp_path / "less.pt")
    assert load_generator(tmp_path / "less.pt").picture_shape == (3, 4096, 4096)


def test_a_small_file_cannot_ask_for_memory_without_end():
    state = under("main", chain((1,) * 7 + (70_000,)))
    with pytest.raises(SemanifoldError, match="70,000 channels at 512 pixels takes more memory"):
        from_published(state)
    state["main.1.running_var"] = -state["main.1.running_var"]
    with pytest.raises(SemanifoldError, match="running_var holds a variance below 0"):
        from_published(state)


def test_a_network_of_sizes_that_make_none_is_refused():
    for channels in ((), (4, 0), (4, 2.5)):
        with pytest.raises(SemanifoldError, match="needs channel counts"):
            DCGANConfig(6, channels)  # type: ignore[arg-type]  # that is the point
    config, state = from_published(under("main", chain()))
    with pytest.raises(SemanifoldError, match="lack start"):
        assembled(lambda: DCGAN(config), {key: value for key, value in state.items() if "start" not in key}, "DCGAN")
