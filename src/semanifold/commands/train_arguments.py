"""The groups of arguments of ``semanifold train``, and what they make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal, cast

from tyro.conf import arg

from semanifold.commands.directions import CLOSED, closed_paths
from semanifold.commands.discover import LAYERS
from semanifold.errors import SemanifoldError, near_names
from semanifold.generators.base import Generator
from semanifold.paths.base import PathSet, default_space
from semanifold.paths.linear import FORMS, Form, LinearPaths, linear_paths
from semanifold.paths.presets import ALONG_RATE, ALONG_REACH, Preset
from semanifold.paths.training_draws import Prior, usual_distance
from semanifold.paths.training_step import TrainingSettings
from semanifold.paths.warped import INITS, Init, warped_paths

KINDS = ("warped", *FORMS, *CLOSED)
ONLY_WARPED = ("dipoles", "gamma", "fixed_gammas", "learn_alphas")
ONLY_LEARNED = ("init", "shared", "step", "steps")
ANY = Preset("any generator", space=None, dipoles=32, init="spread", differences=True)


@dataclass(frozen=True)
class Kind:
    """Which paths to learn; what is left out comes from the preset.

    Attributes:
        paths: warped, a form of linear ones (ortho, linear, projective, fc), or a set that is not trained but measured
            (id, random, pca, sefa, joint).
        k: number of paths.
        dipoles: pairs of support vectors of a warped path.
        init: start of warped paths: reference (as published, nearly straight) or spread; of linear ones: random. Warped, linear
            and projective ones can also start along the directions of a closed form: joint, pca, sefa.
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

    def kind(self, preset: Preset) -> str:
        """Return which of :data:`KINDS` it is."""
        kind = self.paths or preset.paths
        if kind not in KINDS:
            raise SemanifoldError(f"There is no kind of paths {kind!r}: {near_names(kind, KINDS)}")
        foreign = () if kind == "warped" else ONLY_WARPED if kind in FORMS else (*ONLY_WARPED, *ONLY_LEARNED)
        useless = [f"--{name.replace('_', '-')}" for name in foreign if getattr(self, name) not in (None, False)]
        if useless:
            raise SemanifoldError(f"{', '.join(useless)} means nothing to {kind} paths; leave it out.")
        return kind

    def start(self, preset: Preset) -> str:
        """Return how a set that learns begins: one of the starts of its kind, or the directions of a closed form."""
        kind = self.kind(preset)
        free = INITS if kind == "warped" else ("random",)
        known = (*free, *CLOSED) if kind in ("warped", "linear", "projective") else free
        init = self.init or (preset.init if preset.init in known else known[0])
        if init not in known:
            raise SemanifoldError(f"There is no start {init!r} of {kind} paths: {near_names(init, known)}")
        return init

    def form(self, preset: Preset) -> str | None:
        """Return the closed form whose directions it has, or begins with; such sets have scales. None for others."""
        return next((name for name in (self.kind(preset), self.start(preset)) if name in CLOSED), None)

    def place(self, generator: Generator, preset: Preset) -> tuple[str, int]:
        """Return the space of the paths and how many there are."""
        space = self.space or ("w+" if self.layers else preset.space) or default_space(generator)
        k = preset.k if self.k is None else self.k
        if k < 1:
            raise SemanifoldError(f"A set has at least 1 path, but k is {k}.")
        return space, k

    def directions(self, generator: Generator, preset: Preset) -> LinearPaths | None:
        """Return the set of that closed form; this may take a minute."""
        form = self.form(preset)
        return None if form is None else closed_paths(form, generator, *self.place(generator, preset), self.layers)

    def make(self, generator: Generator, preset: Preset, seed: int, along: LinearPaths | None) -> PathSet:
        """Return a new set; ``along`` is what :meth:`directions` gives."""
        kind, (space, k) = self.kind(preset), self.place(generator, preset)
        if kind in CLOSED and along is not None:
            return along
        init = self.start(preset)
        traced = {
            "step": preset.step if self.step is None else self.step,
            "steps": preset.steps if self.steps is None else self.steps,
            "layers": self.layers,
            "shared": self.shared,
            "along": along,
            "seed": seed,
        }
        if kind in FORMS:
            return linear_paths(generator, space, k, cast("Form", kind), **traced)
        return warped_paths(
            generator,
            space,
            k,
            preset.dipoles if self.dipoles is None else self.dipoles,
            init=cast("Init", init if init in INITS else "spread"),
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
        min_magnitude: least length of a step, in units of the latent space; of sets with scales twice the preset's.
        max_magnitude: greatest length of a step; likewise.
        reconstructor: lenet or resnet.
        reconstructor_size: height and width that pictures are brought to before the reconstructor.
        paths_lr: learning rate of the paths; of those that start along directions 0.15 times the preset's.
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

    def settings(
        self, generator: Generator, preset: Preset, space: str, lambda_mask: float, *, along: bool = False
    ) -> TrainingSettings:
        """Return the plain settings; magnitudes that nobody gave are a tenth to three tenths of the usual distance of codes.

        Paths ``along`` directions with scales take twice the magnitudes and a smaller rate, where these are not given.
        """
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
        if along:
            low, high = (ALONG_REACH * value for value in (preset.min_magnitude, preset.max_magnitude))
            preset = replace(preset, paths_lr=ALONG_RATE * preset.paths_lr, min_magnitude=low, max_magnitude=high)
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
