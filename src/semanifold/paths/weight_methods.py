"""One door to all ways of finding directions in weights."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Literal

from semanifold.core.errors import SemanifoldError, near_names, of_type, shown, whole_number
from semanifold.core.progress import Watch
from semanifold.generators.base import Generator
from semanifold.generators.editing import check_layers, editable_layers
from semanifold.images.distances import Distance, l2
from semanifold.images.masks import Mask
from semanifold.paths.kinds import MOST_WEIGHT_PATHS
from semanifold.paths.weight_axes import joint_weight_paths
from semanifold.paths.weight_hessian import hessian_paths
from semanifold.paths.weight_masked import REFINEMENT, masked_weight_paths
from semanifold.paths.weight_ranges import calibrated
from semanifold.paths.weights import WeightPaths, svd_paths
from semanifold.storage.files import is_folder

Method = Literal["svd", "hessian", "joint", "mask"]
METHODS = ("svd", "hessian", "joint", "mask")
MOST_SIDE, JOINT_SIZE = 4096, 64
SAMPLES = 24
"""Pictures that decide; a wider choice costs in proportion."""
MOST_SAMPLES, MOST_STEPS = 10_000, 100_000


def weight_paths(
    generator: Generator,
    method: Method = "mask",
    *,
    layers: str | Sequence[str] | None = None,
    k: int = 16,
    mask: str | Mask | None = None,
    samples: int = SAMPLES,
    seeds: Sequence[int] | None = None,
    refine: int = REFINEMENT,
    distance: Distance = l2,
    size: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: Watch = None,
) -> WeightPaths:
    """Find K directions in the weights of a generator, each as long as it takes for a change that is seen at once.

    Args:
        generator: any with weights; it is not changed.
        method: ``svd`` (singular vectors of one weight), ``hessian`` (what changes pictures most), ``joint`` (axes that each
            change pictures in a way of its own) or ``mask`` (most change inside a mask for the least outside, on all pictures).
        layers: names of the layers, such as ``"convs.4"``; the convolution in the middle when None.
        k: number of directions.
        mask: for the method ``mask``; a name such as ``"mouth"`` is another mask on every picture.
        samples: pictures that decide.
        seeds: their own numbers, instead, for the method ``mask``; one alone finds directions for that picture.
        refine: steps per direction that lower what it changes outside, for the method ``mask``; 0 for none.
        distance: how pictures are compared, for the method ``hessian``.
        size: height in pixels of the pictures that decide, not for the method ``svd``; ``hessian`` resizes them, the others
            take the least from there on that the generator makes. Their own when None, but 64 for ``joint``.
        checkpoint: file that keeps the state of a search, of any method but ``svd``, which goes on from there.
        progress: called with ``step`` and ``steps``; a bar when None, nothing when False.

    Raises:
        SemanifoldError: for a method or layers that are not there, a mask that is missing or of no use, or pictures that do not
            change.
    """
    of_type(method, str, "A method is a name")
    if method not in METHODS:
        raise SemanifoldError(
            f"There is no way {shown(method, 40)!r} to find directions in weights: {near_names(method, METHODS)}"
        )
    of_type(generator, Generator, "Directions are found in the weights of a generator")
    whole_number(k, 1, MOST_WEIGHT_PATHS, "k, the number of directions,")
    whole_number(samples, 1, MOST_SAMPLES, "The number of samples, pictures that decide,")
    whole_number(refine, 0, MOST_STEPS, "refine, the number of steps per direction,")
    of_type(layers, (type(None), str, list, tuple), "Layers are a name, or a list of names")
    of_type(seeds, (type(None), list, tuple, range), "Seeds are a list of numbers")
    of_type(checkpoint, (type(None), str, os.PathLike), "A checkpoint is the name of a file")
    if checkpoint is not None and (is_folder(checkpoint) or not is_folder(os.path.dirname(checkpoint) or ".")):
        raise SemanifoldError(
            f"A checkpoint is a file in a folder that is there, but {shown(os.fspath(checkpoint), 200)!r} is not."
        )
    if not callable(distance):
        raise SemanifoldError("A distance is a function of two pictures, such as semanifold.images.distances.l2.")
    if (mask is None) == (method == "mask"):
        raise SemanifoldError("A mask is what the method 'mask' needs, such as mask='mouth', and no other takes.")
    if size is not None:
        whole_number(size, 1, MOST_SIDE, "size, the height in pixels of the pictures that decide,")
    # The layers, and whether they have as many directions; errors come before any picture is made.
    chosen = [layers] if isinstance(layers, str) else list(layers or [middle_layer(generator)])
    check_layers(generator, chosen)
    known = editable_layers(generator)
    whole_number(k, 1, sum(math.prod(known[layer]) for layer in chosen), f"k, for the weights of {', '.join(chosen)},")
    if method == "svd":
        if len(chosen) != 1:
            raise SemanifoldError("Singular vectors are those of one layer; name one of these.")
        paths = svd_paths(generator, chosen[0], k)
    elif method == "joint":
        paths = joint_weight_paths(
            generator, chosen, k, samples=samples, size=size or JOINT_SIZE, checkpoint=checkpoint, progress=progress
        )
    elif method == "hessian":
        paths = hessian_paths(
            generator, chosen, k, distance=distance, samples=samples, size=size, checkpoint=checkpoint, progress=progress
        )
    else:
        assert mask is not None
        pixels = None if size is None else generator.coarse_size(size)
        facts = {
            "samples": samples,
            "size": pixels,
            "seeds": seeds,
            "refine": refine,
            "checkpoint": checkpoint,
            "progress": progress,
        }
        paths = masked_weight_paths(generator, chosen, mask, k, **facts)
    # Whatever the method, t = 1 and the range are measured in the same way.
    return calibrated(paths, generator, mask, seeds=seeds, progress=progress)


def middle_layer(generator: Generator) -> str:
    """Return the convolution in the middle of a generator's layers.

    Raises:
        SemanifoldError: if it has none.
    """
    known = {layer: shape for layer, shape in editable_layers(generator).items() if len(shape) == 4 and shape[-1] > 1}
    if not known:
        raise SemanifoldError(f"{generator.name} has no convolution whose weight can be edited; name a layer.")
    return list(known)[len(known) // 2]
