"""Adam, without the compiler that the optimisers of ``torch.optim`` import: it takes over a second of every process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with its usual constants: the steps of ``torch.optim.Adam``, bit for bit.

    Attributes:
        parameters: what it moves, in place.
        rate: of the next step.
        moments: ``step``, ``exp_avg`` and ``exp_avg_sq`` of every parameter that has taken one, by its number.
    """

    def __init__(self, parameters: Iterable[Tensor], rate: float = 1e-3, *, fused: bool = False) -> None:
        """Stand before the first step.

        Args:
            parameters: leaves that learn, all on one device.
            rate: of the first step.
            fused: let one kernel do it all, on CPU and CUDA; it rounds otherwise.
        """
        self.parameters, self.rate, self.fused = list(parameters), rate, fused
        self.moments: dict[int, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Take a step along the gradients; parameters without one stay."""
        moved = [(number, value, value.grad) for number, value in enumerate(self.parameters) if value.grad is not None]
        for number, value, _ in moved:
            if number not in self.moments:
                steps = torch.zeros((), dtype=torch.float32, device=value.device if self.fused else "cpu")
                averages = {name: torch.zeros_like(value) for name in ("exp_avg", "exp_avg_sq")}
                self.moments[number] = {"step": steps, **averages}
        first, second, steps = (
            [self.moments[number][name] for number, _, _ in moved] for name in ("exp_avg", "exp_avg_sq", "step")
        )
        values, gradients = [value for _, value, _ in moved], [gradient for _, _, gradient in moved]
        adam(
            values, gradients, first, second, [], steps, fused=self.fused or None, lr=self.rate,
            beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0, amsgrad=False, maximize=False,
        )  # fmt: skip

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for value in self.parameters:
            value.grad = None

    def restore(self, moments: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Go on from moments that were kept, brought to the type and device of the parameters."""
        self.moments = {
            number: {
                name: tensor.to(device=self.parameters[number].device if self.fused else "cpu", dtype=torch.float32)
                if name == "step"
                else tensor.to(self.parameters[number])
                for name, tensor in kept.items()
            }
            for number, kept in moments.items()
        }
