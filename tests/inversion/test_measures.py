import pytest
import torch
from support.small_world import SmallWorld

from semanifold.core.errors import SemanifoldError
from semanifold.generators.loading import load_generator
from semanifold.inversion import InversionSettings
from semanifold.inversion.measures import edit_consistency, style_distance


def test_an_edit_of_a_code_that_can_be_found_again_is_undone():
    world = SmallWorld()
    code = world.sample([500])
    kept = edit_consistency(world, code, InversionSettings(starts=16, enough=60), progress=False)
    assert kept.psnr > 40
    assert kept.psnr > kept.edited + 10
    nothing = edit_consistency(world, code, InversionSettings(starts=0, tries=1, steps=1, tolerance=1), progress=False)
    assert nothing.psnr < kept.psnr - 10

    def later(report):
        if report["step"] > 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # a number of half a search says nothing
        edit_consistency(world, code, InversionSettings(starts=16, enough=200, tolerance=0), progress=later)
    with pytest.raises(SemanifoldError, match="moves codes"):
        edit_consistency(world, code, displacement=torch.zeros(1, 5))


def test_styles_of_own_codes_are_usual_and_those_of_far_ones_are_not():
    faces = load_generator("faces")
    near, usual = style_distance(faces, faces.sample([77], "w"))
    again, _ = style_distance(faces, faces.sample([77], "w+"))
    assert again == pytest.approx(near, abs=1e-6)
    assert 0.2 * usual < near < 5 * usual
    far = faces.sample([77], "w+")
    noise = torch.randn(far.values.shape, generator=torch.Generator().manual_seed(0)) * far.values.std() * 3
    assert style_distance(faces, far.moved(noise))[0] > 2 * usual
    assert style_distance(SmallWorld(), SmallWorld().sample([1])) is None


def test_the_style_distance_is_the_published_formula():
    faces = load_generator("faces")
    code = faces.sample([3], "w+")
    own = faces.layer_styles(faces.sample(range(256), "w"))
    mine = faces.layer_styles(code)
    names = [f"convs.{i}" for i in range(len(faces.convs))] + [f"colours.{len(faces.colours) - 1}"]
    assert len(names) == faces.spaces["w+"].layers
    near = 0.0
    for name in names:
        anchor = torch.stack([style / style.norm() for style in own[name]]).mean(0)
        near += float(mine[name][0] @ anchor / mine[name][0].norm()) / len(names)
    assert style_distance(faces, code)[0] == pytest.approx(1 - near, abs=1e-5)
