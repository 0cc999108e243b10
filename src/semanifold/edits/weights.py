"""Edits of the weights of a generator: changes that no latent reaches (Cherepkov et al. 2021, arXiv:2011.13786)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents, condition_tensors
from semanifold.core.shapes import EditTimes, Pictures, Times, Way
from semanifold.core.spaces import Space
from semanifold.edits.base import Edit, EditInfo, check_counts
from semanifold.edits.lattice import Lattice, start_of
from semanifold.generators.base import Generator, origin
from semanifold.generators.editing import check_layers, moved, weight_of, with_weights
from semanifold.generators.mixed_weight import MixedWeight, whole_numbers

DELTA, COURSE, START = "delta.", "course.", "seed."
MOST_LAYERS = 1000


class WeightEdit(Edit):
    """A straight path in the weights of one layer or several: ``W + t delta``, the same for every picture.

    The change is added to the raw weight, before any modulation, demodulation or normalisation of the layer. ``t = 0`` is the
    unedited picture bit for bit. With a course, ``W + course(t) delta``, the way is walked at another speed, or back again.
    """

    kind: ClassVar[str] = "weights"

    def __init__(
        self,
        deltas: Mapping[str, Tensor],
        info: EditInfo,
        *,
        course: Lattice | None = None,
        start: Latents | None = None,
    ) -> None:
        """Make the edit.

        Args:
            deltas: by layer, what ``t = 1`` adds to its weight, of the weight's shape.
            info: what the file says about the edit.
            course: how far the change has gone at ``t``, as displacements ``[n, 1]`` on a line of knots; ``t`` itself when None.
            start: the code of the picture that it is looked at on, if any.

        Raises:
            SemanifoldError: if there is no layer, or a change is not finite.
        """
        if not deltas or len(deltas) > MOST_LAYERS:
            raise SemanifoldError(f"An edit of weights changes 1 to {MOST_LAYERS:,} layers, but {len(deltas)} were given.")
        for layer, delta in deltas.items():
            if not torch.isfinite(delta).all():
                raise SemanifoldError(f"The change of the weight of {shown(layer, 60)} holds NaN or infinite values.")
        if course is not None and (course.dimensions != 1 or course.moving_shape != (1,)):
            raise SemanifoldError(f"The course of an edit is one number on a line, not {list(course.moving_shape)}.")
        self.deltas, self.info, self.start = dict(sorted(deltas.items())), info, start  # files keep no order
        self.course = course or _straight(info)
        self.knots = self.course.knots

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose weights change."""
        return tuple(self.deltas)

    def embedded(self, space: Space, generator: Generator | None = None) -> WeightEdit:
        """See :meth:`Edit.embedded`: no codes move."""
        return self

    @property
    def norm(self) -> float:
        """Euclidean norm of the change at ``t = 1``, over all layers."""
        return float(torch.stack([delta.double().square().sum() for delta in self.deltas.values()]).sum().sqrt())

    def way(self, t: EditTimes) -> Way:
        """See :meth:`Edit.way`: the norm of the change."""
        return self.course.displacement(t) * self.norm

    def along(self, places: Times, knots: Times) -> Self:
        """See :meth:`Edit.along`."""
        course = self.course.along(places, knots)
        return type(self)(self.deltas, replace(self.info, usable=course.info.usable), course=course, start=self.start)

    @property
    def what_moves(self) -> str:
        """See :attr:`Edit.what_moves`."""
        return "the weights of " + ", ".join(f"{shown(layer, 40)} {list(delta.shape)}" for layer, delta in self.deltas.items())

    def space(self, generator: Generator) -> str:
        """See :meth:`Edit.space`; codes of any space will do: that of the start, if there is one, or the first."""
        return generator.first_space if self.start is None else self.start.space

    def check(self, generator: Generator) -> None:
        """See :meth:`Edit.check`."""
        check_layers(generator, self.layers, generator.noise_maps())
        for layer, delta in self.deltas.items():
            shape = tuple(weight_of(generator, layer).shape)
            if tuple(delta.shape) != shape:
                raise SemanifoldError(
                    f"The edit changes weights {list(delta.shape)} in {shown(layer, 60)}, but those of {generator.name} are "
                    f"{list(shape)}; it was made for {origin(self.info.generator)}."
                )

    def applied(self, generator: Generator, latents: Latents, t: EditTimes) -> tuple[Generator, Latents]:
        """See :meth:`Edit.applied`; frames of one picture share all work before the first layer that changes."""
        self.check(generator)
        check_counts(len(latents), len(t))
        t = t.to(latents.values).expand(max(len(latents), len(t)))
        if not generator.shares_frames:
            latents = latents.with_values(latents.values.expand(len(t), *latents.values.shape[1:]))
        t = self.course.displacement(t).to(t).flatten()
        index = torch.zeros(len(t), 1, dtype=torch.int64, device=t.device)
        changes = {
            layer: MixedWeight.along(first_kernel(generator, layer), lambda _, delta=delta: delta, index, t[:, None])
            for layer, delta in self.deltas.items()
        }
        return moved(generator, changes), latents

    def images(
        self, generator: Generator, latents: Latents | int | Sequence[int], t: EditTimes | float | Sequence[float]
    ) -> Pictures:
        """See :meth:`Edit.images`; at ``t = 0`` the picture is the generator's own to the last bit."""
        return unedited_at_zero(self, generator, latents, t, super().images)

    def baked(self, generator: Generator, t: float = 1.0) -> Generator:
        """See :meth:`Edit.baked`."""
        self.check(generator)
        far, weights = float(self.course.displacement(t)), {layer: weight_of(generator, layer) for layer in self.deltas}
        changes = {layer: far * delta.to(weights[layer]) for layer, delta in self.deltas.items()}
        return with_weights(generator, {layer: weights[layer] + changes[layer] for layer in weights})

    def tensors(self) -> dict[str, Tensor]:
        """See :meth:`Edit.tensors`."""
        course = {COURSE + key: value for key, value in self.course.tensors().items()}
        return {DELTA + layer: delta for layer, delta in self.deltas.items()} | course | self.start_tensors(self.start)

    @staticmethod
    def start_tensors(start: Latents | None) -> dict[str, Tensor]:
        """Return what a file holds of a code of any space."""
        if start is None:
            return {}
        return {START + start.space: start.values} | condition_tensors(start)

    @staticmethod
    def start_from(tensors: Mapping[str, Tensor]) -> Latents | None:
        """Return the code of a file that :meth:`start_tensors` has written, if it is there."""
        for key, value in tensors.items():
            if key.startswith(START):
                return start_of({**tensors, "seed": value}, EditInfo(space=shown(key.removeprefix(START), 20)))
        return None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], info: EditInfo) -> Self:
        """See :meth:`Edit.from_tensors`."""
        deltas = {key.removeprefix(DELTA): value for key, value in tensors.items() if key.startswith(DELTA)}
        course = {key.removeprefix(COURSE): value for key, value in tensors.items() if key.startswith(COURSE)}
        if not deltas:
            raise KeyError(f"{DELTA}LAYER")
        return cls(deltas, info, course=Lattice.from_tensors(course, EditInfo(usable=info.usable)), start=cls.start_from(tensors))


