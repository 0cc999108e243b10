"""Reconstructors against the numbers of the published code, their files, and bad input."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.paths.reconstructor import (
    Reconstructor,
    check_fits,
    make_reconstructor,
    read_reconstructor,
    resized,
    save_reconstructor,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from formula_weights import formula

REFERENCE = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference"
needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference numbers are not beside the checkout")

RULES = {
    "conv_weight": lambda u, entry: (2 * u - 1) * entry["bound"],
    "linear_weight": lambda u, entry: (2 * u - 1) * entry["bound"],
    "bn_weight": lambda u, entry: 0.35 + 0.7 * u,
    "bn_bias": lambda u, entry: -0.2 + 0.4 * u,
    "bn_mean": lambda u, entry: -0.1 + 0.2 * u,
    "bn_var": lambda u, entry: 0.5 + u,
    "linear_bias": lambda u, entry: -0.1 + 0.2 * u,
    "zero": lambda u, entry: u * 0,
}


def formula_state(reconstructor: Reconstructor, table: dict) -> dict[str, Tensor]:
    """The fixture's weights, in the order of our own state dict; sums and first values are checked on the way."""
    state = reconstructor.state_dict()
    assert list(state) == list(table["state_dict"]), "names or order differ from the published state dict"
    for key, entry in table["state_dict"].items():
        u = formula(table["formula_seed"], entry["index"], state[key].numel())
        value = RULES[entry["rule"]](u, entry).reshape(state[key].shape).to(state[key].dtype)
        if "sum" in entry:
            assert float(value.double().sum()) == pytest.approx(entry["sum"], rel=1e-9, abs=1e-6)
        state[key] = value
    return state


def agree(ours: Tensor, theirs: Tensor, tolerance: float) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@needs_reference
@pytest.mark.parametrize("variant", ["lenet1", "lenet3", "resnet"])
def test_equal_to_the_published_networks(variant: str) -> None:
    config = json.loads((REFERENCE / "reconstructor.json").read_text())["config"]["variants"][variant]
    expected = {k.removeprefix(f"{variant}/"): v for k, v in load_file(REFERENCE / "reconstructor.safetensors").items()}
    if config["weights"] == "file":
        network = read_reconstructor(REFERENCE / "reconstructor" / variant / "models" / "reconstructor.pt")
    else:
        network = make_reconstructor(config["reconstructor_type"], config["dim"], config["channels"])
        network.load_state_dict(formula_state(network, config))
    assert (network.paths, network.channels) == (config["dim"], config["channels"])
    network.eval()
    first, second = expected["x1"].requires_grad_(), expected["x2"].requires_grad_()
    scores, magnitudes = network(first, second)
    agree(scores, expected["logits"], 1e-5)
    agree(magnitudes, expected["magnitude"], 1e-5)
    named = F.cross_entropy(scores, expected["target_index"])
    measured = (magnitudes - expected["target_magnitude"]).abs().mean()
    total = named + 0.25 * measured
    agree(torch.stack([named, measured, total]), expected["losses"], 1e-5)
    total.backward()
    assert first.grad is not None
    agree(first.grad, expected["grad_x1"], 5e-5)


@pytest.mark.parametrize(("kind", "channels"), [("lenet", 1), ("lenet", 3), ("resnet", 4)])
def test_files_keep_every_weight(kind: str, channels: int, tmp_path: Path) -> None:
    network = make_reconstructor(kind, 5, channels, seed=3)
    save_reconstructor(network, tmp_path / "reconstructor.pt")
    again = read_reconstructor(tmp_path / "reconstructor.pt")
    assert (again.kind, again.paths, again.channels) == (kind, 5, channels)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in network.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["reconstructor.pt"]


def test_one_pair_of_pictures_gives_one_magnitude() -> None:
    for kind in ("lenet", "resnet"):
        scores, magnitude = make_reconstructor(kind, 3, 1).eval()(torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32))
        assert (scores.shape, magnitude.shape) == ((1, 3), (1,))


def test_weights_follow_the_seed_and_leave_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    one, same, other = (make_reconstructor("lenet", 3, 1, seed=seed).feature_extractor[0].weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("kind", ["lenet", "resnet"])
def test_a_start_that_sees_differences(kind: str) -> None:
    plain, seeing = (make_reconstructor(kind, 3, 3, seed=1, differences=yes).eval() for yes in (False, True))
    draw = torch.Generator().manual_seed(0)
    one, other, shift = (torch.randn(2, 3, 32, 32, generator=draw) for _ in range(3))
    first, second = (seeing.stem(torch.cat([picture, picture + shift], 1)) for picture in (one, other))
    assert torch.allclose(first, second, atol=1e-4)
    assert torch.equal(plain.stem.weight[:, 3:], seeing.stem.weight[:, 3:])
    assert not torch.equal(plain.stem.weight[:, :3], seeing.stem.weight[:, :3])


def test_pictures_are_brought_to_the_input_size() -> None:
    picture = torch.arange(16.0).reshape(1, 1, 4, 4).repeat_interleave(16, -1).repeat_interleave(16, -2)
    small = resized(picture, 32)
    assert torch.allclose(small, F.avg_pool2d(picture, 2))
    assert resized(picture, 96).shape == (1, 1, 96, 96)
    assert resized(picture[..., :48], 32).shape == (1, 1, 32, 32)
    assert resized(picture, None) is picture
    whole, sized = make_reconstructor("lenet", 3, 1, seed=1).eval(), make_reconstructor("lenet", 3, 1, size=32, seed=1).eval()
    assert torch.equal(sized(picture, picture)[0], whole(small, small)[0])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_reconstructor("lenett", 3, 1), "did you mean 'lenet'"),
        (lambda: make_reconstructor("lenet", 0, 1), "at least 1 path"),
        (lambda: make_reconstructor("resnet", 3, 3, size=8), "at least 32 pixels"),
        (lambda: make_reconstructor("lenet", 3, 1)(torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)), "at least 32 pixels"),
        (lambda: make_reconstructor("lenet", 3, 1)(torch.zeros(2, 3, 32, 32), torch.zeros(2, 3, 32, 32)), "1 channels.* have 3"),
        (lambda: check_fits(make_reconstructor("lenet", 3, 1), 4, 1), "3 paths .* 4 paths"),
        (lambda: read_reconstructor({"a": torch.zeros(1)}), "holds no reconstructor"),
        (lambda: read_reconstructor("nowhere.pt"), "There is no file"),
    ],
)
def test_bad_input_is_named(make, says: str) -> None:
    with pytest.raises(SemanifoldError, match=says):
        make()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "reconstructor.pt"
    save_reconstructor(make_reconstructor("lenet", 3, 1), file)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(SemanifoldError, match=r"reconstructor\.pt .*cut short"):
        read_reconstructor(file)
    network = make_reconstructor("lenet", 3, 1).state_dict()
    network.pop("feature_extractor.4.weight")
    with pytest.raises(SemanifoldError, match="does not fit a lenet"):
        read_reconstructor(network)
