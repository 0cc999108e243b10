"""``semanifold train``: from a generator to K paths that were learned without a label."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import torch
from tyro.conf import arg

from semanifold.commands.base import Command, Model, Output, facts_of, read_mask, to_arguments
from semanifold.commands.discover import LAYERS
from semanifold.commands.terminal import ProgressLine, remark, say, show
from semanifold.errors import SemanifoldError, near_names
from semanifold.files import write_text
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.paths import training_records as records
from semanifold.paths.base import PathSet, default_space
from semanifold.paths.closed_form import principal_paths, sefa_paths
from semanifold.paths.experiments import PATHS, RECONSTRUCTOR, open_experiment
from semanifold.paths.files import save_paths
from semanifold.paths.foreign import save_support_sets
from semanifold.paths.linear import FORMS, Form, linear_paths
from semanifold.paths.presets import PRESETS, Preset, find_preset
from semanifold.paths.reconstructor import Reconstructor, check_fits, make_reconstructor, save_reconstructor
from semanifold.paths.training import Report, held_out_scores, make_accelerator, train_paths
from semanifold.paths.training_draws import Prior, usual_distance
from semanifold.paths.training_step import TrainingSettings
from semanifold.paths.warped import WarpedPaths, warped_paths
from semanifold.runs import Run, begin_run, working

METRICS = "metrics.json"
SUPPORT_SETS, FIRST_SETS = "support_sets.pt", "support_sets_init.pt"
KINDS = ("warped", *FORMS, "pca", "sefa")
ANY = Preset("any generator", space=None, dipoles=32, init="spread")


@dataclass(frozen=True)
class Kind:
    """Which paths to learn; what is left out comes from the preset.

    Attributes:
        paths: warped, a form of linear ones (ortho, linear, projective, fc), or a set that is not trained but measured
            (id, random, pca, sefa).
        k: number of paths.
        dipoles: pairs of support vectors of a warped path.
        init: start of warped paths: reference (as published, nearly straight) or spread.
        space: latent space in which the paths live.
        layers: first and last layer of w+ that move.
        shared: move all these layers alike, as in w.
        gamma: width of all potentials, one over a squared length.
        fixed_gammas: do not learn the widths.
        learn_alphas: learn the weights of the support vectors.
        step: length of one step when a path is traced.
        steps: steps from the picture to the end of a path.
    """

    paths: Annotated[str | None, arg(metavar="KIND")] = None
    k: Annotated[int | None, arg(metavar="K")] = None
    dipoles: Annotated[int | None, arg(metavar="N")] = None
    init: Annotated[str | None, arg(metavar="NAME")] = None
    space: Annotated[str | None, arg(metavar="NAME")] = None
    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    shared: bool = False
    gamma: Annotated[float | None, arg(metavar="G")] = None
    fixed_gammas: bool = False
    learn_alphas: bool = False
    step: Annotated[float | None, arg(metavar="LENGTH")] = None
    steps: Annotated[int | None, arg(metavar="N")] = None

    def make(self, generator: Generator, preset: Preset, seed: int) -> PathSet:
        """Return a new set."""
        kind = self.paths or preset.paths
        if kind not in KINDS:
            raise SemanifoldError(f"There is no kind of paths {kind!r}: {near_names(kind, KINDS)}")
        k = preset.k if self.k is None else self.k
        space = self.space or ("w+" if self.layers else preset.space) or default_space(generator)
        if kind == "pca":
            return principal_paths(generator, space, k, self.layers)
        if kind == "sefa":
            return sefa_paths(generator, k, self.layers, space=space)
        traced = {
            "step": preset.step if self.step is None else self.step,
            "steps": preset.steps if self.steps is None else self.steps,
            "layers": self.layers,
            "shared": self.shared,
            "seed": seed,
        }
        if kind in FORMS:
            return linear_paths(generator, space, k, cast("Form", kind), **traced)
        return warped_paths(
            generator,
            space,
            k,
            preset.dipoles if self.dipoles is None else self.dipoles,
            init="reference" if (self.init or preset.init) == "reference" else "spread",
            gamma=self.gamma,
            learn_alphas=self.learn_alphas,
            learn_gammas=not self.fixed_gammas,
            **traced,
        )


@dataclass(frozen=True)
class Training:
    """How to train; what is left out comes from the preset.

    Attributes:
        iterations: steps of the optimisers.
        batch: samples an iteration, of all processes together.
        accumulate: parts that a batch is worked through in, to save memory.
        min_magnitude: least length of a step, in units of the latent space.
        max_magnitude: greatest length of a step.
        reconstructor: lenet or resnet.
        reconstructor_size: height and width that pictures are brought to before the reconstructor.
        paths_lr: learning rate of the paths.
        reconstructor_lr: learning rate of the reconstructor.
        decay: last share of the iterations, in which both rates fall to 0.
        lambda_cls: weight of naming the path.
        lambda_reg: weight of measuring the magnitude.
        precision: float32, or bf16 for the networks.
        truncation: pull codes of w towards the mean: 1 leaves them, 0 gives the mean.
        z_truncation: cut the coordinates of z to plus or minus this number.
        classes: classes to draw from, for a class-conditional generator; all when left out.
        log_every: iterations that one entry of the log is averaged over.
        save_every: iterations between two checkpoints.
        pictures_every: iterations between two sheets of pictures in TensorBoard.
        test_draws: pairs of pictures of the final test.
        draw_seed: of all random draws.
    """

    iterations: Annotated[int | None, arg(metavar="N")] = None
    batch: Annotated[int | None, arg(metavar="N")] = None
    accumulate: Annotated[int, arg(metavar="N")] = 1
    min_magnitude: Annotated[float | None, arg(metavar="LENGTH")] = None
    max_magnitude: Annotated[float | None, arg(metavar="LENGTH")] = None
    reconstructor: Annotated[str | None, arg(metavar="NAME")] = None
    reconstructor_size: Annotated[int | None, arg(metavar="PIXELS")] = None
    paths_lr: Annotated[float | None, arg(metavar="RATE")] = None
    reconstructor_lr: Annotated[float | None, arg(metavar="RATE")] = None
    decay: Annotated[float | None, arg(metavar="SHARE")] = None
    lambda_cls: Annotated[float, arg(metavar="X")] = 1.0
    lambda_reg: Annotated[float, arg(metavar="X")] = 0.25
    precision: Literal["float32", "bf16"] = "float32"
    truncation: Annotated[float, arg(metavar="PSI")] = 1.0
    z_truncation: Annotated[float | None, arg(metavar="T")] = None
    classes: Annotated[tuple[int, ...], arg(metavar="N ...")] = ()
    log_every: Annotated[int, arg(metavar="N")] = 10
    save_every: Annotated[int | None, arg(metavar="N")] = None
    pictures_every: Annotated[int, arg(metavar="N")] = 500
    test_draws: Annotated[int, arg(metavar="N")] = 1024
    draw_seed: Annotated[int, arg(metavar="N")] = 0

    def settings(self, generator: Generator, preset: Preset, space: str, lambda_mask: float) -> TrainingSettings:
        """Return the plain settings; magnitudes that nobody gave are a tenth to three tenths of the usual distance of codes."""
        if self.pictures_every < 1 or self.test_draws < 1:
            raise SemanifoldError("pictures-every and test-draws must be at least 1.")
        cut = preset.z_truncation if self.z_truncation is None else self.z_truncation
        prior = Prior(space, cut, self.truncation, self.classes or preset.classes)
        prior.check(generator)
        names = ("iterations", "batch", "min_magnitude", "max_magnitude", "paths_lr", "reconstructor_lr", "decay", "save_every")
        given = {name: getattr(self, name) for name in names}
        if preset is ANY and None in (self.min_magnitude, self.max_magnitude):
            usual = usual_distance(generator, prior)
            preset = replace(preset, min_magnitude=round(0.1 * usual, 6), max_magnitude=round(0.3 * usual, 6))
        given = {name: getattr(preset, name) if value is None else value for name, value in given.items()}
        return TrainingSettings(
            **given,
            accumulate=self.accumulate,
            lambda_cls=self.lambda_cls,
            lambda_reg=self.lambda_reg,
            lambda_mask=lambda_mask,
            prior=prior,
            precision=self.precision,
            log_every=self.log_every,
            seed=self.draw_seed,
        )


@dataclass(frozen=True)
class Train(Command):
    """Learn K paths on which the pictures of a generator change, each in its own way, without a label.

    Attributes:
        preset: settings to begin from: faces, faces-linear, or those published for mnist, animefaces, biggan, proggan,
            stylegan2 (with --generator FILE). The bundled faces have theirs when it is left out.
        mask: where change is welcome (mouth, box:0.3,0.6,0.7,0.9, ...); change elsewhere is penalised.
        lambda_mask: weight of that penalty, the share of squared change outside; 1 when a mask is given.
        start_from: go on from the weights of this experiment of WarpedGANSpace, checkpoint.pt, or folder of an earlier
            training; optimisers begin afresh.
        model: Which generator makes the pictures.
        kind: Which paths to learn.
        training: How to train.
        output: Where the results go.
    """

    preset: Annotated[str | None, arg(metavar="NAME")] = None
    mask: Annotated[str | None, arg(metavar="MASK")] = None
    lambda_mask: Annotated[float | None, arg(metavar="X")] = None
    start_from: Annotated[Path | None, arg(metavar="FOLDER|FILE")] = None
    model: Model = field(default_factory=Model)
    kind: Kind = field(default_factory=Kind)
    training: Training = field(default_factory=Training)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Train, test, write everything."""
        preset = self.chosen_preset()
        accelerator = make_accelerator(self.model.device)
        alone, main = accelerator.num_processes == 1, accelerator.is_main_process
        generator = self.model.load() if alone else load_generator(self.model.generator, device=accelerator.device)
        work = self.prepare(generator, preset)
        folder = self.output.folder("train", generator.name, self.kind.paths or preset.paths)
        run = None
        finished = False
        if main:
            run = begin_run(folder, "train", to_arguments(self), work.facts, overwrite=self.output.overwrite)
            finished = run.finished
        if not alone:
            from accelerate.utils import broadcast_object_list  # noqa: PLC0415  (slow to import)

            finished = bool(broadcast_object_list([finished])[0])
        if finished:
            if main:
                say(f"{folder} is finished already; --overwrite does it again.")
                show(*main_files(folder))
            return 0
        with working(run) if run is not None else nullcontext():
            return work.do(folder, run, accelerator, self.training)

    def chosen_preset(self) -> Preset:
        """Return the settings to begin from."""
        if self.preset is None:
            bundled = {"faces": "faces-linear" if self.kind.paths in FORMS else "faces"}
            name = bundled.get(self.model.generator)
            return ANY if name is None else PRESETS[name]
        preset = find_preset(self.preset)
        if not preset.generator and self.model.generator == Model().generator:
            raise SemanifoldError(f"The preset {self.preset} is for {preset.about}; give its file with --generator.")
        return preset

    def prepare(self, generator: Generator, preset: Preset) -> Work:
        """Make everything that takes part, and check that it fits together."""
        seed = self.training.draw_seed
        begin = 0
        reconstructor: Reconstructor | None = None
        size = self.training.reconstructor_size or preset.reconstructor_size
        facts = facts_of(generator)
        if self.start_from is None:
            paths = self.kind.make(generator, preset, seed)
        else:
            earlier = open_experiment(self.start_from, space=self.kind.space, reconstructor_size=size)
            paths, reconstructor, begin = earlier.paths, earlier.reconstructor, earlier.iteration
            paths.check_generator(generator)
            paths = paths.with_info(generator=generator.name, fingerprint=generator.fingerprint).requires_grad_()
            facts |= {"start": digest_of(paths), "begin": begin}
            for sentence in earlier.remarks:
                remark(sentence)
        channels = generator.picture_shape[0]
        if reconstructor is None:
            reconstructor = make_reconstructor(
                self.training.reconstructor or preset.reconstructor, len(paths), channels, size=size, seed=seed
            )
        check_fits(reconstructor, len(paths), channels)
        if self.lambda_mask is not None and self.mask is None:
            raise SemanifoldError("lambda-mask needs a --mask.")
        mask = (
            None if self.mask is None else read_mask(self.mask, generator, generator.sample([0], labels=first_label(generator)))
        )
        weight = 0.0 if mask is None else 1.0 if self.lambda_mask is None else self.lambda_mask
        settings = self.training.settings(generator, preset, paths.info.space, weight)
        if begin >= settings.iterations:
            raise SemanifoldError(f"{self.start_from} has done {begin} iterations already; give --iterations above that.")
        mask = mask if weight else None
        return Work(generator, paths, reconstructor, settings, mask, begin, facts, self.start_from)


