"""What stands in for figures where nothing is said of how they look: matplotlib takes most of the time of many commands."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from semanifold.images.media import Frame
from semanifold.images.plots import Filmed, mean_change


def sketched(patch: pytest.MonkeyPatch) -> None:
    """Let heat maps and plots of paths hold their numbers, as grey levels."""
    patch.setattr("semanifold.images.plots._heat_pictures", heat)
    patch.setattr("semanifold.images.plots._path_figure", path)


def heat(films: Sequence[Filmed], names: Sequence[str]) -> Frame:
    """Return each seed beside its change, in a row."""
    changes = [grey(mean_change(film.frames, film.plain)) for film in films]
    pairs = zip(films, changes)
    return np.concatenate([half for film, change in pairs for half in (film.plain, change[..., None].repeat(3, -1))], 1)


def path(
    codes: Sequence[NDArray[np.floating]], t: NDArray[np.floating], layouts: Sequence[NDArray[np.floating]], *words: object
) -> SimpleNamespace:
    """Return what saves the layouts, each code of each picture in a row with its t."""
    return SimpleNamespace(savefig=Image.fromarray(grey(np.column_stack([*layouts, np.tile(t, len(codes))]))).save)


def grey(numbers: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return numbers as levels, those outside of [0, 1] as the nearest ones."""
    return (255 * numbers.clip(0, 1)).astype(np.uint8)
