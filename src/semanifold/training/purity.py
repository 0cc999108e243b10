"""Purity: how far each path changes pictures in a way of its own, at the codes where that has been measured beforehand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.progress import Watch, watching
from semanifold.generators.base import Generator
from semanifold.paths.base import LatentPaths, PathSet
from semanifold.paths.joint import logarithms
from semanifold.paths.local_metrics import local_metrics

STEPS, RATE = 1500, 0.01
"""Steps of Adam before a training, and their rate."""

TOGETHER, IN_THE_DARK = 3.0, 4.0
"""Weights of what pictures say of two paths, and of what pictures do not show of one; the rest has the weight 1."""


@dataclass(frozen=True, eq=False)
class Purity:
    """What a training knows of how pictures change around some codes, so that mixed paths cost something without a picture.

    Attributes:
        codes: ``[n, *moving]`` the part of codes that moves.
        strengths: ``[n, m, m]`` logarithms of the metrics of their pictures over m displacements, each of trace 0,
            their eigenvalues 1 in the root mean square.
        natural: ``[d, e]`` from displacements of a code to natural coordinates, in which random codes are standard normal.
        visible: ``[m, e]`` these m displacements in natural coordinates, orthonormal: those that change pictures most.
    """

    codes: Tensor
    strengths: Tensor
    natural: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.codes)

    def mixing(self, paths: LatentPaths) -> Tensor:
        """Return how mixed the paths are: 0 if every one changes pictures, and codes, in a way of its own.

        The sum of three: the squared products of a path with all others in the logarithm of the picture's metric, three times;
        the squared cosines between them in natural coordinates; and the share of a displacement that pictures do not show,
        four times; means over codes and paths. The first is the criterion of joint diagonalisation (Cardoso & Souloumiac 1996,
        section 2) and of :func:`~semanifold.paths.joint.joint_paths`, where the frame is the same at all codes and orthonormal;
        here without the second two paths may lean on each other, and without the third a path may lie where nothing is seen.

        Args:
            paths: K paths of codes.
        """
        moved = self.steps(paths)
        # what pictures show of them, and what pictures say of it
        seen = moved @ self.visible.T  # [n, K, m]
        together = off_diagonal(seen @ self.strengths @ seen.mT)
        dark = (1 - seen.square().sum(-1)).mean()
        return TOGETHER * together + off_diagonal(moved @ moved.mT) + IN_THE_DARK * dark

    def steps(self, paths: LatentPaths) -> Tensor:
        """Return where all K paths lead from the codes by small steps: ``[n, K, e]`` unit rows in natural coordinates."""
        return F.normalize(paths.shifts(self.codes).flatten(2) @ self.natural, dim=-1)

    @torch.no_grad()
    def of(self, paths: PathSet) -> float:
        """Return how mixed the paths are, as a number."""
        assert isinstance(paths, LatentPaths)
        return float(self.mixing(paths))

    def unmix(self, paths: PathSet, *, steps: int | None = None, progress: Watch = None) -> None:
        """Lower :meth:`mixing` alone, in place, without a picture or a reconstructor; to be done before a training.

        A reconstructor is content with the mixtures that it finds, and paths from random starts are far from pure ones: in a
        training, which sees few codes for each of its pictures, they would not get there.

        Args:
            paths: of codes; those without parameters stay.
            steps: of Adam; :data:`STEPS` when None.
            progress: called with ``step`` and ``steps``. A bar when None, nothing when False.
        """
        assert isinstance(paths, LatentPaths)
        steps = steps or STEPS
        learning = [value for value in paths.parameters() if value.requires_grad]
        if not learning:
            return
        optimiser = torch.optim.Adam(learning, RATE, fused=learning[0].device.type in ("cpu", "cuda"))
        with watching(progress, f"unmixing {len(paths)} paths") as tell:
            for step in range(steps):
                # falling to 0 over the second half, or paths would tremble about where they belong
                optimiser.param_groups[0]["lr"] = RATE * min(1, 2 * (1 - step / steps))
                optimiser.zero_grad()
                self.mixing(paths).backward()
                optimiser.step()
                tell({"step": step + 1, "steps": steps})
        optimiser.zero_grad()


def off_diagonal(products: Tensor) -> Tensor:
    """Return the mean over matrices ``[..., k, k]`` and rows of the sum of the squares that are not on the diagonal."""
    squares = products.square()
    return (squares.sum((-2, -1)) - squares.diagonal(dim1=-2, dim2=-1).sum(-1)).mean() / products.shape[-1]


def check_purity(generator: Generator, space: str | None) -> None:
    """Refuse paths whose purity is not measured, before they are made.

    Args:
        generator: makes the pictures.
        space: of the paths; None if they are of weights.

    Raises:
        SemanifoldError: for paths in weights or in spaces of several layers.
    """
    known = dict.fromkeys((generator.first_space, generator.path_space))
    if space not in known:
        raise SemanifoldError(f"How pure paths are is measured for paths of {' and '.join(known)} only; leave lambda_pure= out.")


def purity_of(generator: Generator, paths: PathSet, *, samples: int = 128, seed: int = 0, progress: Watch = None) -> Purity:
    """Return what the paths' purity is measured by: the metrics that ``directions joint`` diagonalises.

    Args:
        generator: makes the pictures.
        paths: of z or w.
        samples: codes whose metrics are taken.
        seed: of these codes.
        progress: called with ``step`` and ``steps``. A bar when None, nothing when False.

    Raises:
        SemanifoldError: see :func:`check_purity`.
    """
    check_purity(generator, paths.info.space if isinstance(paths, LatentPaths) else None)
    assert isinstance(paths, LatentPaths)
    local = local_metrics(generator, paths.info.space, len(paths), samples=samples, seed=seed, progress=progress)
    # logarithms, as there; what all directions have in common says nothing, and the scale would be that of lambda_pure
    strengths = logarithms(local.metrics)
    size = strengths.shape[-1]
    strengths = strengths - strengths.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] * torch.eye(size).to(strengths)
    strengths = strengths / (strengths.square().sum((1, 2)).mean() / size).sqrt().clamp(min=torch.finfo(strengths.dtype).tiny)
    natural = local.coordinates.inverse(torch.eye(local.basis.shape[1]).to(local.basis))
    return Purity(local.codes, strengths.to(local.basis), natural, local.basis)
