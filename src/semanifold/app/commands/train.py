"""``semanifold train``: from a generator to K paths that were learned without a label."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, make_dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands import early
from semanifold.app.commands.arguments import GENERATOR, KIND, LAYERS, MAIN, PLACE, TRAINING, flat, option
from semanifold.app.commands.base import FACES, Command, Model, Output, code_words
from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.paths.kinds import CLOSED, kind_named
from semanifold.storage.run_records import plain
from semanifold.training.presets import PRESETS, Preset, find_preset, preset_for
from semanifold.training.settings import ReconstructorSettings, ReportSettings, TrainingSettings, options_in

RECORDS = (TrainingSettings, ReconstructorSettings, ReportSettings)
"""What the arguments of a training are read from."""
ANY = Preset("any generator", space=None, dipoles=32, init="spread", network=ReconstructorSettings(differences=True))
"""What a training begins from if there is no preset for its generator."""
MOST_PAIRS = 1 << 20
"""Paths times dipoles; the largest published set has a tenth of it."""
GROWING = ("iterations",)
"""Arguments whose larger value goes on with a finished training."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Which paths to learn; what is left out comes from the preset (--presets lists them).

    Attributes:
        paths: warped, a form of linear ones (ortho, linear, projective, fc), combinations of directions in the weights of a layer
            (weights-svd, weights-hessian), or a set that is not trained but measured (id, random, pca, sefa, joint).
        k: number of paths.
        dipoles: pairs of support vectors of a warped path.
        init: start of warped paths: reference (as published, nearly straight) or spread; of linear ones: random. Warped, linear
            and projective ones can also start along the directions of a closed form: joint, pca, sefa.
        space: latent space in which the paths live.
        layers: first and last layer of w+ that move.
        layer: layers whose weights move, for weights-svd and weights-hessian; a convolution in the middle if left out.
        basis: directions in weights whose combinations are learned, for weights-hessian, such as a folder of semanifold weights;
            leading eigenvectors are found if left out.
        shared: move all these layers alike, as in w.
        gamma: width of all potentials, one over a squared length.
        fixed_gammas: do not learn the widths.
        learn_alphas: learn the weights of the support vectors.
        step: length of one step when a path is traced.
        steps: steps from the picture to the end of a path.
    """

    paths: Annotated[str | None, option("KIND", name="--kind", group=MAIN)] = None
    k: Annotated[int | None, option("K", group=MAIN)] = None
    dipoles: Annotated[int | None, option("N")] = None
    init: Annotated[str | None, option("NAME")] = None
    space: Annotated[str | None, option("NAME")] = None
    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    layer: Annotated[tuple[str, ...] | None, option("NAME ...")] = None
    basis: Annotated[Path | None, option("SET")] = None
    shared: bool = False
    gamma: Annotated[float | None, option("G")] = None
    fixed_gammas: bool = False
    learn_alphas: bool = False
    step: Annotated[float | None, option("LENGTH")] = None
    steps: Annotated[int | None, option("N")] = None


def request_of(name: str, *records: type) -> type[Any]:
    """Return a group of arguments: those settings of some records that the command takes (:class:`Setting`).

    What is left out, and comes from the preset, is None.
    """
    made = []
    for entry in chain.from_iterable(map(options_in, records)):
        setting, empty = entry.setting, entry.default == ()  # of several values none are given
        typed = option(
            setting.word, name=setting.typed and f"--{setting.typed}", group=MAIN if setting.main else None, text=entry.help
        )
        kind, default = (entry.type | None, None) if setting.preset and not empty else (entry.type, entry.default)
        made.append((entry.option, Annotated[kind, typed], field(default=default)))
    return make_dataclass(name, made, namespace={"__module__": __name__}, frozen=True, kw_only=True)


if TYPE_CHECKING:
    from types import SimpleNamespace as Training  # its fields are read from the records
else:
    Training = request_of("Training", *RECORDS)


@dataclass(frozen=True, kw_only=True)
class Train(Command):
    """Learn K paths on which the pictures of a generator change, each in its own way, without a label.

    Attributes:
        preset: settings to begin from: faces, faces-quick, faces-linear, or those published for mnist, animefaces, biggan,
            proggan, stylegan2, navigan-svd, navigan-hessian (with --generator FILE). The bundled faces have theirs if it is left
            out.
        quick: the preset of three minutes for the bundled faces.
        presets: list the presets with their settings, and do nothing else.
        mask: where change is welcome (mouth, box:0.3,0.6,0.7,0.9, ...); change elsewhere is penalised.
        lambda_mask: weight of change outside the mask, as a share of all squared change; 1 if a mask is given.
        start_from: go on from the weights of this experiment of WarpedGANSpace, checkpoint.pt, or folder of an earlier
            training; optimisers begin afresh.
        model: Which generator makes the pictures.
        kind: Which paths to learn.
        training: How to train.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.train:train"
    preset: Annotated[str | None, option("NAME")] = None
    quick: bool = False
    presets: bool = False
    mask: Annotated[str | None, option("MASK")] = None
    lambda_mask: Annotated[float | None, option("X", group=TRAINING)] = None
    start_from: Annotated[Path | None, option("FOLDER|FILE", group=TRAINING)] = None
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    kind: Annotated[Kind, flat(KIND)] = field(default_factory=Kind)
    training: Annotated[Training, flat(TRAINING)] = field(default_factory=Training)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    @property
    def folder(self) -> Path:
        """The run folder."""
        words = [self.kind.paths] if self.kind.paths else []
        words += ["quick"] if self.quick else []
        words += [self.mask] if self.mask else []
        return self.output.folder("train", self.model.word, *words)

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next."""
        walk = ("--seeds", "0-7", "--out", f"{self.folder}-walk")
        return ("traverse", self.folder, *code_words(self.model.generator), *walk)

    @property
    def inputs(self) -> list[Path]:
        """The files that decide the result."""
        return early.inputs(masks=[self.mask] if self.mask else [], edits=[self.kind.basis] if self.kind.basis else [])

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        if self.presets:
            return list_presets()
        early.check_masks([self.mask] if self.mask else [], self.model.generator)
        preset = chosen_preset(self)
        if self.start_from is None:
            start_of(self.kind, preset)
            count_of(self.kind, preset)
            check_alike(self.kind, self.kind.space or ("w+" if self.kind.layers else preset.space))
        else:
            early.check_there(self.start_from, "experiment")
        if self.start_from is not None and self.kind != Kind(space=self.kind.space):
            raise SemanifoldError(
                f"The paths of {self.start_from} are what they are; of the options of the kind of paths only --space goes "
                "with --start-from."
            )
        for setting in chain.from_iterable(map(options_in, RECORDS)):
            setting.check(getattr(self.training, setting.option), "--" + setting.option.replace("_", "-"))
        main = ("paths.png", "paths.safetensors", "metrics.json")
        return early.finished(self, "train", self.folder, self.inputs, main, self.then, growing=GROWING)


def chosen_preset(command: Train) -> Preset:
    """Return the settings to begin from."""
    if command.quick and (command.preset is not None or command.model.generator != FACES):
        raise SemanifoldError("--quick is the preset faces-quick of the bundled faces; leave --preset and --generator out.")
    if command.quick:
        preset = find_preset("faces-quick")
    elif command.preset is None:
        preset = preset_for(command.model.generator, command.kind.paths) or ANY
    else:
        preset = find_preset(command.preset)
    if command.lambda_mask is not None and command.mask is None:
        raise SemanifoldError("--lambda-mask needs a --mask.")
    if command.mask is not None and preset.init in CLOSED:
        preset = replace(preset, init="spread")  # axes of the whole picture would have to leave all that they know
    if command.preset is not None and not preset.generator and command.model.generator == FACES:
        raise SemanifoldError(f"The preset {command.preset} is for {preset.about}; give its file with --generator.")
    return preset


def kind_of(asked: Kind, preset: Preset) -> str:
    """Return which of :data:`KINDS` it is."""
    name = asked.paths or preset.paths
    takes = ("paths", "k", *kind_named(name).takes)
    useless = [
        f"--{field.name.replace('_', '-')}"
        for field in fields(asked)
        if field.name not in takes and getattr(asked, field.name) not in (None, False)
    ]
    if useless:
        means, them = ("mean", "them") if len(useless) > 1 else ("means", "it")
        raise SemanifoldError(f"{' and '.join(useless)} {means} nothing to {name} paths; leave {them} out.")
    if asked.basis is not None and asked.layer:
        raise SemanifoldError("The layers of a --basis are its own; leave --layer out.")
    return name


def start_of(asked: Kind, preset: Preset) -> str:
    """Return how a set that learns begins: one of the starts of its kind, or the directions of a closed form."""
    kind = kind_of(asked, preset)
    known = kind_named(kind).starts
    init = asked.init or (preset.init if preset.init in known else known[0])
    if init not in known:
        raise SemanifoldError(f"There is no start {init!r} of {kind} paths: {near_names(init, known)}")
    return init


def check_alike(asked: Kind, space: str | None) -> None:
    """Refuse layers that move alike in a space that has none; None is the generator's own choice, not known yet."""
    if asked.shared and space is not None and not space.endswith("+"):
        raise SemanifoldError(
            f"Only layers of w+ can move alike, but the paths are of {space}; leave --shared out, or give --space w+."
        )


