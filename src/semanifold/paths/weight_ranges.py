"""How far directions in weights may go: where a change is seen at once, and where pictures stop being the generator's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.core.progress import Watch, watching
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask, as_mask
from semanifold.paths.changes import codes_for, roots_of
from semanifold.paths.weight_axes import WeightSpace
from semanifold.paths.weights import WeightPaths

SEEN = 0.5
"""A change that is seen at once, as a share of the usual difference of two pictures (inside the mask, if any)."""
NEAREST, FARTHEST, NORMS = 2.0**-7, 2.0, 12
"""The norms that are tried, as shares of the norm of the weights themselves: 12 from 1/128 to 2, each 1.66 times the last."""
MOST_T = 2.0
"""No path is used beyond this t, twice the change that is seen at once."""
OWN, UNSEEN, COMPONENTS, SIDE = 96, 32, 48, 32
"""Pictures of the generator that span its manifold, others that say how far its own lie off it, dimensions, and their side."""
STRANGERS = 16
"""Other pictures that say how much two of them usually differ."""
SAME = 1e-5
"""A root mean square difference below this is rounding: the same picture, made in another batch."""
OFF = 0.5
"""Share of the other pictures that lie closer to the manifold than the farthest that counts as being on it."""
BLURRED = 0.1
"""A picture that lost half of its detail is blurred, unless more than this share of the generator's own have even less."""
LEAST = 0.1
"""What is left over counts from this share of the usual difference of two pictures on."""
STALLED = 0.2
"""A change has come to its end where the next step adds less than this share of what steps have added so far."""


@dataclass(frozen=True, eq=False)
class Manifold:
    """The pictures that a generator makes, as the span of some of them at a small size.

    Attributes:
        mean: ``[d]``.
        axes: ``[components, d]`` orthonormal rows.
        others: ``[n, h w]`` what the span leaves over of pictures that did not make it.
        details: ``[n, h w]`` :func:`detail` of all of these pictures.
        size: height and width at which pictures are compared.
    """

    mean: Tensor
    axes: Tensor
    others: Tensor
    details: Tensor
    size: tuple[int, int]

    def left(self, pictures: Tensor) -> Tensor:
        """Return what the span leaves over of pictures ``[n, c, h, w]``: mean squares over channels ``[n, h w]``."""
        rows = small(pictures, self.size).flatten(1) - self.mean
        return (rows - (rows @ self.axes.T) @ self.axes).square().unflatten(1, (pictures.shape[1], -1)).mean(1)


