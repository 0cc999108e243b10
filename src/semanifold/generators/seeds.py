"""Seeds: whole numbers that name codes; distinct ones give distinct codes.

PyTorch's generator on the CPU keeps the last 32 bits of a seed only. Seeds from 0 to 2^32 - 1 go through it, all others through a
hash of the whole number.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, shown

Seeds = int | Sequence[int] | str | os.PathLike[str]
"""One seed or several; for a generator that makes pictures of pictures also a file or a folder of them."""

SMALL = 1 << 32
"""Seeds below this, from 0 on, are PyTorch's own."""
MOST_SEEDS = 1_000_000


def seed_numbers(seeds: Any) -> list[int]:
    """Return the seeds in what a person gave: one whole number, or a sequence, array or tensor of them.

    Raises:
        SemanifoldError: for none, too many, and for what is no whole number.
    """
    if isinstance(seeds, Tensor) and (seeds.layout != torch.strided or seeds.is_meta):
        raise SemanifoldError("Seeds are whole numbers, but a sparse or meta tensor was given.")
    if isinstance(seeds, (Tensor, np.ndarray)):
        seeds = seeds.tolist()
    if isinstance(seeds, (str, bytes)) or not hasattr(seeds, "__iter__"):
        seeds = [seeds]
    if isinstance(seeds, Sequence) and len(seeds) > MOST_SEEDS:
        raise SemanifoldError(f"At most {MOST_SEEDS:,} codes are drawn at once, but {len(seeds):,} seeds were given.")
    numbers = [seed_number(seed) for seed in itertools.islice(seeds, MOST_SEEDS + 1)]
    if len(numbers) > MOST_SEEDS:
        raise SemanifoldError(f"At most {MOST_SEEDS:,} codes are drawn at once, but more seeds were given.")
    if not numbers:
        raise SemanifoldError("There is no seed; give at least one whole number, such as 7 or [7, 8].")
    return numbers


def seed_number(seed: Any) -> int:
    """Return one seed as an int; see :func:`seed_numbers`."""
    if isinstance(seed, Tensor) and seed.ndim == 0:
        seed = seed.item()
    try:
        if isinstance(seed, (bool, np.bool_)):
            raise TypeError
        return operator.index(seed)
    except TypeError as error:
        raise SemanifoldError(f"A seed is a whole number, such as 7, but {shown(repr(seed), 40)} was given.") from error


def normal(seed: int, shape: Sequence[int]) -> Tensor:
    """Return standard normal numbers of a seed, float32 on the CPU."""
    if 0 <= seed < SMALL:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.special.ndtri(_hashed(seed, shape)).float()


def uniform(seed: int, shape: Sequence[int]) -> Tensor:
    """Return numbers of a seed, uniform in [0, 1], float32 on the CPU."""
    if 0 <= seed < SMALL:
        return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
    return _hashed(seed, shape).float()


def _hashed(seed: int, shape: Sequence[int]) -> Tensor:
    """Return float64 numbers strictly between 0 and 1: the 52 highest bits of each eight bytes of SHAKE-256 of the seed."""
    count = int(np.prod(shape))
    text = seed.to_bytes(seed.bit_length() // 8 + 1, "little", signed=True)
    bits = np.frombuffer(hashlib.shake_256(text).digest(8 * count), dtype="<u8")
    return torch.from_numpy(((bits >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52).reshape(*shape)
