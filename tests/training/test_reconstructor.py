"""Reconstructors against the numbers of the published code, their files, and bad input."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from support.formula_weights import formula_state
from support.reference import GRADIENTS, REFERENCE, agree, numbers, settings

from semanifold.core.errors import SemanifoldError
from semanifold.training.reconstructor import (
    check_fits,
    make_reconstructor,
    read_reconstructor,
    resized,
    save_reconstructor,
)

VARIANTS = settings("reconstructor")["variants"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_equal_to_the_published_networks(variant: str) -> None:
    config, expected = VARIANTS[variant], numbers("reconstructor", variant)
    if config["weights"] == "file":
        network = read_reconstructor(REFERENCE / "reconstructor" / variant / "models" / "reconstructor.pt")
    else:
        network = make_reconstructor(config["reconstructor_type"], config["dim"], config["channels"])
        assert list(network.state_dict()) == list(config["state_dict"])
        network.load_state_dict(formula_state(config))
    assert (network.paths, network.channels) == (config["dim"], config["channels"])
    network.eval()
    first, second = expected["x1"].requires_grad_(), expected["x2"].requires_grad_()
    scores, magnitudes = network(first, second)
    agree(scores, expected["logits"])
    agree(magnitudes, expected["magnitude"])
    named = F.cross_entropy(scores, expected["target_index"])
    measured = (magnitudes - expected["target_magnitude"]).abs().mean()
    weight = (expected["losses"][2] - expected["losses"][0]) / expected["losses"][1]
    total = named + weight * measured
    agree(torch.stack([named, measured, total]), expected["losses"])
    total.backward()
    assert first.grad is not None
    agree(first.grad, expected["grad_x1"], GRADIENTS)


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
        (lambda: check_fits(make_reconstructor("lenet", 3, 1), 4, (1, 32, 32)), "3 paths .* 4 paths"),
        (lambda: check_fits(make_reconstructor("lenet", 3, 1), 3, (1, 64, 16)), "at least 32 pixels, but these have 16"),
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
