"""What some generators can do beside making pictures; every method refuses until a leaf overrides it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.latents import Latents

if TYPE_CHECKING:
    from semanifold.generators.inputs import Inputs


class Capabilities:
    """What a :class:`~semanifold.generators.base.Generator` may be able to do: nobody asks for its class or its name.

    Attributes:
        name: what people call the generator.
        inputs: what the seeds of a generator that makes pictures of pictures number, such as label maps; None for all others.
        truncates: whether codes can be pulled towards a mean; see :meth:`truncate`.
        takes_inputs: whether pictures are made of pictures; see :meth:`with_inputs`.
    """

    name: str
    inputs: Inputs | None = None
    truncates: ClassVar[bool] = False
    takes_inputs: ClassVar[bool] = False

    def codes_in(self, place: str | os.PathLike[str]) -> Latents:
        """Return the codes of the inputs in a file or a folder, in the order of their names.

        Raises:
            SemanifoldError: for a generator that takes none, such as one that draws pictures from seeds.
        """
        raise SemanifoldError(
            f"{self.name} draws its pictures from seeds, which are whole numbers such as 7, but "
            f"{shown(repr(os.fspath(place)), 60)} was given."
        )

    def with_folder(self, place: str | os.PathLike[str], *, say: Callable[[str], object]) -> Self:
        """Return the same generator with the inputs in a folder for its seeds to number.

        Args:
            place: the folder, or one file.
            say: gets what was assumed.

        Raises:
            SemanifoldError: for a generator that takes none, and for inputs that do not fit.
        """
        raise SemanifoldError(
            f"{self.name} draws its pictures from seeds, and takes no inputs such as label maps; leave inputs= out."
        )

    def with_inputs(self, inputs: Inputs) -> Self:
        """Return the same generator with other things that seeds number, of another size perhaps; all weights are shared.

        Raises:
            SemanifoldError: for a generator that takes none, or not of that size.
        """
        raise SemanifoldError(f"{self.name} takes no inputs such as label maps.")

    def truncate(self, latents: Latents, psi: float, cutoff: int | None = None) -> Latents:
        """Pull codes towards the mean code.

        Args:
            latents: codes of any space.
            psi: 0 for the mean picture, 1 for no change.
            cutoff: only the first so many layers are pulled; all when None.

        Raises:
            SemanifoldError: for a generator that knows no mean; see :attr:`truncates`.
        """
        raise SemanifoldError(f"{self.name} has no mean to truncate towards; leave truncation= out.")

    def mix(self, a: Latents, b: Latents, layers: tuple[int, int]) -> Latents:
        """Return the codes of ``a`` with those of ``b`` in the layers ``(first, last + 1)``.

        Raises:
            SemanifoldError: for a generator whose layers have no codes of their own.
        """
        raise SemanifoldError(f"{self.name} has no layers with codes of their own, which style mixing takes.")

    def with_noise(self, kind: str, seed: int = 0) -> Self:
        """Return the same generator with other noise in its layers.

        Args:
            kind: ``"const"`` for what the file holds, ``"none"``, or ``"random"``: drawn anew for every picture.
            seed: of what is drawn.

        Raises:
            SemanifoldError: for a generator without noise.
        """
        if kind == "const":
            return self
        raise SemanifoldError(f"{self.name} has no noise in its layers; leave noise= out.")

    def noise_maps(self) -> Mapping[str, Tensor]:
        """Return the noise maps that the layers add to features, by their names; none of most generators."""
        return {}

    def affine_maps(self, space: str, layers: tuple[int, int] | None = None) -> list[Tensor] | None:
        """Return the affine maps ``[out, d]`` that codes of a space meet first, in some layers; None where none are known.

        Args:
            space: of the codes.
            layers: ``(first, last + 1)`` of w+; all when None.

        Raises:
            SemanifoldError: for a space whose codes no map meets.
        """
        return None

    def channel_index(self, name: str) -> int:
        """Return the place in a code of s, the styles, of a channel such as ``"6_364"``.

        Raises:
            SemanifoldError: for a generator without styles, or if there is no such channel.
        """
        raise SemanifoldError(f"Channels are those of the styles of a StyleGAN2, and {self.name} has none.")

    def channel_name(self, index: int) -> str:
        """Return the name of the channel at a place in a code of s; see :meth:`channel_index`."""
        raise SemanifoldError(f"Channels are those of the styles of a StyleGAN2, and {self.name} has none.")
