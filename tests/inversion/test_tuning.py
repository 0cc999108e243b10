import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.core.solutions import Result
from semanifold.edits import load_edit, save_edit
from semanifold.generators.loading import load_generator
from semanifold.inversion import InversionSettings, TuningSettings, tune, tuning_steps
from semanifold.inversion.tuning import tuned_layers


@pytest.fixture(scope="module")
def faces():
    return load_generator("faces")


def test_the_tuned_picture_is_nearer_the_edit_is_a_file_like_any_and_other_pictures_stay(faces, tmp_path):
    code, target = faces.sample([7], "w+"), faces.images(faces.sample([7])) * 0.9
    before = faces.fingerprint
    solution = tune(faces, code, target, TuningSettings(steps=12), progress=False)
    edit, stats = solution.value, solution.stats
    assert solution.result is Result.STEPS
    assert stats["psnr"] > stats["before"] + 8, "the pictures that are held do not hold this one back"
    assert stats["others"] > 32
    assert faces.fingerprint == before
    save_edit(edit, tmp_path / "edit.safetensors")
    again = load_edit(tmp_path / "edit.safetensors")
    assert torch.equal(again.images(faces, code, 0.0), faces.images(code))
    near = (again.images(faces, code, 1.0) - target).square().mean()
    assert 10 * torch.log10(4 / near) == pytest.approx(stats["psnr"], abs=0.05)
    assert torch.equal(again.start.values, code.values)
    assert edit.info.fingerprint == before


def test_without_its_regularisation_other_pictures_go_astray(faces):
    code, target = faces.sample([7], "w+"), faces.images(faces.sample([9]))
    kept, free = (
        tune(faces, code, target, TuningSettings(steps=4, locality=weight), progress=False).stats["others"]
        for weight in (10.0, 0.0)
    )
    assert kept > free + 3


def test_kernels_behind_the_code_are_tuned_and_maps_of_styles_are_not(faces):
    layers = tuned_layers(faces, faces.sample([7], "w"))
    assert "convs.4" in layers
    assert not any(layer.startswith("mapping") or layer.endswith("affine") for layer in layers)
    assert any(layer.startswith("mapping") for layer in tuned_layers(faces, faces.sample([7])))


def test_it_stops_where_it_is_near_enough_and_ctrl_c_keeps_what_there_is(faces):
    code = faces.sample([7], "w+")
    done = tune(faces, code, faces.images(code), TuningSettings(steps=50), progress=False)
    assert (done.result, done.stats["steps"]) == (Result.CONVERGED, 0)

    def interrupt(report):
        if report["step"] == 2:
            raise KeyboardInterrupt

    target = faces.images(faces.sample([9]))
    assert tune(faces, code, target, TuningSettings(steps=50, locality=0), progress=interrupt).result is Result.INTERRUPTED


def test_a_gradient_of_nan_fails_in_a_sentence(faces):
    code, steps = faces.sample([1], "w"), TuningSettings(steps=3, locality=0)

    def bent(x, y):
        return (x - y).square().mean((1, 2, 3)) + 0 * (x - x).sqrt().sum((1, 2, 3))

    picture = faces.images(faces.sample([2], "w"))
    with pytest.raises(SemanifoldError, match="The objective or its gradient became infinite or NaN"):
        tune(faces, code, picture, steps, distance=bent)
    left = tune(faces, code, picture, steps, distance=bent, throw=False)
    assert left.result is Result.DIVERGED
    assert torch.allclose(left.value.images(faces, code, 1.0), faces.images(code), atol=1e-4), "what is left changes nothing"


def test_what_does_not_fit_is_refused(faces):
    world, picture = SmallWorld(), torch.zeros(1, 1, 16, 16)
    with pytest.raises(SemanifoldError, match="no layer whose weights"):
        tune(world, world.sample([1]), picture)
    with pytest.raises(SemanifoldError, match="one pivot"):
        next(tuning_steps(faces, faces.sample([1, 2]), torch.zeros(1, 3, 64, 64), TuningSettings()))
    with pytest.raises(SemanifoldError, match="makes pictures"):
        tune(faces, faces.sample([1]), picture)
    bad = {"inversion": InversionSettings(distance="l2"), "settings": TuningSettings(steps=2, locality=0)}
    with pytest.raises(SemanifoldError, match="infinite or NaN"):
        tune(
            faces,
            faces.sample([1]),
            torch.zeros(1, 3, 64, 64),
            **bad,
            distance=lambda x, y: (x - y).flatten(1).sum(1) * float("nan"),
        )
