"""Local directions against the dense Jacobian, and what they promise."""

import pytest
import scipy.linalg
import torch
from support.small_world import SmallWorld

from semanifold.core.eigenpairs import generalised_eigenvectors
from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.core.spaces import Space, named
from semanifold.generators.base import Generator
from semanifold.generators.coordinates import Coordinates
from semanifold.generators.wrapped import wrap
from semanifold.images.masks import box
from semanifold.manifolds import local_directions
from semanifold.manifolds.layout import layout_of
from semanifold.manifolds.metric import Metric, metric_of, preconditioner
from semanifold.manifolds.settings import ManifoldSettings

MASK = box(0, 0.5, 1, 1)


def test_they_solve_the_dense_generalised_eigenproblem() -> None:
    world = SmallWorld(torch.float64)
    seed = Latents(world.sample([4]).values.double(), "z")
    jacobian = torch.autograd.functional.jacobian(lambda z: world.images(Latents(z, "z")), seed.values)[0, :, :, :, 0]
    mask = MASK.at(16, 16)[0, 0].double()[..., None]
    a, b = ((jacobian[0] * (m / m.mean()).sqrt()).reshape(-1, 6) for m in (mask, 1 - mask))
    a, b = a.T @ a / 256, b.T @ b / 256
    mu = 0.01 * torch.linalg.eigvalsh(a)[-1]
    values, vectors = scipy.linalg.eigh(a.numpy(), (b + mu * torch.eye(6)).numpy())
    found = local_directions(world, seed, MASK, 3)
    torch.testing.assert_close(found.gains, torch.from_numpy(values[::-1][:3].copy()))
    dense = torch.from_numpy(vectors[:, ::-1][:, :3].copy()).T
    dense = dense / dense.norm(dim=1, keepdim=True)
    torch.testing.assert_close((found.vectors * dense).sum(1).abs(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(found.inside, torch.einsum("ki,ij,kj->k", found.vectors, a, found.vectors))


class Wide(Generator):
    """z [400] -> 1 x 12 x 12 through 20 features: the row space is small and the sketch should find all of it."""

    name, spaces, picture_shape = "wide", named(Space("z", (400,))), (1, 12, 12)

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.register_buffer("first", torch.randn(400, 20, generator=draw, dtype=torch.float64) / 20)
        self.register_buffer("second", torch.randn(20, 144, generator=draw, dtype=torch.float64))
        self.freeze()

    def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
        return torch.tanh(latents.values @ self.first @ self.second).reshape(-1, 1, 12, 12)


def test_a_sketch_of_few_probes_finds_them_in_a_wide_space() -> None:
    world = Wide()
    seed = Latents(world.sample([0]).values.double(), "z")
    exact = local_directions(world, seed, MASK, 2, probes=200)
    assert len(local_directions(world, seed, MASK, probes=24)) == 8, "unless another number is asked for"
    sketch = local_directions(world, seed, MASK, 2, probes=24)
    torch.testing.assert_close(sketch.gains, exact.gains, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        (sketch.vectors * exact.vectors).sum(1).abs(), torch.ones(2, dtype=torch.float64), rtol=1e-5, atol=0
    )


def test_layers_that_may_not_move_stay_zero() -> None:
    world = SmallWorld()
    found = local_directions(world, world.sample([0], "w+"), MASK, 2, layers=(1, 2))
    assert found.vectors.shape == (2, 3, 2)
    assert found.vectors[:, [0, 2]].abs().max() == 0
    assert found.vectors.flatten(1).norm(dim=1).tolist() == pytest.approx([1, 1])


def test_eigenvectors_do_not_depend_on_the_sign_that_lapack_chose() -> None:
    a = torch.diag(torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64))
    values, vectors = generalised_eigenvectors(a, torch.eye(3, dtype=torch.float64))
    assert values.tolist() == pytest.approx([3, 2, 1])
    torch.testing.assert_close(vectors, torch.eye(3, dtype=torch.float64)[[1, 2, 0]])


def test_the_preconditioner_is_the_inverse_of_the_dense_matrix() -> None:
    layout = layout_of(ManifoldSettings(frames=5, schedule="out"), 5)
    inside, outside = (m @ m.T for m in torch.randn(2, 6, 6, dtype=torch.float64))
    metric: Metric = metric_of(torch.eye(6, dtype=torch.float64), inside, outside, 4.0)
    apply = preconditioner(metric, layout, 3.0, 7.0)
    laplacian = torch.zeros(5, 5, dtype=torch.float64)
    for (a, b), weight in zip(layout.springs.pairs, layout.springs.weights):
        edge = torch.zeros(5, dtype=torch.float64)
        edge[a], edge[b] = 1, -1
        laplacian += weight * torch.outer(edge, edge)
    pictures = 6.0 * (inside + 4 * outside)
    floor = 1e-3 * torch.linalg.eigvalsh(pictures)[-1] * torch.eye(24, dtype=torch.float64)
    eye = lambda n: torch.eye(n, dtype=torch.float64)  # noqa: E731
    dense = torch.kron(eye(4), pictures) + torch.kron(14.0 * laplacian[1:, 1:].contiguous(), eye(6)) + floor
    gradient = torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(apply(gradient).flatten(), torch.linalg.solve(dense, gradient.flatten()))


def test_a_code_beyond_all_bounds_is_refused() -> None:
    class Steep(SmallWorld):
        def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
            return super().images(latents, size=size) + (latents.values**3).sum() * 1e30

    world = Steep()
    with pytest.raises(SemanifoldError, match="NaN or infinite amounts"):
        local_directions(world, Latents(torch.full((1, 6), 1e10), "z"), MASK, 2)


def test_a_code_that_the_mask_does_not_answer_to_is_refused() -> None:
    class Still(SmallWorld):
        def images(self, latents: Latents, *, size: int | None = None) -> torch.Tensor:
            return 0 * super().images(latents, size=size)

    with pytest.raises(SemanifoldError, match="Nothing inside the mask"):
        local_directions(Still(), SmallWorld().sample([0]), MASK)
    with pytest.raises(SemanifoldError, match="one code, but got 2 codes"):
        local_directions(SmallWorld(), SmallWorld().sample([0, 1]), MASK)
    with pytest.raises(SemanifoldError, match="at least 1, but it is 0"):
        local_directions(SmallWorld(), SmallWorld().sample([0]), MASK, 0)


def test_changes_are_means_over_the_pixels_of_each_side() -> None:
    """A quarter of the picture answers to z0 with slope 1, and the rest with slope 1/2, whatever their areas are."""
    corner = box(0, 0, 0.5, 0.5)
    inside = corner.at(8, 8)[0]

    def pictures(z: torch.Tensor) -> torch.Tensor:
        return (z[:, 0, None, None, None] * (inside + 0.5 * (1 - inside))).expand(-1, 3, -1, -1)

    found = local_directions(wrap(pictures, 2), Latents(torch.zeros(1, 2), "z"), corner, damping=0.01)
    assert len(found) == 2, "there are no more than dimensions"
    assert float(found.inside[0]) == pytest.approx(1, rel=1e-3)
    assert float(found.outside[0]) == pytest.approx(0.25, rel=1e-3)
    assert float(found.gains[0]) == pytest.approx(1 / (0.25 + 0.01), rel=1e-3)
    torch.testing.assert_close(found.grams[:, :2, :2].sum((1, 2)).float(), torch.tensor([1.0, 0.25]), rtol=1e-3, atol=1e-5)


def test_public_vectors_are_of_unit_length_and_steps_are_in_the_coordinates() -> None:
    """Coordinates that stretch by 3: steps of length 1 there are codes of length 3, and changes are per unit there."""
    world = SmallWorld(torch.float64)
    seed = Latents(world.sample([4]).values.double(), "z")
    plain = local_directions(world, seed, MASK, 3)
    found = local_directions(world, seed, MASK, 3, coordinates=Coordinates(within=3 * torch.eye(6).double()))
    for each in (found.vectors, found.steps):
        torch.testing.assert_close(each.norm(dim=1), torch.ones(3).double())
    torch.testing.assert_close(found.inside, 9 * plain.inside, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.outside, 9 * plain.outside, rtol=1e-4, atol=0)
    torch.testing.assert_close((found.vectors * plain.vectors).sum(1).abs(), torch.ones(3).double())
    assert len(local_directions(world, seed, MASK, 1)) == 1
