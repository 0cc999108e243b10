"""Seeds: small ones give the codes that they always gave, distinct ones give distinct codes, and what is no seed is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semanifold.core.errors import SemanifoldError
from semanifold.generators.seeds import normal, uniform
from semanifold.generators.wrapped import wrap

FACES = wrap(lambda z: z[:, :3, None, None].expand(-1, 3, 4, 4), 8)
NORMAL = {  # torch.randn(8, generator=torch.Generator().manual_seed(seed))[:3]
    0: [-1.1258398294448853, -1.152360200881958, -0.2505785822868347],
    7: [-0.8201345205307007, 0.39563116431236267, 0.8989084959030151],
    2**32 - 1: [-2.664297580718994, -1.0910485982894897, 0.45144742727279663],
}


@pytest.mark.parametrize("seed", NORMAL)
def test_the_codes_of_small_seeds_never_change(seed: int) -> None:
    assert normal(seed, (32,))[:3].tolist() == NORMAL[seed]


def test_large_and_negative_seeds_have_codes_of_their_own() -> None:
    seeds = [0, 1, -1, 2**32 - 1, 2**32, 2**33, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, -(2**32), 10**400]
    for draw in (normal, uniform):
        codes = torch.stack([draw(seed, (8,)) for seed in seeds])
        assert torch.pdist(codes).min() > 0.1
    values = FACES.sample(seeds).values
    assert torch.equal(values[2], FACES.sample([-1]).values[0])


def test_the_codes_of_large_seeds_are_normal_and_uniform_and_stay_the_same() -> None:
    drawn, flat = normal(2**40, (100, 100)), uniform(2**40, (100, 100))
    assert abs(float(drawn.mean())) < 0.03
    assert abs(float(drawn.std()) - 1) < 0.03
    assert 0 < flat.min() < 0.001
    assert 0.999 < flat.max() <= 1
    assert torch.allclose(normal(2**32, (3,)), torch.tensor([-0.3202066, 1.9028251, -1.0596882]), atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(), st.integers())
def test_distinct_seeds_give_distinct_codes(a: int, b: int) -> None:
    assert torch.equal(normal(a, (8,)), normal(b, (8,))) == (a == b)


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (4, [4]),
        (np.int64(4), [4]),
        (torch.tensor(4), [4]),
        (torch.tensor([4, 5]), [4, 5]),
        (np.array([4, 5], np.uint8), [4, 5]),
        (range(4, 6), [4, 5]),
        ((np.int32(4), torch.tensor(5)), [4, 5]),
        (iter([4, 5]), [4, 5]),
    ],
)
def test_whole_numbers_of_all_kinds_are_seeds(seeds: Any, expected: list[int]) -> None:
    assert FACES.sample(seeds) == FACES.sample(expected)


@pytest.mark.parametrize(
    "seeds",
    [
        *([], (), torch.empty(0, dtype=torch.long), "7", ["7"], b"7", 7.0, [float("nan")], None, True, [False], {"a": 1}),
        *(torch.tensor([0.5]), np.zeros((2, 2), int), [[1]], range(10**12)),
    ],
)
def test_what_is_no_seed_is_refused_in_one_sentence(seeds: Any) -> None:
    with pytest.raises(SemanifoldError, match="seed") as raised:
        FACES.sample(seeds)
    assert len(str(raised.value)) < 200
