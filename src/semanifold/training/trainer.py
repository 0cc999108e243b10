"""The one trainer: paths and the reconstructor that tells them apart, learned together without labels."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.extras import missing_package
from semanifold.generators.base import Generator
from semanifold.images.masks import Mask
from semanifold.paths.base import PathSet
from semanifold.training.reconstructor import Reconstructor, check_fits
from semanifold.training.batchnorm import global_statistics
from semanifold.training.checkpoints import (
    PREVIOUS,
    Standing,
    check_tensors,
    load_checkpoint,
    moments_of,
    save_checkpoint,
    training_key,
)
from semanifold.training.draws import draw_step
from semanifold.training.step import STATS, TrainingSettings, TrainingStep, run_step
from semanifold.core.progress import Watch, watching

if TYPE_CHECKING:
    from accelerate import Accelerator

UNSEEN = 0x5EED
"""Added to the seed for the draws of the final test."""


@dataclass(frozen=True)
class Report:
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


@dataclass(frozen=True)
class Trained:
    """How a training ended; the paths and the reconstructor were changed in place.

    Attributes:
        iteration: iterations done.
        interrupted: whether Ctrl-C ended it early.
        history: ``[m, 6]`` float64: iteration and :data:`STATS` of every report.
    """

    iteration: int
    interrupted: bool
    history: Tensor


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


def leave(accelerator: Accelerator) -> None:
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
        generator.check_differentiable(generator.sample([0], paths.space(generator), labels=0 if generator.classes else None))


def train_paths(
    generator: Generator,
    paths: PathSet,
    reconstructor: Reconstructor,
    settings: TrainingSettings,
    *,
    mask: Mask | None = None,
    folder: Path | None = None,
    watch: Callable[[Report], None] | None = None,
    progress: Watch = None,
    remark: Callable[[str], None] = lambda text: None,
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
        folder: where checkpoints are kept; training goes on from the newest good one. Nothing is kept when None.
        watch: called in the main process with every :class:`Report`.
        progress: called in the main process after every iteration with ``step``, ``steps``, and from the first report on
            ``accuracy`` and ``loss``. A bar when None, nothing when False.
        remark: called with a sentence for the user, such as which checkpoint is damaged.
        begin: iteration to begin at, for weights that were trained elsewhere.
        history: ``[m, 6]`` the log of that training, which goes on here; as :attr:`Trained.history`.
        accelerator: from :func:`make_accelerator`; made when None.

    Returns:
        How it ended. Ctrl-C ends it after the running iteration, with a checkpoint.

    Raises:
        SemanifoldError: if parts do not fit one another, or the loss becomes NaN or infinite.
    """
    settings.prior.check(generator)
    paths.check_generator(generator)
    check_fits(reconstructor, len(paths), generator.picture_shape)
    if (settings.lambda_mask > 0) != (mask is not None):
        raise SemanifoldError("A mask and lambda-mask belong together: give both, or neither.")
    if paths.space(generator) != settings.prior.space:
        raise SemanifoldError(f"The paths live in space {paths.space(generator)}, but codes are drawn in {settings.prior.space}.")
    check_learnable(generator, paths)
    accelerator = accelerator or make_accelerator(generator.device.type)
    settings.share(accelerator.num_processes)
    paths.to(generator.device).train()
    reconstructor.to(generator.device).train()
    main = accelerator.is_main_process
    with (
        global_statistics([reconstructor, paths], accelerator.num_processes),
        stop_flag() as stopping,
        watching(progress if main else False, f"training {len(paths)} paths on {generator.name}") as tell,
    ):
        training = Training(generator, paths, reconstructor, settings, mask, accelerator)
        training.iteration = begin
        training.rows = [] if history is None else history.tolist()
        if folder is not None:
            training.resume(folder, remark)
        interrupted = False
        while training.iteration < settings.iterations and not interrupted:
            training.iterate()
            logged = training.iteration % settings.log_every == 0
            if logged:
                report = training.report()
                if watch and main:
                    watch(report)
            tell(training.standing())
            if logged or accelerator.num_processes == 1:
                interrupted = training.agreed(stopping.is_set()) and training.iteration < settings.iterations
            if folder is not None and training.iteration % settings.save_every == 0:
                training.save(folder)
        if folder is not None and training.saved != training.iteration:
            training.save(folder)
        if folder is not None and not interrupted and main:
            (folder / PREVIOUS).unlink(missing_ok=True)
    return Trained(training.iteration, interrupted, training.history())


