from dataclasses import replace

import pytest
import torch

from semanifold import SemanifoldError, wrap
from semanifold.core.minimise import Evaluation
from semanifold.generators.coordinates import PLAIN, Coordinates
from semanifold.generators.loading import load_generator
from semanifold.images.distances import FeatureDistance
from semanifold.inversion import InversionSettings, curvature, invert, load_encoder, save_encoder
from semanifold.inversion.curvature import Curvature, chunk_of, mean_curvature, rows_at
from semanifold.inversion.solve import decibels
from semanifold.storage.tensors import read_tensors, write_tensors

ROWS = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))


def test_rows_are_those_of_the_derivatives_product():
    matrix = torch.randn(12, 4, generator=torch.Generator().manual_seed(1)) * torch.tensor([3.0, 1.0, 0.3, 0.1])
    linear = wrap(lambda z: (z @ matrix.T).reshape(-1, 3, 2, 2), 4)
    codes = linear.sample(range(400))
    found = Curvature.of(rows_at(linear, codes, lambda made: made.flatten(1), 2, draws=2))
    assert found.rows.shape == (800, 4)
    assert found.damping == 1 / 800
    wanted = 2 * matrix.T @ matrix  # the second derivative of the squared difference
    torch.testing.assert_close(found.rows.T @ found.rows, wanted, atol=0.15 * float(wanted.max()), rtol=0)
    kept = mean_curvature(linear, codes[:50], PLAIN, None, seed=3)
    assert kept.damping == 1 / 400
    assert kept.rows.shape == (4, 4)
    torch.testing.assert_close(12 * kept.rows.T @ kept.rows, wanted, atol=0.2 * float(wanted.max()), rtol=0)


def test_the_inverse_is_that_of_the_matrix_and_its_damping():
    flat = ROWS.flatten(1).double()
    damping = torch.linalg.matrix_norm(flat, 2) ** 2 / 20
    wanted = torch.linalg.inv(flat.T @ flat + damping * torch.eye(6))
    x = torch.randn(1, 2, 3)
    torch.testing.assert_close(Curvature(ROWS, 0.05).inverse()(x).flatten(), (wanted @ x.flatten().double()).float())


