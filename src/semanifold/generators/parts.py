"""What belongs together at a point of a picture, found by the generator's own features over many samples: masks by a click.

Pixels with like features show like things (Collins et al. 2020, "Editing in Style": spherical k-means of activations; Oldfield et
al. 2022, PandA, arXiv:2206.00048: factors of feature maps). A few clusters follow the height in the picture as much as what is
shown, many clusters take one thing apart. So there are many at first, and those are joined whose features are alike and whose
colours rise and fall together from sample to sample: a wall is one thing, because its two sides always have one colour. That is
done several times from other starts, and the majority decides. Nothing is trained, and nothing but the generator is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, normalize, pad

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents, conditions_key
from semanifold.generators.base import Generator
from semanifold.generators.features import features_and_pictures
from semanifold.images.masks.base import Mask
from semanifold.images.masks.segmenting import segmented

TALLEST = 64
"""Height of the largest feature maps that are looked at; the two largest up to it are taken."""
MAPS = 2
GRID = 32
"""Height at which the samples are compared."""
SAMPLES, FEWEST = 96, 12
FIRST = 2_000_000
"""Seed of the first sample."""
WORK = 3e11
"""Multiplications, by a rough count, that the samples may take; a large generator gives fewer of them."""
NUMBERS = 1 << 25
"""Numbers of features that are kept at once."""
POINTS = 12_288
CLUSTERS, PARTS, RUNS, ROUNDS = 64, 10, 3, 12
CHEQUERED = 0.02
"""Share of the variance within a map that odd and even places make, from which on they are averaged."""
LARGEST = 256
"""Height of the largest picture whose edges guide a mask."""
REACH, SHARPNESS = 32, 1e-3
"""A mask follows edges within one ``REACH``-th of the picture; contrasts below the root of the other count as none."""


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts that a generator's pictures consist of.

    Attributes:
        heights: of the feature maps.
        chequered: heights of those whose odd and even places differ, as transposed convolutions make them.
        means: of the features of all maps, one after the other, ``[channels]``.
        scales: what they are divided by.
        centres: of the clusters of every run, ``[runs, clusters, channels]``, of length 1.
        part: of every cluster of every run, ``[runs, clusters]``.
    """

    heights: tuple[int, ...]
    chequered: frozenset[int]
    means: Tensor
    scales: Tensor
    centres: Tensor
    part: Tensor


_KNOWN: WeakKeyDictionary[Generator, dict[bytes, Parts]] = WeakKeyDictionary()
"""Parts that were found in this run, by the generator and the conditions of its codes."""


@torch.no_grad()
def clicked(generator: Generator, x: float, y: float, code: Latents | None) -> Mask:
    """Return the mask of what belongs together at a point of one picture; the same point gives the same mask.

    Args:
        generator: any with feature maps.
        x: of the point, from 0 at the left to 1 at the right.
        y: of the point, from 0 at the top to 1 at the bottom.
        code: of the picture.

    Raises:
        SemanifoldError: without one code, for a point off the picture, and for a generator without feature maps, or with such as
            hold NaN or are the same everywhere.
    """
    text = f"at:{x:.6g},{y:.6g}"
    code = _one_picture(text, x, y, code)
    parts = parts_of(generator, code)
    maps, pictures = features_and_pictures(generator, code, tallest=TALLEST)
    tall = maps[parts.heights[-1]]
    choice = _at(_stacked(maps, parts.heights, tall.shape[-2:], parts.chequered), parts)[:, 0]
    row, column = min(int(y * choice.shape[1]), choice.shape[1] - 1), min(int(x * choice.shape[2]), choice.shape[2] - 1)
    share = (choice == choice[:, row, column][:, None, None]).float().mean(0)
    soft = _guided((share > 0.5).float(), pictures[0].float().cpu().clamp(-1, 1))

    def paint(height: int, width: int) -> Tensor:
        return interpolate(soft[None, None], size=(height, width), mode="bilinear", antialias=True)[0, 0]

    return Mask(text, paint)


@torch.no_grad()
def clicked_by_sam(generator: Generator, x: float, y: float, code: Latents | None) -> Mask:
    """Return the mask of the thing at a point of one picture after Segment Anything 2.1; see :mod:`semanifold.images.masks`.

    Args:
        generator: any.
        x: of the point, from 0 at the left to 1 at the right.
        y: of the point, from 0 at the top to 1 at the bottom.
        code: of the picture.

    Raises:
        SemanifoldError: without one code, for a point off the picture, and without ``transformers`` or the model.
    """
    text = f"sam:{x:.6g},{y:.6g}"
    return segmented(generator.images(_one_picture(text, x, y, code)), x, y, text)


