"""Masks by a click with Segment Anything 2.1: what a trained network takes for one thing at a point of a picture.

Ravi et al. 2024, arXiv:2408.00714; the weights are Meta's, under Apache-2.0. ``transformers`` runs them, from its cache or from
the folder that the environment variable ``SEMANIFOLD_SAM`` names. Nothing is downloaded, and only safetensors are read.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from semanifold.core.errors import SemanifoldError, first_line, shown
from semanifold.core.extras import missing_package
from semanifold.images.masks.base import Mask
from semanifold.images.media import from_uint8, to_uint8
from semanifold.storage.records import read_settings

MODEL = "facebook/sam2.1-hiera-tiny"
FOLDER = "SEMANIFOLD_SAM"
MEAN = (0.485, 0.456, 0.406)
SPREAD = (0.229, 0.224, 0.225)
"""What its pictures are normalised by, those of ImageNet."""
PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")
LARGEST, MOST, MOST_NUMBERS = 2048, 64, 400_000_000
"""Of a configuration: its numbers, what it counts, and the numbers of all weights; the largest SAM 2.1 has 224 million."""
COUNTS = ("num_", "blocks_", "iou_head_depth")
"""Beginnings of the names of what it counts, such as layers, which take time to make even where they take no memory."""


@torch.no_grad()
def segmented(picture: Tensor, x: float, y: float, text: str) -> Mask:
    """Return the mask of the thing at a point of one picture: of the network's three answers the one that it trusts most.

    Args:
        picture: ``[1, c, h, w]`` in [-1, 1].
        x: of the point, from 0 at the left to 1 at the right.
        y: of the point, from 0 at the top to 1 at the bottom.
        text: of the mask.

    Raises:
        SemanifoldError: if ``transformers`` or the model is missing, or the model is no SAM 2.
    """
    name = os.environ.get(FOLDER) or MODEL
    network = _load(name, picture.device)
    size = int(network.config.prompt_encoder_config.image_size)
    point = picture.new_tensor([x * size, y * size], dtype=torch.float32).view(1, 1, 1, 2)
    try:
        seen = _seen(network, to_uint8(picture)[0].tobytes(), tuple(picture.shape[2:]), size)
        answer = network(image_embeddings=list(seen), input_points=point, multimask_output=True)
        levels = answer.pred_masks[0, 0, answer.iou_scores[0, 0].argmax()].float().cpu()
    except (RuntimeError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise _no_model(name, first_line(error)) from error
    if not levels.isfinite().all():
        raise _no_model(name, "its answers hold NaN or infinite values")
    inside = interpolate(levels[None, None], size=tuple(picture.shape[2:]), mode="bilinear", align_corners=False) > 0

    def paint(height: int, width: int) -> Tensor:
        return interpolate(inside.float(), size=(height, width), mode="bilinear", antialias=True)[0, 0]

    return Mask(text, paint)


def clicked_on(picture: Tensor, text: str) -> Mask:
    """Return the mask of the thing at the point that a text names (``"sam:0.5,0.7"``) of a picture that is no generator's.

    Args:
        picture: ``[1, c, h, w]`` in [-1, 1].
        text: of the mask, with x and y from 0 to 1, as :func:`~semanifold.images.masks.parse_mask` gives it to functions.

    Raises:
        SemanifoldError: see :func:`segmented`.
    """
    x, y = map(float, text.partition(":")[2].split(","))
    return segmented(picture, x, y, text)


@lru_cache(maxsize=1)
def _seen(network: Any, levels: bytes, shape: tuple[int, int], size: int) -> tuple[Tensor, ...]:
    """Return what the network sees in a picture of 8 bits; the last one is kept, for several clicks lie on the same picture."""
    device = next(network.parameters()).device
    picture = from_uint8(np.frombuffer(levels, dtype=np.uint8).reshape(*shape, -1)).to(device)
    seen = interpolate((picture + 1) / 2, size=(size, size), mode="bilinear", antialias=True)
    middle, scale = (seen.new_tensor(values).view(1, 3, 1, 1) for values in (MEAN, SPREAD))
    return tuple(network.get_image_embeddings((seen - middle) / scale))


@lru_cache(maxsize=1)
def _load(name: str, device: torch.device) -> Any:
    """Return the frozen network."""
    try:
        from transformers import Sam2Config, Sam2Model  # noqa: PLC0415  (an extra, and slow to import)
        from transformers.utils.hub import cached_file  # noqa: PLC0415
    except ImportError as error:
        raise missing_package("A mask sam:", "transformers", "sam", "take at:") from error
    try:
        place = cached_file(name, "config.json", local_files_only=True, _raise_exceptions_for_missing_entries=False)
        if place is None:
            raise ValueError("no config.json lies in a folder of this name, or in the cache of transformers")
        settings = read_settings(place)
        if settings.get("model_type") not in ("sam2", "sam2_video"):  # the published file names the one for films
            raise ValueError(f"it is a model of the kind {shown(str(settings.get('model_type')), 40)}")
        config = Sam2Config(**{part: _bounded(settings.get(part)) for part in PARTS})
        with torch.device("meta"):
            numbers = sum(weight.numel() for weight in Sam2Model(config).parameters())
        if numbers > MOST_NUMBERS:
            raise ValueError(f"it has {numbers:,} numbers, more than any SAM 2")
        loaded: Any = Sam2Model.from_pretrained(
            name, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        network, report = loaded
        if report["missing_keys"]:  # those would stay random
            raise ValueError(f"{len(report['missing_keys'])} of its weights are missing")
    except Exception as error:  # transformers and its packages have kinds of their own
        raise _no_model(name, first_line(error)) from error
    return network.float().eval().requires_grad_(False).to(device)


def _bounded(settings: Any, most: int = LARGEST) -> Any:
    """Return a part of a configuration, unless a number or a list in it is larger than any of a SAM 2."""
    if isinstance(settings, int | float) and abs(settings) > most:
        raise ValueError(f"its configuration has the number {settings:g}, and at most {most} is expected")
    if isinstance(settings, list) and len(settings) > MOST:
        raise ValueError(f"its configuration has a list of {len(settings):,}")
    for name, value in settings.items() if isinstance(settings, dict) else ():
        _bounded(value, MOST if name.startswith(COUNTS) else LARGEST)
    for value in settings if isinstance(settings, list) else ():
        _bounded(value, most)
    return settings


def _no_model(name: str, why: str) -> SemanifoldError:
    return SemanifoldError(
        f"There is no SAM 2 that works as {shown(name, 200)!r} on this machine ({why}); download it once with "
        f"'hf download {MODEL}', or name the folder that it lies in by the environment variable {FOLDER}."
    )