def test_natural_rows_give_the_same_gradients(monkeypatch):
    monkeypatch.setattr(torch.func, "vjp", lambda *_: pytest.fail("its first use imports a compiler, for a second and a half"))
    lower = torch.randn(3, 3)
    coordinates = Coordinates(within=lower @ lower.T, across=torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
    u = torch.randn(4, 2, 3)
    torch.testing.assert_close(
        torch.einsum("rld,nld->rn", Curvature(ROWS, 0.2).natural(coordinates).rows, u),
        torch.einsum("rld,nld->rn", ROWS, coordinates.displacements(u)),
    )


def test_rows_that_are_kept_leave_what_they_do_not_tell_unknown(monkeypatch):
    steep = wrap(lambda z: (z * torch.tensor([4.0, 2.0, 1.0, 0.5])).reshape(-1, 1, 2, 2), 4)
    monkeypatch.setattr(curvature, "KEPT", 2)
    kept = mean_curvature(steep, steep.sample(range(200)), PLAIN, None, seed=3)
    assert kept.rows.shape == (2, 4)
    assert kept.damping == pytest.approx(1 / 16, rel=0.1)


def test_large_pictures_are_differentiated_one_at_a_time():
    def blank(side):
        return wrap(lambda z: z[:, :1, None, None].expand(-1, 3, side, side), 4)

    sizes = {side: chunk_of(blank(side), None) for side in (16, 128, 256, 1024)}
    assert sizes == {16: 16, 128: 16, 256: 4, 1024: 1}
    assert chunk_of(load_generator("faces"), 32) == 16


def test_what_is_lowered_cannot_fall_below_nothing():
    at = Evaluation(0.3, torch.randn(1, 2, 3), {})
    strong = Curvature(1e-3 * ROWS, 0.05).fitted(at)
    assert strong is not None
    assert float((at.gradient * strong.inverse()(at.gradient)).sum()) == pytest.approx(0.6, rel=1e-3)
    assert torch.equal(Curvature(1e3 * ROWS, 0.05).fitted(at).rows, 1e3 * ROWS)
    assert Curvature(0 * ROWS, 0.05).fitted(at) is None
    for odd in (ROWS / 0, 1e-170 * ROWS.double(), 1e200 * ROWS.double()):
        assert Curvature(odd, 0.05).fitted(at) is None
    assert decibels(float("inf")) == -float("inf")


def test_squared_differences_of_unit_features_are_their_distance():
    distance = FeatureDistance(load_generator("faces").world.features)
    a, b = torch.rand(2, 2, 3, 64, 64)
    made = (distance.numbers(a) - distance.numbers(b)).square().sum(1)
    torch.testing.assert_close(made, distance(a, b), rtol=1e-4, atol=1e-6)


def test_the_curvature_of_the_faces_says_how_far_pictures_and_features_move():
    faces = load_generator("faces")
    codes = faces.example(range(50, 58), "w")
    kept = mean_curvature(faces, codes, PLAIN, None, seed=0)
    step = 0.02 * (codes.values[0] - codes.values[1])
    before, after = faces.images(codes), faces.images(codes.moved(step[None]))
    moved = (after - before).square().flatten(1).mean(1) + FeatureDistance(faces.world.features)(after, before)
    assert 0.6 < float(moved.mean() / (0.5 * (kept.rows @ step).square().sum())) < 1.5


def test_pictures_of_the_faces_are_found_in_a_few_steps():
    faces, analytic = load_generator("faces"), load_generator("analytic")
    for source, most, least in ((faces, 12, 44.0), (analytic, 35, 34.0)):
        found = invert(faces, source.images(source.sample([200001])).clamp(-1, 1), progress=False).stats
        assert found["evaluations"] <= most
        assert found["psnr"] > least


def test_without_an_encoder_the_starts_tell_it(monkeypatch):
    faces, analytic = load_generator("faces"), load_generator("analytic")
    target = analytic.images(analytic.sample([200001])).clamp(-1, 1)
    few = InversionSettings(starts=8, tries=1, steps=6, tolerance=0)

    def lowered():
        return invert(faces, target, few, encoder=None, progress=False).stats["objective"]

    known = lowered()
    monkeypatch.setattr(Curvature, "fitted", lambda self, at: None)
    assert known < 0.9 * lowered()


def test_an_encoders_file_keeps_it_and_older_files_do_without(tmp_path):
    faces = load_generator("faces")
    shipped = faces.world.encoders[faces.fingerprint]
    encoder = load_encoder(shipped, faces)
    assert encoder.curvature.rows.shape == (48, *faces.spaces["w+"].shape)
    assert encoder.curvature_in("w+", faces) is encoder.curvature
    torch.testing.assert_close(encoder.curvature_in("w", faces).rows, encoder.curvature.rows.sum(1))
    assert encoder.curvature_in("s", faces) is None
    rows = encoder.curvature.rows + 1e-3
    save_encoder(replace(encoder, curvature=Curvature(rows, 0.25)), tmp_path / "near.safetensors")
    near = load_encoder(tmp_path / "near.safetensors", faces).curvature
    assert near.damping == 0.25
    assert float((near.rows - rows).abs().flatten(1).amax(1).div(rows.abs().flatten(1).amax(1)).max()) < 0.5 / 127 + 1e-5
    save_encoder(encoder, tmp_path / "again.safetensors")
    torch.testing.assert_close(load_encoder(tmp_path / "again.safetensors", faces).curvature.rows, encoder.curvature.rows)

    read = read_tensors(shipped)
    older = {name: tensor for name, tensor in read.tensors.items() if "curvature" not in name}
    write_tensors(tmp_path / "older.safetensors", older, read.header)
    assert load_encoder(tmp_path / "older.safetensors", faces).curvature is None
    odd = [(torch.ones(shape), torch.ones(shape[0])) for shape in ((2, 3), (257, 10, 128), (0, 10, 128))]
    odd += [(torch.ones(2, 10, 128), largest) for largest in (torch.full((2,), torch.nan), torch.ones(3))]
    for rows, largest in odd:
        forged = {"curvature.rows": rows.to(torch.int8), "curvature.largest": largest}
        write_tensors(tmp_path / "odd.safetensors", older | forged, read.header)
        with pytest.raises(SemanifoldError, match="damaged"):
            load_encoder(tmp_path / "odd.safetensors", faces)
