"""What an inversion can be set; the signature is the configuration. Read without torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from semanifold.core.errors import SemanifoldError, near_names, of_type, shown, whole_number

MOST_WEIGHT = 1e6
MOST_STEPS = 1_000_000
MOST_STARTS = 100_000
DISTANCES = ("l2", "faces", "lpips-alex", "lpips-vgg", "lpips-squeeze")
"""The names of :mod:`semanifold.images.distances`, which brings torch; settings are read without it."""


@dataclass(frozen=True)
class InversionSettings:
    """How to look for the code of a picture.

    Attributes:
        space: latent space of the code; ``w+`` if left out (None), or the first space of a generator without w+.
        distance: the perceptual distance: ``faces``, ``lpips-alex``, ``lpips-vgg``, ``lpips-squeeze``, or ``l2`` for pixels
            alone; if left out (None) the one of the generator's world, or pixels alone.
        pixels: weight of the mean squared difference of the pixels.
        perceptual: weight of the perceptual distance.
        naturalness: weight of the mean square of the code's natural coordinates, which is 1 for the generator's own codes:
            larger keeps the code where edits work, smaller comes nearer to the picture.
        independence: how freely layers of ``w+`` may part, from 0 (they move together, as in w) to 1 (each goes its own way).
        starts: number of random codes that are compared, beside the mean, to begin from.
        tries: how many of these are followed for a few steps before the best is chosen.
        steps: most steps of the descent.
        tolerance: the search ends when five steps lower the objective by less than this share.
        enough: the search ends when the picture is as near as this, in dB of PSNR: nobody sees a difference at 45.
        seed: number of the random draws.
    """

    space: str | None = None
    distance: str | None = None
    pixels: float = 1.0
    perceptual: float = 1.0
    naturalness: float = 2e-3
    independence: float = 0.25
    starts: int = 32
    tries: int = 2
    steps: int = 100
    tolerance: float = 0.03
    enough: float = 45.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SemanifoldError: naming the field, what was given and what is expected.
        """
        for name in ("space", "distance"):
            if getattr(self, name) is not None:
                of_type(getattr(self, name), str, f"{name} is given by its name")
        if self.distance is not None and self.distance not in DISTANCES:
            raise SemanifoldError(f"There is no distance {shown(self.distance, 40)!r}: {near_names(self.distance, DISTANCES)}")
        for name, most in (("pixels", MOST_WEIGHT), ("perceptual", MOST_WEIGHT), ("naturalness", MOST_WEIGHT)):
            _check_number(self, name, most)
        _check_number(self, "independence", 1)
        _check_number(self, "tolerance", 1)
        _check_number(self, "enough", 200)
        whole_number(self.starts, 0, MOST_STARTS, "starts")
        whole_number(self.tries, 1, MOST_STARTS, "tries")
        whole_number(self.steps, 1, MOST_STEPS, "steps")
        whole_number(self.seed, -(1 << 63), (1 << 63) - 1, "seed")
        if not self.pixels and not (self.perceptual and self.distance != "l2"):
            raise SemanifoldError("Pixels and perceptual distance both have weight 0, so nothing pulls towards the picture.")


@dataclass(frozen=True)
class TuningSettings:
    """How to tune the weights of a generator to one picture.

    Attributes:
        steps: most steps.
        rate: how far a step of Adam moves a weight, as a share of the root mean square of its layer.
        locality: weight of the pictures of other codes, which should stay as they are; 0 is faster, and breaks them.
        enough: the tuning ends when the picture is as near as this, in dB of PSNR.
        seed: number of the random draws.
    """

    steps: int = 100
    rate: float = 1e-3
    locality: float = 0.15
    enough: float = 45.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SemanifoldError: naming the field, what was given and what is expected.
        """
        whole_number(self.steps, 1, MOST_STEPS, "steps")
        whole_number(self.seed, -(1 << 63), (1 << 63) - 1, "seed")
        for name, most in (("rate", 1), ("locality", MOST_WEIGHT), ("enough", 200)):
            _check_number(self, name, most)


@dataclass(frozen=True)
class NoiseSettings:
    """How to fit the noise maps of a generator to one picture.

    Attributes:
        steps: most steps.
        rate: of Adam, at its highest.
        regularity: weight of what keeps the maps random; without it they take content from the code. The published one is 1e5,
            beside another distance and over 1,000 steps; in a tenth of the steps it leaves the picture hardly any say.
        enough: the fitting ends when the picture is as near as this, in dB of PSNR.
    """

    steps: int = 100
    rate: float = 0.1
    regularity: float = 1.0
    enough: float = 45.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SemanifoldError: naming the field, what was given and what is expected.
        """
        whole_number(self.steps, 1, MOST_STEPS, "steps")
        for name, most in (("rate", 10), ("regularity", 1e9), ("enough", 200)):
            _check_number(self, name, most)


@dataclass(frozen=True)
class EncoderSettings:
    """How to train an encoder on a generator's own samples.

    Attributes:
        steps: steps of training; each draws new codes.
        batch: codes of a step.
        rate: of Adam, at the beginning.
        pictures: weight of the mean squared difference of the pictures, in the second half of the training.
        disturbance: how much the pictures are disturbed: 0 leaves them as they are, 1 is what a usual camera does.
        seed: number of the random draws.
    """

    steps: int = 3000
    batch: int = 32
    rate: float = 1e-3
    pictures: float = 1.0
    disturbance: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            SemanifoldError: naming the field, what was given and what is expected.
        """
        whole_number(self.steps, 1, MOST_STEPS, "steps")
        whole_number(self.batch, 1, 4096, "batch")
        whole_number(self.seed, -(1 << 63), (1 << 63) - 1, "seed")
        for name, most in (("rate", 1), ("pictures", MOST_WEIGHT), ("disturbance", 10)):
            _check_number(self, name, most)


def _check_number(settings: object, name: str, most: float) -> None:
    value = getattr(settings, name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or not 0 <= value <= most:
        raise SemanifoldError(f"{name} is a number from 0 to {most:g}, but got {shown(repr(value), 60)}.")
