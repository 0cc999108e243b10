"""Adam against torch's own, without the import that it is for."""

import inspect

import pytest
import torch
from support import forks
from torch import Tensor

from semanifold.core.adam import Adam

RATES = (0.1, 0.05, 0.02, 0.01)


def parameters() -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    shapes = (((3, 5), torch.float32), ((4,), torch.float64), ((2,), torch.float32))
    return [torch.randn(shape, generator=draw, dtype=dtype).requires_grad_() for shape, dtype in shapes]


def differentiate(values: list[Tensor]) -> None:
    """Leave gradients, but of the last one: it does not learn."""
    sum((value.sin() * value).sum() for value in values[:2]).backward()


@pytest.mark.parametrize("fused", [False, True])
def test_it_walks_as_torch_does_to_the_bit_also_from_kept_moments(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    added = inspect.unwrap(torch.optim.Optimizer.add_param_group)  # what is around both imports a compiler
    monkeypatch.setattr(torch.optim.Optimizer, "add_param_group", added)
    ours, theirs = parameters(), parameters()
    adam, optimiser = Adam(ours, RATES[0], fused=fused), torch.optim.Adam(theirs, fused=fused)
    for step, rate in enumerate(RATES):
        if step == 2:
            kept = {number: {name: tensor.clone() for name, tensor in m.items()} for number, m in adam.moments.items()}
            adam = Adam(ours, fused=fused)
            adam.restore(kept)
        adam.rate = optimiser.param_groups[0]["lr"] = rate
        for values in (ours, theirs):
            differentiate(values)
        adam.step()
        with torch.no_grad():
            inspect.unwrap(torch.optim.Adam.step)(optimiser)
        adam.zero_grad()
        assert all(value.grad is None for value in ours)
        for value in theirs:
            value.grad = None
        assert all(map(torch.equal, ours, theirs))
    assert torch.equal(ours[2], parameters()[2])
    assert adam.moments.keys() == {0, 1}
    for number, moments in adam.moments.items():
        assert moments.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(tensor, optimiser.state[theirs[number]][name]) for name, tensor in moments.items())


IMPORTS = """
import sys, torch
from semanifold.core.adam import Adam
value = torch.ones(1, requires_grad=True)
value.sum().backward()
Adam([value]).step()
sys.exit("torch._dynamo" in sys.modules)
"""


def test_it_imports_no_compiler() -> None:
    assert forks.finish(forks.start(IMPORTS)) == 0
