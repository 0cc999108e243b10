"""Edit: a path of pictures that starts at an unedited one, and the lattice of latents that is its first leaf.

``edit.images(generator, latents, t)`` is all that rendering, measuring, the command line and the studio know of an edit.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.files import replacing
from semanifold.generators.base import Generator
from semanifold.latents import Latents

FORMAT = "semanifold-edit-1"


@dataclass(frozen=True)
class EditInfo:
    """What an edit's file says about it: where it lives, what it was made with, how far it may be driven.

    Attributes:
        name: short name for people, such as ``"mouth"``.
        method: how it was found, such as ``"masked manifold"``.
        space: latent space of the codes.
        layers: ``(first, last + 1)`` layers of ``w+`` that move, or None for all.
        generator: name of the generator.
        fingerprint: fingerprint of its weights.
        mask: the mask as the user wrote it.
        usable: range of ``t`` in which the pictures keep changing and stay good.
        locality: measured locality scores, by name.
        cite: papers to cite.
    """

    name: str = "edit"
    method: str = "unknown"
    space: str = "w+"
    layers: tuple[int, int] | None = None
    generator: str = "unknown"
    fingerprint: str = "unknown"
    mask: str = ""
    usable: tuple[float, float] = (0.0, 1.0)
    locality: dict[str, float] = field(default_factory=dict)
    cite: tuple[str, ...] = ()


class Edit(ABC):
    """A path of pictures; ``t = 0`` is the unedited picture.

    Attributes:
        info: what the file says about the edit.
        dimensions: number of coordinates of ``t``: 1 for a path, 2 for a pad.
    """

    info: EditInfo
    dimensions: int = 1

    @abstractmethod
    def images(self, generator: Generator, latents: Latents, t: Tensor | float) -> Tensor:
        """Return the edited pictures ``[n, c, h, w]``.

        Args:
            generator: the generator that the edit was made for, or one with the same spaces.
            latents: n codes, or one code for all values of ``t``.
            t: one number, ``[n]`` numbers, or ``[n, 2]`` for an edit of two dimensions.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return what the file must hold for :func:`load_edit` to make the edit again."""


class Lattice(Edit):
    """Offsets from a seed's code on a line (or a sheet) of knots, with straight pieces between them.

    ``latents(l, t) = l + offset(t)`` with ``offset(0) = 0``: the seed itself belongs to every edit. A manifold found on one
    face is carried to another by the same offsets (Yang et al. 2020, arXiv:2105.07273, section 4).
    """

    kind: ClassVar[str] = "lattice"

    def __init__(self, offsets: Tensor, knots: Sequence[Tensor], info: EditInfo, *, seed: Latents | None = None) -> None:
        """Make the edit.

        Args:
            offsets: ``[n, *shape]`` for a path, ``[n, m, *shape]`` for a sheet: code minus seed code at every knot.
            knots: one increasing ``[n]`` tensor of ``t`` a dimension; each must hold 0.
            info: what the file says about the edit.
            seed: the code that the edit was found on, if known.

        Raises:
            SemanifoldError: if sizes disagree, knots do not increase, no knot is 0 or the offset there is not zero.
        """
        self.offsets, self.knots, self.info, self.seed = offsets, tuple(knots), info, seed
        self.dimensions = len(self.knots)
        if tuple(offsets.shape[: self.dimensions]) != tuple(len(k) for k in self.knots):
            raise SemanifoldError(f"Offsets {tuple(offsets.shape)} do not fit knots {[len(k) for k in self.knots]}.")
        if not torch.isfinite(offsets).all():
            raise SemanifoldError("The edit's codes hold NaN or infinite values.")
        for knots_ in self.knots:
            if len(knots_) < 2 or not (knots_[1:] > knots_[:-1]).all() or not (knots_ == 0).any():
                raise SemanifoldError("Knots must be at least two increasing values of t, one of which is 0.")
        if offsets[tuple(int((k == 0).nonzero()[0]) for k in self.knots)].abs().max() != 0:
            raise SemanifoldError("The offset at t = 0 must be zero: t = 0 is the unedited picture.")

    def offset(self, t: Tensor | float) -> Tensor:
        """Return the offsets ``[n, *shape]`` at ``t`` (``[n]``, or ``[n, 2]`` on a sheet).

        Between knots it interpolates linearly; beyond the last ones it goes on in a straight line.
        """
        t = torch.as_tensor(t, dtype=self.offsets.dtype, device=self.offsets.device)
        t = t.reshape(-1, self.dimensions)
        result = self.offsets.expand(len(t), *self.offsets.shape)
        for axis, given in enumerate(self.knots):
            knots = given.to(t)
            left = (torch.searchsorted(knots, t[:, axis].contiguous(), right=True) - 1).clamp(0, len(knots) - 2)
            share = (t[:, axis] - knots[left]) / (knots[left + 1] - knots[left])
            rows = torch.arange(len(t), device=t.device)
            share = share.reshape(-1, *[1] * (result.ndim - 2))
            result = (1 - share) * result[rows, left] + share * result[rows, left + 1]
        return result

    def latents(self, latents: Latents, t: Tensor | float) -> Latents:
        """Return the edited codes; one code serves all values of ``t``."""
        if latents.space != self.info.space:
            raise SemanifoldError(
                f"The edit lives in space {self.info.space}, but these codes are in {latents.space}; convert them first."
            )
        if tuple(latents.values.shape[1:]) != tuple(self.offsets.shape[self.dimensions :]):
            raise SemanifoldError(
                f"The edit moves codes of shape {tuple(self.offsets.shape[self.dimensions :])}, "
                f"but these are {tuple(latents.values.shape[1:])}; it was made for {self.info.generator}."
            )
        return latents.with_values(latents.values + self.offset(t).to(latents.values))

    def images(self, generator: Generator, latents: Latents, t: Tensor | float) -> Tensor:
        """See :meth:`Edit.images`."""
        return generator.images(self.latents(latents, t))

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Edit.tensors`."""
        held = {"offsets": self.offsets} | {f"knots.{i}": k for i, k in enumerate(self.knots)}
        if self.seed is not None:
            held["seed"] = self.seed.values
            if self.seed.labels is not None:
                held["labels"] = self.seed.labels
        return held

    @staticmethod
    def from_tensors(tensors: dict[str, Tensor], info: EditInfo) -> Lattice:
        """Make the edit of a file's tensors again."""
        knots = [tensors[key] for key in sorted(tensors) if key.startswith("knots.")]
        seed = Latents(tensors["seed"], info.space, tensors.get("labels")) if "seed" in tensors else None
        return Lattice(tensors["offsets"], knots, info, seed=seed)


