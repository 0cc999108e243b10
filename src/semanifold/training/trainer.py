"""The one trainer: paths and the reconstructor that tells them apart, learned together without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.extras import missing_package
from semanifold.core.progress import Watch, followed, watching
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask
from semanifold.paths.base import PathSet
from semanifold.training.batchnorm import global_statistics
from semanifold.training.draws import check_prior, draw_step
from semanifold.training.purity import Purity
from semanifold.training.reconstructor import Reconstructor, check_fits
from semanifold.training.settings import TrainingSettings
from semanifold.training.state import TrainingReport, TrainingState
from semanifold.training.step import STATS

if TYPE_CHECKING:
    from accelerate import Accelerator

UNSEEN = 0x5EED
"""Added to the seed for the draws of the final test."""


@dataclass(frozen=True, eq=False)
class Trained:
    """How a training ended; the paths and the reconstructor were changed in place.

    Attributes:
        iteration: iterations done.
        interrupted: whether it ended early, by Ctrl-C or because it was to stop.
        history: ``[m, 6]`` float64: iteration and :data:`STATS` of every report.
    """

    iteration: int
    interrupted: bool
    history: Tensor


@dataclass(frozen=True)
class HeldOut:
    """How well a reconstructor does on draws that the training has not seen.

    Attributes:
        accuracy: share of paths named rightly (RCA).
        magnitude_error: mean absolute error of the magnitude.
        sign_accuracy: share of signs named rightly.
        chance: ``1 / K``.
        draws: pairs of pictures.
        accuracy_of_path: accuracy of each path; None if it was not drawn.
    """

    accuracy: float
    magnitude_error: float
    sign_accuracy: float
    chance: float
    draws: int
    accuracy_of_path: list[float | None]


def make_accelerator(device: str | None = None) -> Accelerator:
    """Return what knows the processes (``accelerate launch``), this process's device, and how to exchange gradients.

    Args:
        device: where the user wants to work; None for the best there is.

    Raises:
        SemanifoldError: if accelerate is not installed.
    """
    try:
        from accelerate import Accelerator  # noqa: PLC0415  (slow to import)
    except ImportError as error:
        raise missing_package("Training", "accelerate", "train") from error
    # without a GPU it must know of them, or several processes would each take themselves for the only one
    alone = device is None and not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return Accelerator(cpu=alone or device == "cpu")


def end_together(accelerator: Accelerator) -> None:
    """Let go of the other processes when all have arrived: one that closes its connections early can abort the others."""
    if accelerator.num_processes > 1:
        accelerator.wait_for_everyone()
        accelerator.end_training()


def check_learnable(generator: Generator, paths: PathSet) -> None:
    """Refuse a generator that gives the parameters of a set nothing to learn from.

    Raises:
        SemanifoldError: if pictures cannot be differentiated.
    """
    if any(value.requires_grad for value in paths.parameters()):
        generator.check_differentiable(generator.example([0], paths.space(generator)))


@dataclass(frozen=True)
class Iteration:
    """How far a training is, between two iterations.

    Attributes:
        step: iterations done.
        steps: iterations in all.
        log: the means since the last report, if one is due now.
    """

    step: int
    steps: int
    log: TrainingReport | None
    _state: TrainingState = field(repr=False, compare=False)
    _folder: Path | None = field(repr=False, compare=False)

    def report(self) -> dict[str, float]:
        """Return what a progress callback gets: how far it is, and the two numbers of the last report that a person watches."""
        last = dict(zip(STATS, self._state.rows[-1][1:])) if self._state.rows else {}
        numbers = {"accuracy": last["accuracy"], "loss": last["total_loss"]} if last else {}
        return {"step": self.step, "steps": self.steps, **numbers}

    def save(self) -> None:
        """Save the state in the folder of the training, if it has one, so that it goes on from here; for whoever stops now."""
        self._state.keep(self._folder)

    def ended(self) -> Trained:
        """Return the end of a training that is not gone on with."""
        state = self._state
        return Trained(state.iteration, state.iteration < self.steps or state.due, state.history())


def never() -> bool:
    """Do not stop."""
    return False


def train_steps(
    generator: Generator,
    paths: PathSet,
    reconstructor: Reconstructor,
    settings: TrainingSettings,
    *,
    mask: Mask | None = None,
    purity: Purity | None = None,
    folder: Path | None = None,
    remark: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = never,
    begin: int = 0,
    history: Tensor | None = None,
    accelerator: Accelerator | None = None,
) -> Iterator[Iteration]:
    """Train as :func:`train_paths` does, one iteration each time that the next one is asked for.

    To stop, ask no more, after :meth:`Iteration.save` if the state is to be kept. The arguments are those of :func:`train_paths`.

    Returns:
        The iterations, from the start on, before anything is learned; the paths and the reconstructor are changed in place.

    Raises:
        SemanifoldError: if parts do not fit one another; while it is gone through, if the loss becomes NaN or infinite.
    """
    check_prior(settings.prior, generator)
    paths.check_generator(generator)
    check_fits(reconstructor, len(paths), generator.picture_shape)
    if (settings.lambda_mask > 0) != (mask is not None):
        raise SemanifoldError("A mask and lambda-mask belong together: give both, or neither.")
    if (settings.lambda_pure > 0) != (purity is not None):
        raise SemanifoldError("A purity and lambda-pure belong together: give both, or neither.")
    if paths.space(generator) != settings.prior.space:
        raise SemanifoldError(f"The paths live in space {paths.space(generator)}, but codes are drawn in {settings.prior.space}.")
    check_learnable(generator, paths)
    accelerator = accelerator or make_accelerator(generator.device.type)
    settings.share(accelerator.num_processes)
    paths.to(generator.device).train()
    reconstructor.to(generator.device).train()

    def iterations() -> Iterator[Iteration]:
        with global_statistics([reconstructor, paths], accelerator.num_processes):
            state = TrainingState(generator, paths, reconstructor, settings, mask, purity, accelerator)
            state.iteration = begin
            state.rows = [] if history is None else history.tolist()
            if folder is not None:
                state.resume(folder, remark)
            yield from _iterations(state, folder, stop)

    return iterations()


def _iterations(state: TrainingState, folder: Path | None, stop: Callable[[], bool]) -> Iterator[Iteration]:
    settings, stopped = state.settings, False
    yield Iteration(state.iteration, settings.iterations, None, state, folder)
    while not stopped and (state.iteration < settings.iterations or state.due):
        if not state.due:  # it is after Ctrl-C in the middle of a report
            state.iterate()
        logged = state.iteration % settings.log_every == 0
        log = state.report() if logged else None
        yield Iteration(state.iteration, settings.iterations, log, state, folder)
        if logged or state.accelerator.num_processes == 1:  # several processes agree rarely, for it takes time
            stopped = state.agreed(stop())
        if folder is not None and state.iteration % settings.save_every == 0:
            state.save(folder)
    state.keep(folder)


def train_paths(
    generator: Generator,
    paths: PathSet,
    reconstructor: Reconstructor,
    settings: TrainingSettings,
    *,
    mask: Mask | None = None,
    purity: Purity | None = None,
    folder: Path | None = None,
    watch: Callable[[TrainingReport], None] | None = None,
    progress: Watch = None,
    remark: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = never,
    begin: int = 0,
    history: Tensor | None = None,
    accelerator: Accelerator | None = None,
) -> Trained:
    """Train paths and their reconstructor, in place (Tzelepis et al. 2021, arXiv:2109.13357, section 3.3).

    Every iteration draws codes z, paths k and signed magnitudes m, and lowers
    ``lambda_cls CE(k', k) + lambda_reg |m' - m|`` of the reconstructor's answer k', m' to the two pictures by one step of Adam on
    the paths and one on the reconstructor. Everything random comes from ``settings.seed``.

    Args:
        generator: frozen; on the device where the work is to be done.
        paths: what is trained; sets without parameters (PCA, random, ...) are only measured.
        reconstructor: trained with them.
        settings: how.
        mask: where change is welcome, for ``settings.lambda_mask``.
        purity: from :func:`~semanifold.training.purity.purity_of`, for ``settings.lambda_pure``.
        folder: where checkpoints are kept; training goes on from the newest good one. Nothing is kept when None.
        watch: called in the main process with every :class:`TrainingReport`.
        progress: called in the main process at the start and after every iteration with ``step``, ``steps``, and from the first
            report on ``accuracy`` and ``loss``. A bar when None, nothing when False.
        remark: called with a sentence for the user, such as which checkpoint is damaged.
        stop: asked after every iteration (of several processes, after every report); True ends the training, with a checkpoint.
        begin: iteration to begin at, for weights that were trained elsewhere.
        history: ``[m, 6]`` the log of that training, which goes on here; as :attr:`Trained.history`.
        accelerator: from :func:`make_accelerator`; made when None.

    Returns:
        How it ended. Ctrl-C ends the training of one process with a checkpoint of the last whole iteration.

    Raises:
        SemanifoldError: if parts do not fit one another, or the loss becomes NaN or infinite.
        KeyboardInterrupt: after Ctrl-C in one of several processes, which cannot save without the others.
    """
    accelerator = accelerator or make_accelerator(generator.device.type)
    main = accelerator.is_main_process
    steps = train_steps(
        generator, paths, reconstructor, settings, mask=mask, purity=purity, folder=folder, remark=remark, stop=stop, begin=begin,
        history=history, accelerator=accelerator,
    )  # fmt: skip

    def watched() -> Iterator[Iteration]:
        for now in steps:
            if watch and main and now.log:
                watch(now.log)
            yield now

    with watching(progress if main else False, f"training {len(paths)} paths on {generator.name}") as tell:
        last, interrupted = followed(watched(), tell)
    if interrupted and accelerator.num_processes > 1:
        raise KeyboardInterrupt
    if interrupted:
        last.save()
    return last.ended()


@torch.no_grad()
def held_out_scores(
    generator: Generator,
    paths: PathSet,
    reconstructor: Reconstructor,
    settings: TrainingSettings,
    *,
    draws: int = 2048,
    progress: Watch = None,
) -> HeldOut:
    """Measure a reconstructor on draws that the training has not seen (RCA, arXiv:2002.03754, section 4), in float32.

    Args:
        generator: as in training.
        paths: as trained.
        reconstructor: as trained; both are put into evaluation mode for the while.
        settings: as in training.
        draws: number of pairs of pictures.
        progress: called with ``step`` and ``steps``, counted in draws. A bar when None, nothing when False.
    """
    draw = torch.Generator().manual_seed(settings.seed + UNSEEN)
    magnitudes = (settings.min_magnitude, settings.max_magnitude)
    modes = [(module, module.training) for module in (reconstructor, paths)]
    reconstructor.eval()
    paths.eval()
    answers: list[Tensor] = []
    try:
        with watching(progress, "testing on unseen draws") as tell:
            for start in range(0, draws, settings.batch):
                n = min(settings.batch, draws - start)
                drawn = draw_step(generator, settings.prior, len(paths), magnitudes, n, draw)
                shifted = paths.shifted_images(generator, drawn.latents, drawn.index, drawn.magnitude)
                scores, measured = reconstructor(generator.images(drawn.latents), shifted)
                right = (scores.argmax(-1) == drawn.index).double()
                error = (measured - drawn.magnitude).abs().double()
                sign = (measured.sign() == drawn.magnitude.sign()).double()
                answers.append(torch.stack([drawn.index.double(), right, error, sign]).cpu())
                tell({"step": start + n, "steps": draws})
    finally:
        for module, mode in modes:
            module.train(mode)
    index, right, error, sign = torch.cat(answers, 1)
    of_paths = [right[index == k] for k in range(len(paths))]
    return HeldOut(
        accuracy=float(right.mean()),
        magnitude_error=float(error.mean()),
        sign_accuracy=float(sign.mean()),
        chance=1 / len(paths),
        draws=draws,
        accuracy_of_path=[float(path.mean()) if len(path) else None for path in of_paths],
    )