@dataclass(frozen=True)
class Work:
    """Everything that takes part in one training, made and checked."""

    generator: Generator
    paths: PathSet
    reconstructor: Reconstructor
    settings: TrainingSettings
    mask: Any
    begin: int
    facts: dict[str, Any]
    start_from: Path | None

    def do(self, folder: Path, run: Run | None, accelerator: Any, how: Training) -> int:
        """Train, test, write; ``run`` is None in all processes but the main one."""
        models = folder / records.MODELS
        keeper = self.begin_records(run, how) if run is not None else None
        accelerator.wait_for_everyone()
        line = ProgressLine(f"{len(self.paths)} paths on {self.generator.name}") if run is not None else None
        clock: list[tuple[float, int]] = []

        def watch(report: Report) -> None:
            if keeper is None or line is None:
                return
            keeper(report)
            clock.append((time.monotonic(), report.iteration))
            (began, first), (now, last) = clock[0], clock[-1]
            left = (now - began) / max(last - first, 1) * (report.iterations - last)
            words = {"left": f"{left / 60:.1f} min left"} if last > first else {}
            line({"step": report.iteration, "steps": report.iterations, **words, **some(report.stats)})

        try:
            done = train_paths(
                self.generator,
                self.paths,
                self.reconstructor,
                self.settings,
                mask=self.mask,
                folder=models,
                watch=watch,
                remark=remark,
                begin=self.begin,
                accelerator=accelerator,
            )
        finally:
            if keeper is not None and line is not None:
                line.close()
                keeper.close()
        if run is None or keeper is None:
            return 130 if done.interrupted else 0
        keeper.keep(done.history)
        self.write_weights(run)
        if done.interrupted:
            run.note(status="interrupted", iteration=done.iteration)
            remark(f"semanifold: interrupted after {done.iteration} iterations; the same command goes on from {folder}.")
            return 130
        scores = held_out_scores(self.generator, self.paths, self.reconstructor, self.settings, draws=how.test_draws)
        write_text(run.path(METRICS), json.dumps({"held_out": scores, "iterations": done.iteration}, indent=2) + "\n")
        say(
            f"{len(self.paths)} paths on {self.generator.name}: of {scores['draws']} unseen steps the reconstructor names "
            f"{scores['accuracy']:.1%} rightly (chance {scores['chance']:.1%}); mean error of the magnitude "
            f"{scores['magnitude_error']:.3g} of {self.settings.min_magnitude:g} to {self.settings.max_magnitude:g}."
        )
        show(*main_files(folder))
        return 0

    def begin_records(self, run: Run, how: Training) -> records.Records:
        """Write what is known before the training."""
        models = run.path(records.MODELS)
        models.mkdir(exist_ok=True)
        write_text(run.path(records.ARGS), records.published_arguments(self.published()))
        records.write_command(run.path(records.COMMAND), run.record["command_line"])
        for name in (records.STATISTICS, records.BOARD, PATHS):
            run.path(name)
        if not (models / FIRST_SETS).exists() and flat(self.paths):
            save_support_sets(self.paths, models / FIRST_SETS)  # type: ignore[arg-type]
        if self.start_from is not None and not run.resumed:
            remark(f"Going on from the weights of {self.start_from} at iteration {self.begin}; the optimisers begin afresh.")
        masked = self.mask is not None
        return records.Records(run.folder, self.generator, self.paths, masked=masked, pictures_every=how.pictures_every)

    def write_weights(self, run: Run) -> None:
        """Write the paths and the reconstructor."""
        models = run.folder / records.MODELS
        save_paths(self.paths, run.path(PATHS))
        save_reconstructor(self.reconstructor, models / RECONSTRUCTOR)
        if flat(self.paths):
            save_support_sets(self.paths, models / SUPPORT_SETS)  # type: ignore[arg-type]

    def published(self) -> dict[str, Any]:
        """Return what WarpedGANSpace's programs call the arguments."""
        given, paths = self.settings, self.paths
        warped = paths if isinstance(paths, WarpedPaths) else None
        return {
            "gan_type": self.generator.name,
            "z_truncation": given.prior.z_truncation,
            "biggan_target_classes": list(given.prior.classes) or None,
            "stylegan2_resolution": self.generator.picture_shape[1],
            "shift_in_w_space": paths.info.space != "z",
            "num_support_sets": len(paths),
            "num_support_dipoles": warped.dipoles if warped else None,
            "learn_alphas": warped.learn_alphas if warped else None,
            "learn_gammas": warped.learn_gammas if warped else None,
            "gamma": None if warped is None or warped.learn_gammas else float(warped.log_gamma[0].exp()),
            "support_set_lr": given.paths_lr,
            "reconstructor_type": {"lenet": "LeNet", "resnet": "ResNet"}[self.reconstructor.kind],
            "min_shift_magnitude": given.min_magnitude,
            "max_shift_magnitude": given.max_magnitude,
            "reconstructor_lr": given.reconstructor_lr,
            "max_iter": given.iterations,
            "batch_size": given.batch,
            "lambda_cls": given.lambda_cls,
            "lambda_reg": given.lambda_reg,
            "log_freq": given.log_every,
            "ckp_freq": given.save_every,
            "tensorboard": True,
            "cuda": self.generator.device.type == "cuda",
        }


def flat(paths: PathSet) -> bool:
    """Whether WarpedGANSpace's files can hold these paths."""
    return isinstance(paths, WarpedPaths) and not paths.shared


def first_label(generator: Generator) -> int | None:
    """Return a class for a picture that only shows where things are."""
    return 0 if generator.classes else None


def some(stats: dict[str, float]) -> dict[str, float]:
    """Return the two numbers that a person watches."""
    return {"accuracy": stats["accuracy"], "loss": stats["total_loss"]}


def digest_of(paths: PathSet) -> str:
    """Return sixteen hexadecimal digits that name the weights of a set."""
    digest = hashlib.sha256()
    for key, value in sorted(paths.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().to(torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def main_files(folder: Path) -> list[Path]:
    """Return what to open first."""
    return [folder / name for name in (PATHS, METRICS, records.BOARD) if (folder / name).exists()]
