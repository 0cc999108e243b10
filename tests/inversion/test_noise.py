"""Noise maps: found, kept random, and an edit like any other."""

from pathlib import Path

import pytest
import torch
from support.small_stylegan2 import ARCHITECTURES, codes, make
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.core.solutions import Result
from semanifold.edits import load_edit, save_edit
from semanifold.inversion import InversionSettings, NoiseSettings, fit_noise, noise_steps
from semanifold.inversion.noise import SMALLEST, noise_edit, structure_of

PLAIN = InversionSettings(distance="l2")


def test_structure_is_the_sum_of_squared_correlations_over_a_pyramid() -> None:
    noise = torch.randn(16, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    total = 0.0
    levels = [noise, noise.reshape(8, 2, 16, 2).sum((1, 3)) / 2]  # the mean of four, times 2
    for level in levels:
        h, w = level.shape
        across = sum(float(level[y, x] * level[y, x - 1]) for y in range(h) for x in range(w)) / (h * w)
        down = sum(float(level[y, x] * level[y - 1, x]) for y in range(h) for x in range(w)) / (h * w)
        total += across**2 + down**2
    assert min(levels[-1].shape) == SMALLEST
    assert float(structure_of([noise])) == pytest.approx(total)
    assert float(structure_of([noise, noise])) == pytest.approx(2 * total)
    stripes = torch.ones(16, 16)
    stripes[::2] = -1
    assert structure_of([stripes]) > 10 * structure_of([torch.randn(16, 16, generator=torch.Generator().manual_seed(1))])


def test_maps_of_a_picture_are_found_and_stay_random() -> None:
    generator = make()
    code, other = codes(generator, 1), generator.draw_noise(9)
    target = generator.images(code, noise=other)
    before = generator.fingerprint
    kept, free = (
        fit_noise(generator, code, target, NoiseSettings(steps=40, regularity=weight), PLAIN, progress=False)
        for weight in (1.0, 0.0)
    )
    assert kept.stats["psnr"] > kept.stats["before"] + 6
    assert free.stats["psnr"] > kept.stats["psnr"]
    assert kept.stats["structure"] < 0.5 * free.stats["structure"]
    assert generator.fingerprint == before
    found = {name: generator.noise_maps()[name] + change for name, change in kept.value.deltas.items()}
    for noise in found.values():
        assert float(noise.mean()) == pytest.approx(0, abs=1e-6)
        assert float(noise.square().mean()) == pytest.approx(1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_other_maps_are_an_edit_that_is_saved_played_and_baked(architecture: str, tmp_path: Path) -> None:
    generator = make(architecture)
    code, maps = codes(generator, 1), generator.draw_noise(9)
    edit = noise_edit(generator, code, dict(zip(generator.noise_maps(), maps, strict=True)))
    save_edit(edit, tmp_path / "noise.safetensors")
    again = load_edit(tmp_path / "noise.safetensors")
    pictures = again.images(generator, code, [0.0, 0.5, 1.0])
    assert torch.equal(pictures[:1], generator.images(code))
    torch.testing.assert_close(pictures[2:], generator.images(code, noise=maps), atol=1e-6, rtol=1e-6)
    half = [0.5 * (a + b) for a, b in zip(generator.noise_maps().values(), maps, strict=True)]
    torch.testing.assert_close(pictures[1:2], generator.images(code, noise=half), atol=1e-6, rtol=1e-6)
    baked = again.baked(generator)
    torch.testing.assert_close(baked.images(code), pictures[2:], atol=1e-6, rtol=1e-6)
    assert baked.fingerprint != generator.fingerprint
    assert type(generator).from_state(generator.config, baked.state_dict()).fingerprint == baked.fingerprint
    # one on top of the other
    tuned = again.applied(generator, code, torch.tensor([1.0]))[0]
    twice = again.applied(tuned, code, torch.tensor([1.0]))[0].images(code)
    double = [2 * b - a for a, b in zip(generator.noise_maps().values(), maps, strict=True)]
    torch.testing.assert_close(twice, generator.images(code, noise=double), atol=1e-6, rtol=1e-6)


def test_a_fitting_goes_on_bit_for_bit_and_ctrl_c_keeps_the_nearest(tmp_path: Path) -> None:
    generator = make()
    code = codes(generator, 1)
    target, settings = generator.images(code, noise=generator.draw_noise(9)), NoiseSettings(steps=30)
    state = tmp_path / "state.safetensors"
    for step in noise_steps(generator, code, target, settings, PLAIN, checkpoint=state):
        if step.step == 27:
            break
    steps = list(noise_steps(generator, code, target, settings, PLAIN, checkpoint=state))
    assert steps[0].step == 25
    whole = list(noise_steps(generator, code, target, settings, PLAIN))
    assert all(torch.equal(steps[-1].changes[name], change) for name, change in whole[-1].changes.items())
    assert (steps[-1].before, steps[-1].best.value) == (whole[0].psnr, min(step.value for step in whole))

    def interrupt(report: dict[str, object]) -> None:
        assert report["picture"].shape == (1, 3, 32, 32)  # type: ignore[attr-defined]
        if report["step"] == 29:
            raise KeyboardInterrupt

    stopped = fit_noise(generator, code, target, settings, PLAIN, progress=interrupt)
    assert stopped.result is Result.INTERRUPTED
    assert stopped.stats["psnr"] == max(step.psnr for step in whole[:30])
    with pytest.raises(SemanifoldError, match="state of another tuning"):
        list(noise_steps(generator, code, 0.5 * target, settings, PLAIN, checkpoint=state))


def test_generators_without_noise_are_refused() -> None:
    world = SmallWorld()
    silent = make(double=False).with_noise("none")
    for generator, code in ((world, world.sample([1])), (silent, codes(silent, 1))):
        with pytest.raises(SemanifoldError, match="depend on no noise maps"):
            noise_steps(generator, code, torch.zeros(1, *generator.picture_shape), NoiseSettings(), PLAIN)