def _one_picture(text: str, x: float, y: float, code: Latents | None) -> Latents:
    """Return the code of the one picture that a click lies on."""
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise SemanifoldError(f"The point of the mask '{text}' lies off the picture; x and y are from 0 to 1.")
    if code is None:
        raise SemanifoldError(f"What lies at a point ({text}) is another thing in every picture; say whose by a seed or a code.")
    if len(code) != 1:
        raise SemanifoldError(f"The point of a mask ({text}) belongs to one picture, but {len(code)} codes were given.")
    return code


def parts_of(generator: Generator, code: Latents) -> Parts:
    """Return the parts that the pictures of a generator consist of, under the conditions of a code; found once in a run."""
    key, known = conditions_key(code), _KNOWN.setdefault(generator, {})
    if key not in known:
        known[key] = _searched(generator, code)
    return known[key]


def _searched(generator: Generator, code: Latents) -> Parts:
    """See :func:`parts_of`."""
    # 1. The maps: the two finest up to 64 pixels; coarser ones say more of where a pixel is than of what it shows.
    maps, _ = features_and_pictures(generator, code, tallest=TALLEST)
    heights = tuple(maps)[-MAPS:]
    if not heights:
        raise SemanifoldError(
            f"{shown(generator.name, 60)} has no feature maps that could tell what belongs together at a point; draw the mask: "
            "box:, ellipse:, polygon: or a picture."
        )
    chequered = frozenset(height for height in heights if _chequer(maps[height]) > CHEQUERED)
    # 2. Samples, as many as can be had in a few seconds, on a common grid.
    grid = (GRID, max(1, round(GRID * generator.picture_shape[2] / generator.picture_shape[1])))
    work = 18 * sum(m.shape[1] ** 2 * m[0, 0].numel() for m in maps.values())
    numbers = sum(maps[height].shape[1] for height in heights) * grid[0] * grid[1]
    count = int(min(SAMPLES, max(FEWEST, WORK / work), max(1, NUMBERS // numbers)))
    codes = generator.sample_like(code, range(FIRST, FIRST + count))
    features, colours = [], []
    for i in range(count):
        sampled, pictures = features_and_pictures(generator, codes[i], tallest=TALLEST)
        features.append(_stacked(sampled, heights, grid, chequered))
        colours.append(interpolate(pictures.float().cpu().clamp(-1, 1), size=grid, mode="bilinear", antialias=True))
    stack, seen = torch.cat(features), torch.cat(colours)
    if not (stack.isfinite().all() and seen.isfinite().all()):
        raise SemanifoldError(
            f"The feature maps of {shown(generator.name, 60)} hold NaN or infinite values; draw the mask instead."
        )
    means, scales = stack.mean((0, 2, 3)), stack.std((0, 2, 3))
    if not bool((stack.std((2, 3)) > 1e-6).any()):
        raise SemanifoldError(
            f"The feature maps of {shown(generator.name, 60)} are the same at all places, so nothing belongs together more than "
            "the rest; draw the mask instead."
        )
    # every map counts as much as any other, whatever its channels
    sizes = torch.cat([torch.full((maps[height].shape[1],), maps[height].shape[1] ** 0.5) for height in heights])
    scales = (scales + 1e-6) * sizes
    # 3. Clusters, and those joined that belong together, from several starts.
    points = normalize((stack - means[:, None, None]) / scales[:, None, None], dim=1).permute(0, 2, 3, 1).flatten(0, 2)
    chosen = points[:: max(1, len(points) // POINTS)]
    runs = []
    for run in range(RUNS):
        centres = _clustered(chosen, CLUSTERS, torch.Generator().manual_seed(run))
        nearest = (points @ centres.T).argmax(1)
        runs.append((centres, _joined(centres, nearest.view(count, -1), seen.flatten(2).mT)))
    return Parts(heights, chequered, means, scales, torch.stack([c for c, _ in runs]), torch.stack([p for _, p in runs]))


def _stacked(
    maps: dict[int, Tensor], heights: tuple[int, ...], size: tuple[int, int] | torch.Size, chequered: frozenset[int]
) -> Tensor:
    """Return maps of several heights at one size, one after the other ``[n, channels, height, width]``, float32 on the CPU."""
    every = []
    for height in heights:
        values = maps[height].float().cpu()
        if height in chequered:  # weights 1, 2, 1 are blind to what turns its sign from place to place
            for _ in range(2):
                values = avg_pool2d(pad(values, (0, 1, 0, 1), mode="replicate"), 2, stride=1)
                values = values.flip(2, 3)
        every.append(interpolate(values, size=tuple(size), mode="bilinear", align_corners=False))
    return torch.cat(every, 1)


def _chequer(features: Tensor) -> float:
    """Return the share of the variance within maps ``[1, c, h, w]`` that the parity of row and column makes."""
    rows, columns = features.shape[2] // 2 * 2, features.shape[3] // 2 * 2
    values = features[0, :, :rows, :columns].double()
    values = values - values.mean((1, 2), keepdim=True)
    parities = torch.stack([values[:, i::2, j::2].mean((1, 2)) for i in (0, 1) for j in (0, 1)])
    return float(parities.square().mean(0).sum() / values.square().mean((1, 2)).sum().clamp(min=1e-12))


def _at(stack: Tensor, parts: Parts) -> Tensor:
    """Return the part ``[runs, n, height, width]`` of every pixel of stacked maps, in every run."""
    points = (stack - parts.means[:, None, None]) / parts.scales[:, None, None]
    nearest = torch.einsum("nchw,rkc->rnkhw", points, parts.centres).argmax(2)
    return torch.stack([part[near] for part, near in zip(parts.part, nearest)])


def _clustered(points: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return the centres ``[count, d]`` of spherical k-means of points ``[n, d]`` of length 1, started far from one another."""
    centres = points[torch.randint(len(points), (1,), generator=draw)]
    far = 1 - points @ centres[0]
    for _ in range(count - 1):
        centre = points[torch.multinomial(far.clamp(min=0) + 1e-12, 1, generator=draw)]
        centres, far = torch.cat([centres, centre]), torch.minimum(far, 1 - points @ centre[0])
    for _ in range(ROUNDS):
        members = _members((points @ centres.T).argmax(1), count)
        centres = normalize(members.T @ points + 1e-6 * centres, dim=1)
    return centres


def _members(nearest: Tensor, count: int) -> Tensor:
    """Return 1 where a point belongs to a cluster, else 0 ``[..., count]``, without the whole numbers of ``one_hot``."""
    return torch.zeros(*nearest.shape, count).scatter_(-1, nearest[..., None], 1.0)


def _joined(centres: Tensor, nearest: Tensor, colours: Tensor) -> Tensor:
    """Return the part ``[k]`` that each of k clusters belongs to, from 0 to :data:`PARTS` - 1.

    Average linkage of the clusters by ``(1 - cosine of the centres)^2 (1 - correlation of the colours over the samples)``.

    Args:
        centres: ``[k, d]`` of length 1.
        nearest: the cluster ``[n, pixels]`` of every pixel of the samples.
        colours: of the pixels ``[n, pixels, 3]``.
    """
    members = _members(nearest, len(centres))
    sizes = members.sum(1)
    seen = (sizes >= 1).float()[..., None]
    means = members.mT @ colours / sizes.clamp(min=1)[..., None]
    moved = (means - (means * seen).sum(0) / seen.sum(0).clamp(min=1)) * seen
    together = torch.einsum("nac,nbc->ab", moved, moved)
    spread = together.diag().clamp(min=1e-12).sqrt()
    distance = (1 - centres @ centres.T).clamp(min=0) ** 2 * (1 - together / spread[:, None] / spread)
    groups, weights, distance = [[i] for i in range(len(centres))], sizes.sum(0).double() + 1, distance.double()
    distance.fill_diagonal_(torch.inf)
    while len(groups) > PARTS:
        first, second = sorted(divmod(int(distance.argmin()), len(groups)))
        both = weights[[first, second]]
        joined = (both[:, None] * distance[[first, second]]).sum(0) / both.sum()
        distance[first], distance[:, first], weights[first] = joined, joined, both.sum()
        distance[first, first] = torch.inf
        groups[first] += groups.pop(second)
        kept = torch.arange(len(weights)) != second
        distance, weights = distance[kept][:, kept], weights[kept]
    part = torch.zeros(len(centres), dtype=torch.long)
    for number, group in enumerate(groups):
        part[group] = number
    return part


def _guided(mask: Tensor, picture: Tensor) -> Tensor:
    """Return a mask ``[h, w]`` at the size of a picture ``[c, H, W]``, with its borders at the picture's edges.

    The guided filter (He et al. 2010) by the brightness of the picture, which is made smaller where it is large.
    """
    height, width = picture.shape[1:]
    shrink = min(1.0, LARGEST / height)
    size = (round(height * shrink), max(1, round(width * shrink)))
    guide = interpolate(picture.mean(0)[None, None], size=size, mode="bilinear", antialias=True)
    wide = interpolate(mask[None, None], size=size, mode="bilinear", align_corners=False)
    reach = max(1, round(size[0] / REACH / 2))

    def smooth(values: Tensor) -> Tensor:
        return avg_pool2d(values, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)

    mean, level = smooth(guide), smooth(wide)
    slope = (smooth(guide * wide) - mean * level) / (smooth(guide * guide) - mean * mean + SHARPNESS)
    return (smooth(slope) * guide + smooth(level - slope * mean)).clamp(0, 1)[0, 0]
