"""What the shapes of its weights say about a StyleGAN2, and its layers in the order in which they are computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.generators.styles import StyleLayer

Architecture = Literal["skip", "resnet", "orig"]
LARGEST_CONST = 64
"""Height and width of the constant, at most; that of nearly all is 4 x 4."""


@dataclass(frozen=True)
class StyleGAN2Config:
    """Everything that the shapes of the weights say about a StyleGAN2; every number is JSON-ready.

    Attributes:
        size: height of the pictures: that of ``const``, doubled at least once.
        z_dim: width of z.
        w_dim: width of w.
        channels: feature channels at every height: 4, 8, 16, ... ``size`` pixels where the constant is square.
        mapping_layers: layers of the mapping network.
        mapping_width: width of its hidden layers; ``w_dim`` when None.
        mapping_lr: its learning rate multiplier, which also scales its weights.
        classes: number of classes, 0 without.
        joint_norm: z and the embedded class are normalised together (the TensorFlow code of 2019), not each by itself.
        colours: channels of the pictures.
        architecture: sum of small pictures (``skip``), residual blocks (``resnet``) or a plain stack (``orig``).
        clamp: features and colours are clamped to ``[-clamp, clamp]``; None for no limit.
        const: height and width of the constant that the synthesis starts from, and so the proportions of the pictures.
    """

    size: int
    z_dim: int
    w_dim: int
    channels: tuple[int, ...]
    mapping_layers: int = 8
    mapping_width: int | None = None
    mapping_lr: float = 0.01
    classes: int = 0
    joint_norm: bool = False
    colours: int = 3
    architecture: Architecture = "skip"
    clamp: float | None = None
    const: tuple[int, int] = (4, 4)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "const", tuple(self.const))
        if len(self.const) != 2 or not all(1 <= side <= LARGEST_CONST for side in self.const):
            raise SemanifoldError(
                f"The constant of a StyleGAN2 has a height and a width from 1 to {LARGEST_CONST}, but got {list(self.const)}."
            )
        first, doublings = self.const[0], (self.size // self.const[0]).bit_length() - 1
        if doublings < 1 or self.size != first << doublings:
            raise SemanifoldError(
                f"A StyleGAN2 makes pictures of {2 * first}, {4 * first}, {8 * first}, ... pixels, not {self.size}; choose "
                f"{'a power of two' if first == 4 else f'{first} times a power of two'}."
            )
        if len(self.channels) != doublings + 1:
            raise SemanifoldError(
                f"A StyleGAN2 of {self.size} pixels needs {doublings + 1} channel counts (for {first}, {2 * first}, ... "
                f"{self.size} pixels), but got {len(self.channels)}."
            )
        if self.architecture not in ("skip", "resnet", "orig"):
            hint = near_names(self.architecture, ("skip", "resnet", "orig"))
            raise SemanifoldError(f"There is no StyleGAN2 architecture {self.architecture!r}: {hint}")

    @property
    def num_ws(self) -> int:
        """Codes in w+: one a convolution and one for the last colour layer."""
        return 2 * len(self.channels)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Heights and widths, from the constant to the pictures."""
        height, width = self.const
        return tuple((height << i, width << i) for i in range(len(self.channels)))


def layer_table(config: StyleGAN2Config) -> tuple[StyleLayer, ...]:
    """Return the layers that codes of w+ drive, in the order in which they are computed."""
    c, last, table = config.channels, len(config.channels) - 1, []
    for i, (height, _) in enumerate(config.sizes):
        if i:
            table.append(StyleLayer(f"convs.{2 * i - 1}", 2 * i - 1, height, "up", c[i - 1]))
        table.append(StyleLayer(f"convs.{2 * i}", 2 * i, height, "conv", c[i]))
        if config.architecture == "skip" or i == last:
            name = f"colours.{i if config.architecture == 'skip' else 0}"
            table.append(StyleLayer(name, 2 * i + 1, height, "colour", c[i]))
    return tuple(table)