def count_of(asked: Kind, preset: Preset) -> int:
    """Return how many paths there are."""
    name = kind_of(asked, preset)
    kind, k = kind_named(name), preset.k if asked.k is None else asked.k
    if k < 1:
        raise SemanifoldError(f"A set has at least 1 path, but --k is {k}.")
    pairs = k * (preset.dipoles if asked.dipoles is None else asked.dipoles)
    if "dipoles" in kind.takes and pairs > MOST_PAIRS:
        many = shown(str(pairs), 20)
        raise SemanifoldError(f"A set has at most {MOST_PAIRS:,} pairs of support vectors, but --k times --dipoles is {many}.")
    if k > kind.most:
        raise SemanifoldError(f"A set of {name} paths has at most {kind.most:,} of them, but --k is {shown(str(k), 20)}.")
    return k


def list_presets() -> Answer:
    """Return the presets with what they set."""
    where = ("dipoles", "init", "space")
    how = ("batch", "iterations", "min_magnitude", "max_magnitude", "reconstructor")
    lines: list[str] = []
    for name, preset in PRESETS.items():
        names = ("paths", "k", *(("layer",) if kind_named(preset.paths).moves_weights else where), *how)
        values = ", ".join(f"{key.replace('_', ' ')} {preset.values()[key]}" for key in names)
        lines += [f"{name:<16} {preset.about}", " " * 17 + values]
    return Answer(said=tuple(lines), facts={"presets": {name: plain(preset.values()) for name, preset in PRESETS.items()}})
