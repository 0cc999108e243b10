"""Encoders: what they read, how they are trained, kept and taken up, and inversions that begin at what they read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.core.solutions import Result
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.generators.wrapped import wrap
from semanifold.inversion import (
    EncoderSettings,
    InversionSettings,
    encoder_steps,
    encoder_training,
    invert,
    load_encoder,
    save_encoder,
    train_encoder,
)
from semanifold.inversion.encoder import Encoder, encoder_of
from semanifold.inversion.encoder_training import disturbed
from semanifold.inversion.measures import edit_consistency
from semanifold.storage.tensors import read_header, read_tensors, write_tensors

SHORT = EncoderSettings(steps=40, batch=8, seed=3)


@pytest.fixture(scope="module")
def world() -> Generator:
    """A small generator."""
    return SmallWorld()


@pytest.fixture(scope="module")
def encoder(world: Generator) -> Encoder:
    """Its encoder."""
    return train_encoder(world, SHORT, progress=False).unwrap()


def test_an_encoder_reads_pictures_that_it_never_saw(world: Generator, encoder: Encoder) -> None:
    codes = world.sample(range(-40, 0))
    read = encoder.codes(world.images(codes), world)
    assert read.space == encoder.space == "z"
    assert read.values.shape == codes.values.shape
    error = (read.values - codes.values).square().mean()
    assert error < 0.75 * codes.values.square().mean(), "better than the mean code"
    assert not any(parameter.requires_grad for parameter in world.parameters())


def test_an_inversion_that_begins_there_compares_no_random_codes(world: Generator, encoder: Encoder) -> None:
    target = world.images(world.sample([500]))
    plain = invert(world, target, InversionSettings(starts=16, steps=40), progress=False)
    ours = invert(world, target, InversionSettings(starts=16, steps=40), encoder=encoder, progress=False)
    assert ours.stats["start"] in ("the encoder's code", "the mean")
    assert ours.stats["psnr"] >= 45
    assert ours.stats["evaluations"] < plain.stats["evaluations"]
    other = wrap(lambda z: z[:, :, None, None].expand(-1, -1, 8, 8), (3,), name="other")
    with pytest.raises(SemanifoldError, match=r"was trained for small .*, not for other"):
        invert(other, torch.zeros(3, 8, 8), encoder=encoder)


def test_a_training_goes_on_bit_for_bit(world: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_training, "CHECKPOINT_EVERY", 5)
    state, short = tmp_path / "state", EncoderSettings(steps=12, batch=8, seed=3)
    for step in encoder_steps(world, short, checkpoint=state):
        if step.step == 8:  # the last state is that of step 5
            break
    assert read_header(state)["step"] == 5
    again = train_encoder(world, short, checkpoint=state, progress=False)
    assert again.result is Result.STEPS
    whole = train_encoder(world, short, progress=False).unwrap()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, again.value.network.state_dict()[name]), name
    with pytest.raises(SemanifoldError, match="the state of another training; remove it"):
        train_encoder(world, EncoderSettings(steps=13, batch=8), checkpoint=state, progress=False)
    _, tensors, _ = read_tensors(state, "state")
    write_tensors(state, {name: t for name, t in tensors.items() if name != "draws"}, read_header(state) | {"crc32": None})
    with pytest.raises(SemanifoldError, match="damaged"):
        train_encoder(world, short, checkpoint=state, progress=False)


def test_a_file_reads_as_its_encoder(world: Generator, encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "encoder.safetensors"
    save_encoder(encoder, file)
    pictures = world.images(world.sample([1, 2]))
    again = load_encoder(file, world)
    torch.testing.assert_close(again.codes(pictures, world).values, encoder.codes(pictures, world).values, atol=0.02, rtol=0.02)
    header, tensors, _ = read_tensors(file, "encoder")
    write_tensors(file, {name: t for name, t in tensors.items() if not name.startswith("head.3")}, header)
    with pytest.raises(SemanifoldError, match="its tensors are not those of an encoder"):
        load_encoder(file, world)
    write_tensors(file, tensors | {"head.3.bias": tensors["head.3.bias"] * float("nan")}, header)
    with pytest.raises(SemanifoldError, match="it holds NaN or infinite values"):
        load_encoder(file, world)
    write_tensors(file, tensors, header | {"code": [60000, 60000]})
    with pytest.raises(SemanifoldError, match=r"at most 65,536 are read"):
        load_encoder(file, world)
    write_tensors(file, tensors, header | {"fingerprint": "another"})
    with pytest.raises(SemanifoldError, match="was trained for"):
        load_encoder(file, world)
    write_tensors(file, tensors, {"format": "semanifold-pool-1"})
    with pytest.raises(SemanifoldError, match="no encoder that this version reads"):
        load_encoder(file, world)


def test_codes_of_all_layers_begin_at_one_that_is_read(tmp_path: Path) -> None:
    """StyleGAN2: the encoder reads w, the search is in w+."""
    faces = load_generator("faces")
    one = train_encoder(faces, EncoderSettings(steps=2, batch=2), progress=False).unwrap()
    assert (one.space, one.shape) == ("w", (128,))
    solution = invert(faces, faces.images(faces.sample([5])), InversionSettings(steps=2), encoder=one, progress=False)
    assert solution.value.space == "w+"
    assert solution.stats["start"] in ("the mean", "the encoder's code")
    assert solution.stats["evaluations"] < 12


def test_disturbed_pictures_stay_pictures() -> None:
    pictures = torch.rand(4, 3, 32, 32) * 2 - 1
    draws = torch.Generator().manual_seed(0)
    assert torch.equal(disturbed(pictures, draws, 0), pictures)
    other = disturbed(pictures, draws, 1)
    assert other.abs().max() <= 1
    assert 0.01 < (other - pictures).abs().mean() < 0.3
    assert not torch.equal(other, disturbed(pictures, draws, 1))


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"batch": 0}, {"rate": float("nan")}, {"pictures": -1}, {"disturbance": 11}, {"seed": 2**63}]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(SemanifoldError, match=next(iter(wrong))):
        EncoderSettings(**wrong)  # type: ignore[arg-type]


def test_pictures_of_pictures_have_no_codes_to_read() -> None:
    with pytest.raises(SemanifoldError, match="there is nothing to read"):
        encoder_steps(load_generator("facemaps"))


def test_inversions_begin_at_what_the_encoder_that_comes_with_the_faces_reads() -> None:
    """Unless there is a mask or a start, or none is wanted; so does the second one, which tells whether edits can be undone."""
    faces, short = load_generator("faces"), InversionSettings(steps=1, starts=3, tries=1)
    target = faces.images(faces.sample([5]))

    def names(**options: object) -> set[str]:
        return set(invert(faces, target, short, progress=False, **options).stats["starts"])  # type: ignore[arg-type]

    assert names() == {"the encoder's code"}
    assert "the encoder's code" not in names(encoder=None) | names(mask="box:0,0,1,0.5") | names(start=3)
    words: list[str] = []
    edit_consistency(faces, faces.sample([5], "w+"), short, progress=lambda report: words.append(report.get("starts")))
    assert set(words) == {None}
    edit_consistency(
        faces, faces.sample([5], "w+"), short, encoder=None, progress=lambda report: words.append(report.get("starts"))
    )
    assert set(words) == {None, "4 of 4 starts compared"}
    with pytest.raises(SemanifoldError, match='"own", or None'):
        names(encoder="faces")
    assert encoder_of(SmallWorld(), "own") is None