KINDS = {Lattice.kind: Lattice}


def save_edit(edit: Edit, path: str | os.PathLike[str]) -> None:
    """Write an edit as safetensors with a JSON header, to a temporary name first.

    The header stands under the key ``semanifold`` of the safetensors metadata: format, kind, and the fields of :class:`EditInfo`.
    """
    kind = next(name for name, leaf in KINDS.items() if type(edit) is leaf)
    header = json.dumps({"format": FORMAT, "kind": kind, **asdict(edit.info)})
    tensors = {k: v.detach().cpu().contiguous() for k, v in edit.tensors().items()}
    with replacing(path) as part:
        save_file(tensors, part, metadata={"semanifold": header})


def load_edit(path: str | os.PathLike[str]) -> Edit:
    """Read an edit; the file cannot run code.

    Raises:
        SemanifoldError: if the file is missing, is not an edit, or was written by a newer semanifold.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {}).get("semanifold", "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise SemanifoldError(f"There is no file {path}; give the edit.safetensors of a run folder.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise SemanifoldError(f"{path} is not an edit of semanifold: {error}.") from error
    if header.pop("format", None) != FORMAT or header.get("kind") not in KINDS:
        raise SemanifoldError(f"{path} is not an edit that this version of semanifold reads; give the edit.safetensors of a run.")
    leaf = KINDS[header.pop("kind")]
    tuples: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in header.items()}
    try:
        return leaf.from_tensors(tensors, EditInfo(**tuples))
    except (KeyError, TypeError) as error:
        raise SemanifoldError(f"The edit {path} is damaged: {error}.") from error


def renamed(edit: Lattice, **changes: Any) -> Lattice:
    """Return the same path with other fields of its :class:`EditInfo`."""
    return Lattice(edit.offsets, edit.knots, replace(edit.info, **changes), seed=edit.seed)