def _straight(info: EditInfo) -> Lattice:
    """Return the course on which ``t`` is how far an edit has gone."""
    ends = [min(info.usable[0], 0.0), 0.0, max(info.usable[1], 0.0)]
    knots = torch.tensor(sorted(set(ends))) if len(set(ends)) > 1 else torch.tensor([0.0, 1.0])
    return Lattice(knots[:, None].clone(), [knots], EditInfo(usable=info.usable))


def unedited_at_zero(
    edit: Edit,
    generator: Generator,
    latents: Latents | int | Sequence[int],
    t: EditTimes | float | Sequence[float],
    images: Callable[[Generator, Latents, EditTimes], Pictures],
) -> Pictures:
    """Return the pictures of an edit, those at ``t = 0`` as the generator makes them, to the last bit."""
    codes = edit.codes(generator, latents)
    moments = edit.moments(t, codes)
    pictures = images(generator, codes, moments)
    still = (moments == 0).expand(len(pictures)).nonzero().flatten()
    if not len(still):
        return pictures
    plain = generator.images(codes if len(codes) == 1 else codes[whole_numbers(still)])
    return pictures.index_copy(0, still, plain.expand(len(still), *plain.shape[1:]))


def first_kernel(generator: Generator, layer: str) -> Tensor:
    """Return the weight of a layer that its own changes are added to, also where other edits have added some."""
    weight = weight_of(generator, layer)
    return weight.kernels[0] if isinstance(weight, MixedWeight) else weight
