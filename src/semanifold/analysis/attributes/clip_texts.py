"""Attributes named by text: how much more a picture looks like one description than like another, after CLIP."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from semanifold.analysis.attributes.base import Attribute, AttributeReader
from semanifold.analysis.attributes.sampling import normalised, rgb
from semanifold.core.errors import SemanifoldError, first_line
from semanifold.core.extras import missing_package

DEFAULT_MODEL = "openai/clip-vit-base-patch32"

MEAN = (0.48145466, 0.4578275, 0.40821073)
SPREAD = (0.26862954, 0.26130258, 0.27577711)
"""What CLIP's pictures are normalised by (Radford et al. 2021)."""


@dataclass(frozen=True)
class Prompts:
    """A description, and what it is held against.

    Attributes:
        text: such as ``"a photo of a smiling person"``.
        against: such as ``"a photo of a person"``.
    """

    text: str
    against: str

    @classmethod
    def parse(cls, text: str) -> Prompts:
        """Read ``PROMPT|AGAINST``.

        Raises:
            SemanifoldError: unless there are two different descriptions.
        """
        parts = [part.strip() for part in text.split("|")]
        if len(parts) != 2 or not all(parts) or parts[0] == parts[1]:
            raise SemanifoldError(
                "A text attribute is written clip:PROMPT|AGAINST, such as clip:a photo of a smiling person|a photo of a person, "
                f"but got {text!r}."
            )
        return cls(*parts)

    @property
    def name(self) -> str:
        """``clip_`` and the words that the description has and the other one lacks, such as ``clip_smiling``."""
        words, known = re.findall(r"\w+", self.text.lower()), re.findall(r"\w+", self.against.lower())
        return "_".join(["clip", *([word for word in words if word not in known] or words)])


class ClipAttributes(AttributeReader):
    """Zero-shot attributes on any kind of picture (CLIP, Radford et al. 2021, arXiv:2103.00020, section 3.1.2).

    With v the unit vector of the picture, a and b those of the two texts and s CLIP's scale (about 100), an attribute is
    ``exp(s v.a) / (exp(s v.a) + exp(s v.b))``, in [0, 1].
    """

    def __init__(
        self,
        prompts: Sequence[Prompts],
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        device: torch.device | str = "cpu",
    ) -> None:
        """Make the reader. Nothing is downloaded.

        Args:
            prompts: one pair an attribute.
            model: a folder that ``transformers`` wrote, or a name that was downloaded before.
            device: where the model shall lie; pictures are brought there.

        Raises:
            SemanifoldError: if ``transformers`` or the model is missing (saying how to get it), or is no CLIP.
        """
        self.attributes = tuple(Attribute(pair.name) for pair in prompts)
        self.device = torch.device(device)
        tokenizer, self.model = _load(os.fspath(model), self.device)
        texts = [text for pair in prompts for text in (pair.text, pair.against)]
        with torch.no_grad():
            # longer texts are cut off, as the model has no more places
            places = self.model.config.text_config.max_position_embeddings
            tokens = tokenizer(texts, padding=True, truncation=True, max_length=places, return_tensors="pt").to(self.device)
            hidden = self.model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            pairs = normalize(self.model.text_projection(hidden.pooler_output), dim=-1).unflatten(0, (-1, 2))
            self.difference: Tensor = self.model.logit_scale.exp() * (pairs[:, 0] - pairs[:, 1])

    @torch.no_grad()
    def read(self, images: Tensor, reference: Tensor) -> Tensor:
        """See :meth:`AttributeReader.read`; returned float32 on the device of the pictures."""
        pictures = _prepared(images.to(self.device), self.model.config.vision_config.image_size)
        hidden = self.model.vision_model(pixel_values=pictures).pooler_output
        vectors = normalize(self.model.visual_projection(hidden), dim=-1)
        return (vectors @ self.difference.T).sigmoid().to(images.device)


def _prepared(images: Tensor, size: int) -> Tensor:
    """Resize the shorter side (bicubic, anti-aliased), take the middle square, and normalise."""
    pictures = rgb(images)
    height, width = pictures.shape[2:]
    shorter = min(height, width)
    new = (int(size * height / shorter), int(size * width / shorter))
    resized = interpolate(pictures, new, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    top, left = ((side - size) // 2 for side in new)
    return normalised(resized[:, :, top : top + size, left : left + size], MEAN, SPREAD)


def _load(model: str, device: torch.device) -> tuple[Any, Any]:
    """Return the tokenizer and the frozen model."""
    try:
        from transformers import AutoConfig, AutoTokenizer, CLIPModel  # noqa: PLC0415  (an extra, and slow to import)
    except ImportError as error:
        raise missing_package("A text attribute", "transformers", "clip") from error
    try:
        kind = AutoConfig.from_pretrained(model, local_files_only=True).model_type
        if kind != "clip":  # its weights would be left out, and random ones stay
            raise ValueError(f"it is a model of the kind {kind}")
        network: Any = CLIPModel.from_pretrained(model, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise SemanifoldError(
            f"There is no CLIP model {model!r} on this machine ({first_line(error)}); download it once with "
            f"'hf download {DEFAULT_MODEL}', or give the folder that it lies in."
        ) from error
    return tokenizer, network.float().eval().requires_grad_(False).to(device)
