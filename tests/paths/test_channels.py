"""Single channels of the styles as paths, other paths in s, and paths of w and w+ carried there."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.edits import Edit, Lattice, in_one_space, traced
from semanifold.edits.operations import combine
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.generators.wrapped import wrap
from semanifold.images.masks import box
from semanifold.paths.channels import DAMPING, channel_gains, channel_paths
from semanifold.paths.closed_form import principal_paths, sefa_paths
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.joint import joint_paths
from semanifold.paths.linear import MOST_TURNED, linear_paths
from semanifold.paths.warped import warped_paths

T = torch.tensor([-1.0, 0, 1])


@pytest.fixture(scope="module")
def network() -> StyleGAN2:
    return StyleGAN2(StyleGAN2Config(size=16, z_dim=6, w_dim=6, channels=(6, 5, 4), mapping_layers=2))


def test_a_channel_moves_alone_by_its_own_spread(network: StyleGAN2, tmp_path: Path) -> None:
    save_paths(channel_paths(network, ["3_2", "0_5"]), tmp_path / "c.safetensors")
    paths = load_paths(tmp_path / "c.safetensors")
    assert list(paths.info.names.values()) == ["3_2", "0_5"]
    code = network.sample([4], "s")
    spread = network.sample(range(3000), "s").values.std(0)
    for name in ("3_2", "0_5"):
        edit = paths[name]
        place = network.channel_index(name)
        moved = traced(edit, code).latents(code, T).values - code.values
        assert moved[:, place] == pytest.approx(6 * T * spread[place], rel=0.1)
        moved[:, place] = 0
        assert not moved.any()
        assert torch.equal(edit.images(network, code, 0.0), network.images(code))


def test_channels_that_matter_most_come_first(network: StyleGAN2) -> None:
    spread = network.sample(range(500), "s").values.std(0)
    gains = channel_gains(network, spread, None, samples=12, progress=False)
    codes = network.sample(range(40), "s")
    plain, steps = network.images(codes), torch.diag(0.01 * spread)
    truth = torch.stack([(network.images(codes.moved(step[None])) - plain).square().mean() for step in steps])
    assert torch.corrcoef(torch.stack([gains.log(), truth.log()]))[0, 1] > 0.95
    paths = channel_paths(network, k=5, samples=12, progress=False)
    assert len(paths) == 5
    assert network.channel_index(paths.name_of(0)) in truth.argsort(descending=True)[:3].tolist()


def test_channels_inside_a_mask_act_there(network: StyleGAN2) -> None:
    mask = box(0, 0, 1, 0.4)
    inside = mask.at(16, 16)[0, 0]

    def share(k: int, mask: object) -> float:
        paths = channel_paths(network, k=k, mask=mask, samples=12, progress=False)
        code = network.sample(range(20), "s")
        plain = network.images(code)
        change = [(edit.images(network, code, 0.01) - plain).square() for edit in paths]
        return sum(float((c * inside).sum() / c.sum()) for c in change) / k

    assert share(3, mask) > share(3, ~mask) + 0.1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"channels": ["9_0"]}, "layers 0"),
        ({"channels": ["0_1", "2_3", "0_1"]}, "0_1 is named 2 times"),
        ({"k": 0}, "1 to 41 such"),
        ({"mask": box(0, 0, 1, 1)}, "covers nothing or everything"),
    ],
)
def test_channels_that_cannot_be(network: StyleGAN2, words: dict, says: str) -> None:
    with pytest.raises(SemanifoldError, match=says):
        channel_paths(network, **words, progress=False)


def test_other_generators_have_no_channels() -> None:
    with pytest.raises(SemanifoldError, match="of a StyleGAN2"):
        channel_paths(wrap(lambda z: z[:, :, None, None].expand(-1, 3, 8, 8), 3))


def test_principal_components_of_styles_are_those_of_their_covariance(network: StyleGAN2) -> None:
    paths = principal_paths(network, "s", 4)
    codes = network.sample(range(20_000, 24_000), "s").values.double()
    _, vectors = torch.linalg.eigh(torch.cov(codes.T))
    agreement = (paths.directions().double() @ vectors.flip(1)[:, :4]).abs()
    assert (agreement.diagonal() > 0.9).all()
    with pytest.raises(SemanifoldError, match="1 to 6 such"):
        principal_paths(network, "s", 7)
    with pytest.raises(SemanifoldError, match="styles already, which no map of"):
        sefa_paths(network, 3, space="s")


def test_joint_axes_and_learned_paths_of_styles(network: StyleGAN2) -> None:
    paths = joint_paths(network, "s", 5, samples=6, progress=False)
    assert paths.what_moves == "s [41]"
    code = network.sample([2], "s")
    assert (paths[0].images(network, code, 1.0) - network.images(code)).abs().max() > 1e-3
    for made in (linear_paths(network, "s", 3), warped_paths(network, "s", 3, 4)):
        index = torch.tensor([0, 2])
        assert made.shifted_images(network, network.sample([1, 2], "s"), index, 0.5).shape == (2, 3, 16, 16)


def test_a_space_too_large_to_be_turned_is_refused() -> None:
    wide = StyleGAN2(StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(1024, 520), mapping_layers=1))
    assert wide.shapes["s"][0] > MOST_TURNED
    with pytest.raises(SemanifoldError, match="4096 dimensions at most"):
        linear_paths(wide, "s", 3, "ortho")


@pytest.mark.parametrize(("space", "layers"), [("w", None), ("w+", None), ("w+", (1, 4))])
def test_paths_are_carried_into_styles(network: StyleGAN2, space: str, layers: tuple[int, int] | None) -> None:
    edit = linear_paths(network, space, 2, layers=layers)[1]
    code = network.sample([5], space)
    carried = edit.embedded(network.spaces["s"], network)
    assert carried.info.space == "s"
    styles = network.convert(code, "s")
    torch.testing.assert_close(carried.images(network, styles, T), edit.images(network, code, T), rtol=1e-4, atol=1e-5)
    channel = channel_paths(network, ["2_1"])[0]
    first, second = in_one_space([edit, channel], network)
    both = combine([traced(first, styles), traced(second, styles)])
    assert (both.images(network, styles, 1.0) - edit.images(network, code, 1.0)).abs().max() > 1e-4


def test_pads_and_seeds_are_carried_into_styles(network: StyleGAN2) -> None:
    code, knots = network.sample([5], "w"), torch.tensor([-1.0, 0, 1])
    a, b = linear_paths(network, "w", 2)
    pad = combine([traced(a, code), traced(b, code)], pad=True)
    carried = pad.embedded(network.spaces["s"], network)
    assert isinstance(carried, Lattice)
    assert carried.dimensions == 2
    assert carried.start == network.convert(code, "s")
    t = torch.stack([knots, -knots], 1)
    torch.testing.assert_close(carried.images(network, carried.start, t), pad.images(network, code, t), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_carried_into_styles(network: StyleGAN2) -> None:
    curved: Edit = warped_paths(network, "w", 2, 4)[0]
    with pytest.raises(SemanifoldError, match="trace it"):
        curved.embedded(network.spaces["s"], network)
    in_z = linear_paths(network, "z", 2)[0]
    with pytest.raises(SemanifoldError, match="only edits of w and w"):
        in_z.embedded(network.spaces["s"], network)
    assert in_one_space([curved, in_z], network) == [curved, in_z]


def test_the_command_line_knows_channels(
    network: StyleGAN2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from semanifold.generators.loading import save_generator

    monkeypatch.chdir(tmp_path)
    save_generator(network, "g.safetensors")
    where = ["--generator", "g.safetensors", "--device", "cpu"]
    assert cli.main(["directions", "channels", "--channels", "3_2", "0_5", *where, "--out", "d"]) == 0
    assert cli.main(["render", "d:3_2", *where, "--seed", "1", "--frames", "4", "--out", "a"]) == 0
    assert cli.main(["render", "d/paths.safetensors", "--path", "0_5", *where, "--seed", "1", "--frames", "4", "--out", "b"]) == 0
    assert cli.main(["directions", "pca", "--space", "w", "--k", "2", *where, "--out", "p"]) == 0
    assert cli.main(["combine", "a", "p:0", *where, "--seed", "1", "--frames", "4", "--out", "both"]) == 0
    capsys.readouterr()
    for words, says in (
        (["render", "d:3_3", *where], "3_2"),
        (["directions", "channels", "--channels", "3_99", *where], "3_0 to 3_4"),
        (["directions", "channels", "--space", "w", *where], "leave --space"),
        (["directions", "pca", "--channels", "3_2", *where], "leave --channels out"),
        (["directions", "channels", "--channels", "3_2", "--mask", "box:0,0,1,0.5", *where], "leave --mask or --channels out"),
    ):
        assert cli.main([*words, "--out", "x"]) == 2
        assert says in capsys.readouterr().err
    assert not Path("x").exists()


def test_gains_inside_of_a_mask_are_ratios_and_squares_without_one(network: StyleGAN2) -> None:
    spread = network.sample(range(50), "s").values.std(0)
    for mask, times in ((None, 1e-6), (box(0, 0, 1, 0.5), 1)):
        seen: list[dict[str, int]] = []
        once, less = (channel_gains(network, scale * spread, mask, samples=2, progress=seen.append) for scale in (1, 1e-3))
        torch.testing.assert_close(less, times * once, rtol=1e-4, atol=0)
        assert [(now["step"], now["steps"]) for now in seen] == 2 * [(1, 2), (2, 2)]
        assert mask is None or once.max() < 0.9 / DAMPING, "what changes outside counts"
    assert len(channel_paths(network, k=1, samples=2, progress=False)) == 1
    grey = copy.deepcopy(network)
    for name, weight in grey.named_parameters():
        weight.data.mul_("colours" not in name)
    with pytest.raises(SemanifoldError, match="changes anything there"):
        channel_paths(grey, k=1, samples=2, progress=False)


def test_a_generator_without_styles_has_no_channels() -> None:
    with pytest.raises(SemanifoldError, match="Channels are those of"):
        channel_paths(wrap(lambda z: z[:, :3, None, None].expand(-1, 3, 8, 8), 4), k=1, progress=False)
