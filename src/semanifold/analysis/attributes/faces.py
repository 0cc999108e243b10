"""The factors of the bundled faces as attributes, read from pictures by the bundled network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semanifold.analysis.attributes.base import Attribute, AttributeReader
from semanifold.analysis.attributes.sampling import rgb
from semanifold.worlds.faces.attribute_network import attribute_network
from semanifold.worlds.faces.factors import factor_index, factor_names


class FacesAttributes(AttributeReader):
    """Reads factors of :data:`~semanifold.worlds.faces.factors.FACTORS` from pictures, each in [0, 1]; pictures of any size."""

    def __init__(self, names: Sequence[str] = (), device: torch.device | str = "cpu") -> None:
        """Make the reader.

        Args:
            names: factors such as ``"smile"``; all of them, in their order, when empty.
            device: where the network shall lie; pictures are brought there.

        Raises:
            SemanifoldError: for an unknown factor, with the near names.
        """
        self.columns = [factor_index(name) for name in names or factor_names()]
        self.attributes = tuple(Attribute(factor_names()[column]) for column in self.columns)
        self.device = torch.device(device)

    @torch.no_grad()
    def read(self, images: Tensor, reference: Tensor) -> Tensor:
        """See :meth:`AttributeReader.read`; returned float32 on the device of the pictures."""
        network = attribute_network(str(self.device))
        return network(rgb(images).to(self.device) * 2 - 1).clamp(0, 1)[:, self.columns].to(images.device)