class Training:
    """The state of a training, and what may be done to it: iterate, report, save, resume."""

    def __init__(
        self,
        generator: Generator,
        paths: PathSet,
        reconstructor: Reconstructor,
        settings: TrainingSettings,
        mask: Mask | None,
        accelerator: Accelerator,
    ) -> None:
        """Stand before the first iteration; arguments as of :func:`train_paths`."""
        self.generator, self.paths, self.reconstructor = generator, paths, reconstructor
        self.settings, self.accelerator = settings, accelerator
        plain = TrainingStep(generator, paths, reconstructor, settings, mask)
        self.step: nn.Module = accelerator.prepare_model(plain, device_placement=False)
        self.optimisers = {
            "paths": adam(paths, settings.paths_lr),
            "reconstructor": adam(reconstructor, settings.reconstructor_lr),
        }
        self.draw = torch.Generator().manual_seed(settings.seed)
        self.iteration, self.saved = 0, -1
        self.sums = torch.zeros(len(STATS) + 1, device=generator.device)  # the last one counts
        self.rows: list[list[float]] = []
        facts = {key: value for key, value in asdict(settings).items() if key not in ("iterations", "save_every", "accumulate")}
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
        """Do one iteration: every process draws the whole batch and works on its own part of it."""
        given, here = self.settings, self.accelerator
        whole = draw_step(
            self.generator,
            given.prior,
            len(self.paths),
            (given.min_magnitude, given.max_magnitude),
            given.batch,
            self.draw,
        )
        parts = [whole.part(number, given.accumulate) for number in range(given.accumulate)]
        for number, part in enumerate(parts):
            mine = part.part(here.process_index, here.num_processes)
            with here.no_sync(self.step) if number + 1 < len(parts) else nullcontext():
                loss, row = run_step(self.step, mine)
                here.backward(loss / given.accumulate)
            self.sums[:-1] += row / given.accumulate
        self.sums[-1] += 1
        rate = given.rate(self.iteration)
        for name, optimiser in self.optimisers.items():
            if optimiser is not None:
                optimiser.param_groups[0]["lr"] = rate * (given.paths_lr if name == "paths" else given.reconstructor_lr)
                optimiser.step()
                optimiser.zero_grad()
        self.iteration += 1

    def report(self) -> Report:
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
        self.sums.zero_()
        self.rows.append([float(self.iteration), *means])
        return Report(self.iteration, self.settings.iterations, dict(zip(STATS, means)), self.history())

    def standing(self) -> dict[str, Any]:
        """Return how far it is, and the two numbers of the last report that a person watches."""
        last = dict(zip(STATS, self.rows[-1][1:])) if self.rows else {}
        numbers = {"accuracy": last["accuracy"], "loss": last["total_loss"]} if last else {}
        return {"step": self.iteration, "steps": self.settings.iterations, **numbers}

    def history(self) -> Tensor:
        """Return ``[m, 6]`` float64: iteration and :data:`STATS` of every report."""
        return torch.tensor(self.rows, dtype=torch.float64).reshape(-1, 1 + len(STATS))

    def agreed(self, stop: bool) -> bool:
        """Return whether any process wants to stop."""
        if self.accelerator.num_processes == 1:
            return stop
        wish = torch.tensor(float(stop), device=self.generator.device)
        return float(self.accelerator.reduce(wish)) > 0  # type: ignore[arg-type]

    def save(self, folder: Path) -> None:
        """Write a checkpoint, in the main process."""
        self.sums = self._mean_sums()
        if self.accelerator.is_main_process:
            save_checkpoint(folder, Standing(self.iteration, self._tensors()), self.key)
        self.saved = self.iteration
        self.accelerator.wait_for_everyone()

    def resume(self, folder: Path, remark: Callable[[str], None]) -> None:
        """Take up the newest good checkpoint, if there is one."""
        found = load_checkpoint(folder, self.key)
        if found is None:
            return
        if found.damaged and self.accelerator.is_main_process:
            remark(found.damaged)
        held = found.tensors
        check_tensors(held, self._weights(), moments_of(self.optimisers), folder)
        if found.iteration > self.settings.iterations:
            raise SemanifoldError(
                f"The checkpoint in {shown(str(folder), 200)} is said to be of iteration {found.iteration}, beyond the last one; "
                "delete it to begin anew, or give another --out."
            )
        for name, module in (("paths", self.paths), ("reconstructor", self.reconstructor)):
            module.load_state_dict(under(held, f"{name}."))
            optimiser = self.optimisers[name]
            if optimiser is not None:
                state = optimiser.state_dict()
                state["state"] = {
                    number: under(held, f"optimiser.{name}.{number}.") for number in state["param_groups"][0]["params"]
                }
                optimiser.load_state_dict(state)
        try:
            self.draw.set_state(held["draw"])
        except RuntimeError as error:
            raise SemanifoldError(f"The checkpoint in {folder} is damaged in its draws; delete it to begin anew.") from error
        self.sums = held["sums"].to(self.sums)
        self.rows = held["history"].tolist()
        self.iteration = self.saved = found.iteration

    def _weights(self) -> dict[str, Tensor]:
        held = {"draw": self.draw.get_state(), "sums": self.sums, "history": self.history()}
        for name, module in (("paths", self.paths), ("reconstructor", self.reconstructor)):
            held |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        return held

    def _tensors(self) -> dict[str, Tensor]:
        held = self._weights()
        for name, optimiser in self.optimisers.items():
            if optimiser is not None:
                for number, state in optimiser.state_dict()["state"].items():
                    held |= {f"optimiser.{name}.{number}.{key}": value for key, value in state.items()}
        return held

    def _mean_sums(self) -> Tensor:
        if self.accelerator.num_processes == 1:
            return self.sums
        return self.accelerator.reduce(self.sums, "mean")  # type: ignore[return-value]


