"""The state of a training: weights, optimisers, draws and log, and what moves it on."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, shown
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask
from semanifold.paths.base import PathSet
from semanifold.training.checkpoints import (
    PREVIOUS,
    SavedTraining,
    check_tensors,
    load_checkpoint,
    moments_of,
    save_checkpoint,
    training_key,
)
from semanifold.training.draws import draw_step
from semanifold.training.purity import Purity
from semanifold.training.reconstructor import Reconstructor
from semanifold.training.settings import TrainingSettings
from semanifold.training.step import STATS, TrainingStep, run_step

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True, eq=False)
class TrainingReport:
    """How far a training is, for people.

    Attributes:
        iteration: iterations done.
        iterations: iterations in all.
        stats: means since the last report, by the names of :data:`STATS`.
        history: ``[m, 6]`` float64: iteration and :data:`STATS` of every report up to now.
    """

    iteration: int
    iterations: int
    stats: dict[str, float]
    history: Tensor


class TrainingState:
    """The state of a training, and what may be done to it: iterate, report, save, resume."""

    def __init__(
        self,
        generator: Generator,
        paths: PathSet,
        reconstructor: Reconstructor,
        settings: TrainingSettings,
        mask: Mask | None,
        purity: Purity | None,
        accelerator: Accelerator,
    ) -> None:
        """Stand before the first iteration; arguments as of :func:`~semanifold.training.trainer.train_paths`."""
        self.generator, self.paths, self.reconstructor = generator, paths, reconstructor
        self.settings, self.accelerator = settings, accelerator
        self.purity = purity
        plain = TrainingStep(generator, paths, reconstructor, settings, mask, purity)
        self.step: nn.Module = accelerator.prepare_model(plain, device_placement=False)
        self.optimisers = {
            "paths": adam(paths, settings.paths_lr),
            "reconstructor": adam(reconstructor, settings.reconstructor_lr),
        }
        self.draw = torch.Generator().manual_seed(settings.seed)
        self.iteration, self.saved = 0, -1
        self.sums = torch.zeros(len(STATS) + 1, device=generator.device)  # the last one counts
        self.rows: list[list[float]] = []
        self.torn = False  # whether Ctrl-C has left it between two states
        facts = {key: value for key, value in asdict(settings).items() if key not in ("iterations", "save_every", "accumulate")}
        for younger in ("lambda_pure", "pairs_per_code"):
            if not facts[younger]:
                del facts[younger]  # younger than the checkpoints of trainings that know nothing of it
        described = {"kind": paths.kind, "space": paths.info.space, "layers": paths.info.layers, **paths.options()}
        self.key = training_key(
            {
                "settings": facts,
                "generator": generator.fingerprint,
                "paths": described,
                "reconstructor": (reconstructor.kind, reconstructor.size),
                "mask": str(mask),
            }
        )

    def iterate(self) -> None:
        """Do one iteration; Ctrl-C, if it raises KeyboardInterrupt, leaves the state as it was before.

        The gradients take nearly all of the time, and change little that has to be undone. Ctrl-C in the short update after them
        leaves the weights between two states: they are not saved then.
        """
        before = self.draw.get_state(), self.sums.clone(), [value.clone() for value in self.reconstructor.buffers()]
        try:
            self.differentiate()
            self.torn = True
        except KeyboardInterrupt:
            self.torn = True
            self._undo(*before)
            self.torn = False
            raise
        self.update()
        self.torn = False

    def differentiate(self) -> None:
        """Leave the gradients of one batch: every process draws the whole batch and works on its own part of it."""
        settings, here = self.settings, self.accelerator
        whole = draw_step(
            self.generator,
            settings.prior,
            len(self.paths),
            (settings.min_magnitude, settings.max_magnitude),
            settings.batch,
            self.draw,
            settings.sharing,
        )
        parts = [whole.part(number, settings.accumulate) for number in range(settings.accumulate)]
        for number, part in enumerate(parts):
            mine = part.part(here.process_index, here.num_processes)
            with here.no_sync(self.step) if number + 1 < len(parts) else nullcontext():
                loss, row = run_step(self.step, mine)
                here.backward(loss / settings.accumulate)
            self.sums[:-1] += row / settings.accumulate
        self.sums[-1] += 1

    def update(self) -> None:
        """Let both optimisers take the step of these gradients."""
        settings = self.settings
        rate = settings.rate(self.iteration)
        for name, optimiser in self.optimisers.items():
            if optimiser is not None:
                optimiser.param_groups[0]["lr"] = rate * (settings.paths_lr if name == "paths" else settings.reconstructor_lr)
                optimiser.step()
                optimiser.zero_grad()
        self.iteration += 1

    def _undo(self, draw: Tensor, sums: Tensor, buffers: list[Tensor]) -> None:
        """Take back what an unfinished :meth:`differentiate` has changed."""
        self.draw.set_state(draw)
        self.sums = sums
        with torch.no_grad():
            for value, kept in zip(self.reconstructor.buffers(), buffers, strict=True):
                value.copy_(kept)
        for optimiser in self.optimisers.values():
            if optimiser is not None:
                optimiser.zero_grad()

    @property
    def due(self) -> bool:
        """Whether a report is due, and has not been made yet."""
        return self.iteration % self.settings.log_every == 0 and float(self.sums[-1]) > 0

    def report(self) -> TrainingReport:
        """Average since the last report, over all processes; the sums begin anew.

        Raises:
            SemanifoldError: if the loss is NaN or infinite.
        """
        *sums, count = self._mean_sums().tolist()
        means = [value / count for value in sums]
        if not math.isfinite(means[-1]):
            raise SemanifoldError(
                f"The loss became NaN or infinite before iteration {self.iteration}; try smaller learning rates or magnitudes."
            )
        self.torn = True
        self.sums.zero_()
        self.rows.append([float(self.iteration), *means])
        self.torn = False
        return TrainingReport(self.iteration, self.settings.iterations, dict(zip(STATS, means)), self.history())

    def history(self) -> Tensor:
        """Return ``[m, 6]`` float64: iteration and :data:`STATS` of every report."""
        return torch.tensor(self.rows, dtype=torch.float64).reshape(-1, 1 + len(STATS))

    def agreed(self, stop: bool) -> bool:
        """Return whether any process wants to stop."""
        if self.accelerator.num_processes == 1:
            return stop
        wish = torch.tensor(float(stop), device=self.generator.device)
        return float(self.accelerator.reduce(wish)) > 0  # type: ignore[arg-type]  # a tensor of a tensor

    def keep(self, folder: Path | None) -> None:
        """Save what is not saved yet, if there is a folder; a finished training needs no older checkpoint."""
        if folder is None or self.torn:
            return
        if self.saved != self.iteration:
            self.save(folder)
        if self.iteration >= self.settings.iterations and self.accelerator.is_main_process:
            (folder / PREVIOUS).unlink(missing_ok=True)

    def save(self, folder: Path) -> None:
        """Write a checkpoint, in the main process."""
        self.sums = self._mean_sums()
        if self.accelerator.is_main_process:
            save_checkpoint(folder, SavedTraining(self.iteration, self._tensors()), self.key)
        self.saved = self.iteration
        self.accelerator.wait_for_everyone()

    def resume(self, folder: Path, remark: Callable[[str], None]) -> None:
        """Take up the newest good checkpoint, if there is one."""
        saved = load_checkpoint(folder, self.key)
        if saved is None:
            return
        if saved.damaged and self.accelerator.is_main_process:
            remark(saved.damaged)
        tensors = saved.tensors
        check_tensors(tensors, self._weights(), moments_of(self.optimisers), folder)
        if saved.iteration > self.settings.iterations:
            raise SemanifoldError(
                f"The checkpoint in {shown(str(folder), 200)} is said to be of iteration {saved.iteration}, beyond the last one; "
                "delete it to begin anew, or give another out=."
            )
        for name, module in (("paths", self.paths), ("reconstructor", self.reconstructor)):
            module.load_state_dict(without_prefix(tensors, f"{name}."))
            optimiser = self.optimisers[name]
            if optimiser is not None:
                state = optimiser.state_dict()
                state["state"] = {
                    number: without_prefix(tensors, f"optimiser.{name}.{number}.")
                    for number in state["param_groups"][0]["params"]
                }
                optimiser.load_state_dict(state)
        try:
            self.draw.set_state(tensors["draw"])
        except RuntimeError as error:
            raise SemanifoldError(f"The checkpoint in {folder} is damaged in its draws; delete it to begin anew.") from error
        self.sums = tensors["sums"].to(self.sums)
        self.rows = tensors["history"].tolist()
        self.iteration = self.saved = saved.iteration

    def _weights(self) -> dict[str, Tensor]:
        tensors = {"draw": self.draw.get_state(), "sums": self.sums, "history": self.history()}
        for name, module in (("paths", self.paths), ("reconstructor", self.reconstructor)):
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        return tensors

    def _tensors(self) -> dict[str, Tensor]:
        tensors = self._weights()
        for name, optimiser in self.optimisers.items():
            if optimiser is not None:
                for number, state in optimiser.state_dict()["state"].items():
                    tensors |= {f"optimiser.{name}.{number}.{key}": value for key, value in state.items()}
        return tensors

    def _mean_sums(self) -> Tensor:
        if self.accelerator.num_processes == 1:
            return self.sums
        return self.accelerator.reduce(self.sums, "mean")  # type: ignore[return-value]  # a tensor of a tensor


def adam(module: nn.Module, rate: float) -> torch.optim.Adam | None:
    """Return Adam (arXiv:1412.6980) with its usual constants for the parameters that learn; None if there are none."""
    learning = [p for p in module.parameters() if p.requires_grad]
    if not learning:
        return None
    return torch.optim.Adam(learning, lr=rate, fused=learning[0].device.type in ("cpu", "cuda"))


def without_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, under the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