def small(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Return area averages of pictures, as they are shown: clamped to [-1.2, 1.2], so that a burst of light stays finite."""
    return F.adaptive_avg_pool2d(pictures.clamp(-1.2, 1.2), size)


def detail(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Return how much detail pictures ``[n, c, h, w]`` have where: area averages ``[n, h w]`` of their squared gradients."""
    shown = pictures.clamp(-1.2, 1.2)
    squares = shown.diff(dim=2)[..., :-1].square() + shown.diff(dim=3)[..., :-1, :].square()
    return F.adaptive_avg_pool2d(squares.mean(1), size).flatten(1)


def manifold_of(generator: Generator, seed: int, pixels: int | None = None) -> Manifold:
    """Return the manifold of a generator's pictures, made ``pixels`` high: the leading principal components of some of them."""
    # 1. All pictures small: the manifold is about what they show, not about pixels.
    height, width = generator.picture_shape[1:]
    size = (min(SIDE, height), max(1, round(min(SIDE, height) * width / height)))
    codes = codes_for(generator, OWN + UNSEEN, seed, None)
    parts = [codes[list(range(i, min(i + 8, len(codes))))] for i in range(0, len(codes), 8)]
    chunks = []
    for part in parts:
        pictures = generator.images(part, size=pixels)
        chunks.append((small(pictures, size).flatten(1), detail(pictures, size)))
    rows, details = (torch.cat(column) for column in zip(*chunks, strict=True))
    # 2. Principal components of the first OWN pictures.
    mean = rows[:OWN].mean(0)
    axes = torch.linalg.svd(rows[:OWN] - mean, full_matrices=False)[2][:COMPONENTS]
    # 3. What these leave over of pictures that they were not made of is what being on the manifold means.
    made = Manifold(mean, axes, details[:0], details, size)
    return replace(made, others=made.left(rows[OWN:].unflatten(1, (-1, *size))))


@torch.no_grad()
def calibrated(
    paths: WeightPaths,
    generator: Generator,
    mask: str | Mask | None = None,
    *,
    samples: int = 6,
    level: float = SEEN,
    seed: int = 0,
    seeds: Sequence[int] | None = None,
    progress: Watch = None,
) -> WeightPaths:
    """Return the same paths, each as long as it takes for a change that is seen at once, with the range in which it is of use.

    Each path is walked both ways through :data:`NORMS` norms at a few pictures. Three things are read from that:

    1. ``t = 1`` is where the root mean square change (inside the mask, if there is one) reaches ``level`` times the usual
       difference of two pictures, on average over pictures and both signs; at most twice the norm of the weights themselves,
       and no farther than the farther end of the range.
    2. The range ends, for each sign by itself, where half of the pictures have left the generator's manifold, or where the change
       hardly grows any more, or at ``t = 2``. A picture has left the manifold if the 48 leading principal components of 96 of the
       generator's own pictures leave more of it over (inside the mask) than of half of the others, and
       half as much again as of the unedited one; or if it is blurred, which principal components explain well: it has less than
       half of the detail (mean squared gradient) of the unedited one, and less than nine of ten of the generator's own.
    3. The evenness is the smallest over the largest speed (change per norm) within that range: 1 for an even slider.

    Args:
        paths: any in weights.
        generator: that they are for.
        mask: where to look; a name is another mask on every picture.
        samples: pictures to look at.
        level: share of the usual difference.
        seed: of the pictures.
        seeds: their own numbers, instead.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Returns:
        The set; ``info.measured`` has ``low``, ``high`` (the range of t) and ``evenness`` of every path.
    """
    codes = codes_for(generator, samples, seed, seeds)
    masks = [None if mask is None else as_mask(mask, generator, codes[i]) for i in range(len(codes))]
    with watching(progress, "finding how far each path may go") as tell:
        look = Look.at(generator, codes, masks, seed)
        tell({"step": 1, "steps": len(paths) + 1})
        norm = WeightSpace(generator, tuple(paths.layers)).norm
        norms = norm * torch.logspace(math.log2(NEAREST), math.log2(FARTHEST), NORMS, base=2, dtype=torch.float64)  # [NORMS]
        scale, lows, highs, evens = [], [], [], []
        for k in range(len(paths)):
            # 1. Walk both ways. Magnitudes are over the scale that the path has now, since `paths` multiplies by it.
            walks = [look.walk(paths, generator, k, sign * norms / float(paths.scale[k])) for sign in (1.0, -1.0)]
            # 2. Where a change is seen, on average over both ways and all pictures.
            seen = _crossing(norms, torch.stack([walk.change for walk in walks]).mean((0, 2)), level)
            ends = [walk.end(norms) for walk in walks]
            # 3. t = 1 lies there, but not behind the farther end of the range.
            unit = min(seen, max(ends))
            ends = [min(end / unit, MOST_T) for end in ends]
            # 4. Evenness, over the norms within the range.
            speeds = torch.cat([walk.speeds(norms)[: int((norms <= end * unit).sum())] for walk, end in zip(walks, ends)])
            scale.append(unit / (paths.info.step * paths.info.count))
            highs.append(ends[0])
            lows.append(-ends[1])
            evens.append(float(speeds.min() / speeds.max()) if len(speeds) and speeds.max() > 0 else 1.0)
            tell({"step": k + 2, "steps": len(paths) + 1})
    measured = {**paths.info.measured, "low": tuple(lows), "high": tuple(highs), "evenness": tuple(evens)}
    other = paths.with_info(measured=measured)
    other.scale = torch.tensor(scale).to(paths.scale)
    return other


@dataclass(frozen=True, eq=False)
class Walk:
    """One way of one path, at n norms and m pictures.

    Attributes:
        change: ``[n, m]`` root mean square change since the unedited picture, over the usual difference.
        step: ``[n, m]`` the same since the norm before.
        off: ``[n, m]`` what the manifold leaves over, over what it may leave.
    """

    change: Tensor
    step: Tensor
    off: Tensor

    def end(self, norms: Tensor) -> float:
        """Return the norm at which the way ends."""
        # off the manifold: where half of the pictures are; the running maximum, since further out they may look like others again
        away = self.off.median(1).values
        left = _crossing(norms, away.cummax(0).values, 1.0) if float(away[-1]) > 1 else float(norms[-1])
        # stalled: speed of the next step over the mean speed so far
        grown = self.change.mean(1)
        added = (grown.diff() / norms.diff()) / (grown[:-1] / norms[:-1]).clamp(min=1e-12)  # [n - 1]
        stalled = (added < STALLED).nonzero()
        return min(left, float(norms[int(stalled[0])]) if len(stalled) else math.inf)

    def speeds(self, norms: Tensor) -> Tensor:
        """Return the change per norm ``[n]`` of each step, on average over pictures."""
        return self.step.mean(1) / norms.diff(prepend=norms.new_zeros(1))


@dataclass(frozen=True, eq=False)
class Look:
    """What walks are looked at with.

    Attributes:
        codes: of ``m`` pictures.
        plain: the pictures ``[m, c, h, w]``.
        root: roots of the weights of their pixels.
        usual: ``[m]`` usual root mean square differences to other pictures.
        manifold: the generator's own pictures.
        limits: ``[m]`` what the manifold may leave over.
        details: ``[m]`` the least detail of a picture that is not blurred.
    """

    codes: Latents
    plain: Tensor
    root: Tensor
    usual: Tensor
    manifold: Manifold
    limits: Tensor
    details: Tensor

    @classmethod
    def at(cls, generator: Generator, codes: Latents, masks: list[Mask | None], seed: int, size: int | None = None) -> Look:
        """Look at some codes, each with its mask, if any; ``seed`` decides the other pictures that they are compared with.

        Pictures are ``size`` high, as the generator makes them when None.
        """
        plain = generator.images(codes, size=size)
        root = torch.cat([roots_of(generator, codes[i], mask, size)[0] for i, mask in enumerate(masks)])
        usual = usual_changes(generator, plain, root, seed, size)
        manifold = manifold_of(generator, seed + 2, size)
        look = cls(codes, plain, root, usual, manifold, torch.ones(len(codes)), torch.zeros(len(codes)))
        weights = look.small_weights()
        # A picture may leave over as much as half of the generator's own do under this mask,
        # or half as much again as it does unedited (a rare face is far from the mean already).
        others = (manifold.others[:, None] * weights).mean(2).quantile(OFF, dim=0)
        own = 1.5 * (manifold.left(plain) * weights).mean(1)
        least = (LEAST * usual).square()  # a generator of a few pictures leaves nothing over of its own
        limits = torch.maximum(torch.maximum(others, own), least).double()
        # Blur is the loss of detail: below half of its own, and less than nine of ten other pictures have.
        rare = (manifold.details[:, None] * weights).mean(2).quantile(BLURRED, dim=0)
        half = 0.5 * (detail(plain, manifold.size) * weights).mean(1)
        return replace(look, limits=limits, details=torch.minimum(rare, half))

    def small_weights(self) -> Tensor:
        """Return the weights of the pixels of small pictures, ``[m, h w]``."""
        return F.adaptive_avg_pool2d(self.root.square(), self.manifold.size).flatten(1)

    def change(self, now: Tensor, before: Tensor) -> Tensor:
        """Return the root mean square change ``[m]`` between two states of the pictures, over the usual difference."""
        return ((now - before) * self.root).square().mean((1, 2, 3)).sqrt() / self.usual

    def off(self, now: Tensor, of: int | slice = slice(None)) -> Tensor:
        """Return how far the pictures ``[m]`` are off the manifold: above 1 if too much is left over, or too little detail.

        ``of`` are the numbers of the codes that they come from; of an ``int``, all come from one.
        """
        weights = self.small_weights()[of]
        # both as ratios that are above 1 off the manifold
        left = (self.manifold.left(now) * weights).mean(-1) / self.limits[of]
        blur = self.details[of] / (detail(now, self.manifold.size) * weights).mean(-1).clamp(min=1e-12)
        return torch.maximum(left, blur)

    def walk(self, paths: WeightPaths, generator: Generator, k: int, magnitudes: Tensor) -> Walk:
        """Walk one path one way, through these magnitudes."""
        change, step, off, before = [], [], [], self.plain
        for magnitude in magnitudes.tolist():
            now = paths.shifted_images(generator, self.codes, k, magnitude)
            change.append(self.change(now, self.plain))
            step.append(self.change(now, before))
            off.append(self.off(now))
            before = now
        return Walk(*(torch.stack(rows).double().cpu() for rows in (change, step, off)))


def usual_changes(generator: Generator, plain: Tensor, root: Tensor, seed: int, size: int | None = None) -> Tensor:
    """Return the usual root mean square differences ``[m]`` of pictures to 16 others, under the roots of their pixels' weights.

    The median of those that are no rounding; 1 if all are (a generator with one picture alone).
    """
    codes = codes_for(generator, STRANGERS, seed + 1, None)
    others = torch.cat([generator.images(codes[i], size=size) for i in range(len(codes))])
    usual = []
    for picture, weights in zip(plain, root, strict=True):
        # a picture is no stranger to itself
        differences = ((others - picture) * weights).square().mean((1, 2, 3)).sqrt()
        others_alone = differences[differences > SAME]
        usual.append(others_alone.median() if len(others_alone) else torch.ones_like(differences[0]))
    return torch.stack(usual)


def _crossing(norms: Tensor, values: Tensor, level: float) -> float:
    """Return the first norm at which values reach a level, along straight lines on double logarithmic paper; else the last."""
    above = (values >= level).nonzero()
    if not len(above):
        return float(norms[-1])
    i = int(above[0])
    # reached by the first norm already: back in proportion
    if i == 0:
        return float(norms[0] * level / values[0].clamp(min=level))
    # changes follow a power of the norm, which is a straight line between logarithms
    (x0, x1), (y0, y1) = norms[i - 1 : i + 1].log().tolist(), values[i - 1 : i + 1].clamp(min=1e-12).log().tolist()
    return math.exp(x0 + (x1 - x0) * (math.log(level) - y0) / max(y1 - y0, 1e-12))