def adam(module: nn.Module, rate: float) -> torch.optim.Adam | None:
    """Return Adam (arXiv:1412.6980) with its usual constants for the parameters that learn; None if there are none."""
    learning = [p for p in module.parameters() if p.requires_grad]
    if not learning:
        return None
    return torch.optim.Adam(learning, lr=rate, fused=learning[0].device.type in ("cpu", "cuda"))


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, under the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


@contextmanager
def stop_flag() -> Iterator[threading.Event]:
    """Give a flag that Ctrl-C raises inside this context, so that no iteration is cut in two; a second Ctrl-C is as usual."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


@torch.no_grad()
def held_out_scores(
    generator: Generator,
    paths: PathSet,
    reconstructor: Reconstructor,
    settings: TrainingSettings,
    *,
    draws: int = 2048,
    progress: Watch = None,
) -> dict[str, Any]:
    """Measure a reconstructor on draws that the training has not seen (RCA, arXiv:2002.03754, section 4), in float32.

    Args:
        generator: as in training.
        paths: as trained.
        reconstructor: as trained; both are put into evaluation mode for the while.
        settings: as in training.
        draws: number of pairs of pictures.
        progress: called with ``step`` and ``steps``, counted in draws. A bar when None, nothing when False.

    Returns:
        ``accuracy`` (share of paths named rightly), ``magnitude_error`` (mean absolute), ``sign_accuracy``,
        ``chance`` (1 / K), ``draws`` and ``accuracy_of_path`` (one share a path, None where it was not drawn).
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
                some = draw_step(generator, settings.prior, len(paths), magnitudes, n, draw)
                shifted = paths.shifted_images(generator, some.latents, some.index, some.magnitude)
                scores, measured = reconstructor(generator.images(some.latents), shifted)
                right = (scores.argmax(-1) == some.index).double()
                error = (measured - some.magnitude).abs().double()
                sign = (measured.sign() == some.magnitude.sign()).double()
                answers.append(torch.stack([some.index.double(), right, error, sign]).cpu())
                tell({"step": start + n, "steps": draws})
    finally:
        for module, mode in modes:
            module.train(mode)
    index, right, error, sign = torch.cat(answers, 1)
    each = [right[index == k] for k in range(len(paths))]
    return {
        "accuracy": float(right.mean()),
        "magnitude_error": float(error.mean()),
        "sign_accuracy": float(sign.mean()),
        "chance": 1 / len(paths),
        "draws": draws,
        "accuracy_of_path": [float(some.mean()) if len(some) else None for some in each],
    }
