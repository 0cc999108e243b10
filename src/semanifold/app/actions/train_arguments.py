"""From the arguments of ``semanifold train`` to paths and settings."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from semanifold.app.actions.directions import closed_paths
from semanifold.app.actions.weights import weight_paths_to_train
from semanifold.app.answers import Caller
from semanifold.app.commands.train import Kind, Training
from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.generators.base import UNKNOWN, Generator, origin
from semanifold.paths.base import PathSet
from semanifold.paths.files import load_paths
from semanifold.paths.kinds import CLOSED, FORMS, WEIGHT_KINDS, Form, check_kind
from semanifold.paths.linear import LinearPaths, linear_paths
from semanifold.paths.warped import INITS, Init, warped_paths
from semanifold.paths.weight_methods import MOST_PATHS as MOST_WEIGHT_PATHS
from semanifold.paths.weights import WeightPaths
from semanifold.training.draws import check_prior, usual_distance
from semanifold.training.presets import ALONG_RATE, ALONG_REACH, Preset
from semanifold.training.settings import ReconstructorSettings, TrainingSettings, with_options

ONLY_WARPED = ("dipoles", "gamma", "fixed_gammas", "learn_alphas")
ONLY_LEARNED = ("init", "shared", "step", "steps")
ONLY_LATENT = ("space", "layers")
ONLY_WEIGHTS = ("layer", "basis")
WEIGHT_MAGNITUDES = (0.5, 1.5)
"""Least and greatest step of paths in weights, of which 1 is a change that is seen at once."""
MOST_PAIRS = 1 << 20
"""Paths times dipoles; the largest published set has a tenth of it."""
MOST_PATHS = 10_000
"""Paths of a set without support vectors."""
ANY = Preset("any generator", space=None, dipoles=32, init="spread", network=ReconstructorSettings(differences=True))


def kind_of(asked: Kind, preset: Preset) -> str:
    """Return which of :data:`KINDS` it is."""
    kind = asked.paths or preset.paths
    check_kind(kind)
    foreign = () if kind == "warped" else ONLY_WARPED if kind in FORMS else (*ONLY_WARPED, *ONLY_LEARNED)
    foreign = (*foreign, *(ONLY_LATENT if kind in WEIGHT_KINDS else ONLY_WEIGHTS))
    foreign = (*foreign, "basis") if kind == "weights-svd" else foreign
    useless = [f"--{name.replace('_', '-')}" for name in foreign if getattr(asked, name) not in (None, False)]
    if useless:
        raise SemanifoldError(f"{', '.join(useless)} means nothing to {kind} paths; leave it out.")
    return kind


def start_of(asked: Kind, preset: Preset) -> str:
    """Return how a set that learns begins: one of the starts of its kind, or the directions of a closed form."""
    kind = kind_of(asked, preset)
    free = INITS if kind == "warped" else ("random",)
    known = (*free, *CLOSED) if kind in ("warped", "linear", "projective") else free
    init = asked.init or (preset.init if preset.init in known else known[0])
    if init not in known:
        raise SemanifoldError(f"There is no start {init!r} of {kind} paths: {near_names(init, known)}")
    return init


def form_of(asked: Kind, preset: Preset) -> str | None:
    """Return the closed form whose directions it has, or begins with; such sets have scales. None for others."""
    return next((name for name in (kind_of(asked, preset), start_of(asked, preset)) if name in CLOSED), None)


def place_of(asked: Kind, generator: Generator, preset: Preset) -> tuple[str, int]:
    """Return the space of the paths and how many there are."""
    space = asked.space or ("w+" if asked.layers else preset.space) or generator.path_space
    kind = kind_of(asked, preset)
    if kind in WEIGHT_KINDS:
        space = generator.first_space  # where pictures are drawn
    k = preset.k if asked.k is None else asked.k
    if k < 1:
        raise SemanifoldError(f"A set has at least 1 path, but k is {k}.")
    if kind != "warped" and k > (most := MOST_WEIGHT_PATHS if kind in WEIGHT_KINDS else MOST_PATHS):
        raise SemanifoldError(f"A set of {kind} paths has at most {most:,} of them, but k is {shown(str(k), 20)}.")
    pairs = k * (preset.dipoles if asked.dipoles is None else asked.dipoles)
    if kind == "warped" and pairs > MOST_PAIRS:
        found = shown(str(pairs), 20)
        raise SemanifoldError(f"A set has at most {MOST_PAIRS:,} pairs of support vectors, but k times dipoles is {found}.")
    return space, k


def directions_of(asked: Kind, generator: Generator, preset: Preset, caller: Caller) -> LinearPaths | None:
    """Return the set of that closed form; this may take a minute."""
    form = form_of(asked, preset)
    if form is None:
        return None
    return closed_paths(form, generator, *place_of(asked, generator, preset), asked.layers, preset.init_codes, caller)


def make_paths(
    asked: Kind, generator: Generator, preset: Preset, seed: int, along: LinearPaths | None, caller: Caller
) -> PathSet:
    """Return a new set; ``along`` is what :meth:`directions` gives."""
    kind, (space, k) = kind_of(asked, preset), place_of(asked, generator, preset)
    if kind in CLOSED and along is not None:
        return along
    if kind in WEIGHT_KINDS:
        layers = asked.layer or ((preset.layer,) if preset.layer else ())
        basis = None if asked.basis is None else read_basis(asked, generator, caller)
        far = preset.training.max_magnitude if preset.norms else None
        return weight_paths_to_train(generator, kind, layers, k, seed, basis=basis, far=far, caller=caller)
    init = start_of(asked, preset)
    traced = {
        "step": preset.step if asked.step is None else asked.step,
        "steps": preset.steps if asked.steps is None else asked.steps,
        "layers": asked.layers,
        "shared": asked.shared,
        "along": along,
        "seed": seed,
    }
    if kind in FORMS:
        return linear_paths(generator, space, k, cast("Form", kind), **traced)
    return warped_paths(
        generator,
        space,
        k,
        preset.dipoles if asked.dipoles is None else asked.dipoles,
        init=cast("Init", init if init in INITS else "spread"),
        gamma=asked.gamma,
        learn_alphas=asked.learn_alphas,
        learn_gammas=not asked.fixed_gammas,
        **traced,
    )


def read_basis(asked: Kind, generator: Generator, caller: Caller) -> WeightPaths:
    """Return the directions whose combinations are learned."""
    assert asked.basis is not None
    if asked.layer:
        raise SemanifoldError("The layers of a --basis are its own; leave --layer out.")
    basis = load_paths(asked.basis)
    if not isinstance(basis, WeightPaths) or basis.form != "basis":
        raise SemanifoldError(
            f"{shown(str(asked.basis), 200)} holds no directions in weights that can be combined; semanifold weights hessian "
            "(or joint, mask) writes such a set."
        )
    basis.check_generator(generator)
    if basis.info.fingerprint not in (UNKNOWN, generator.fingerprint):
        caller.remark(
            f"{shown(str(asked.basis), 200)} was found on {origin(basis.info.generator)}, a generator with the same layers; "
            f"it may mean less on {generator.name}."
        )
    return basis.with_info(generator=generator.name, fingerprint=generator.fingerprint).to(generator.device)


def settings_of(
    training: Training,
    generator: Generator,
    preset: Preset,
    space: str,
    lambda_mask: float = 0.0,
    *,
    along: bool = False,
    in_weights: bool = False,
) -> TrainingSettings:
    """Return the settings: what was given, else the preset's.

    Magnitudes that nobody gave are a tenth to three tenths of the usual distance of codes. Paths ``along`` directions with scales
    take twice the magnitudes and a smaller rate, where these are not given; paths in weights take :data:`WEIGHT_MAGNITUDES`.
    """
    given, usual = vars(training), preset.training
    prior = replace(with_options(usual.prior, given), space=space)
    check_prior(prior, generator)
    low, high = usual.min_magnitude, usual.max_magnitude
    if preset is ANY and None in (training.min_magnitude, training.max_magnitude):
        distance = usual_distance(generator, prior)
        low, high = round(0.1 * distance, 6), round(0.3 * distance, 6)
    if in_weights and not preset.norms:
        low, high = WEIGHT_MAGNITUDES
    if along:
        low, high = ALONG_REACH * low, ALONG_REACH * high
        usual = replace(usual, paths_lr=ALONG_RATE * usual.paths_lr)
    # in one step: each of two magnitudes alone may not fit the other's usual value
    given = {"min_magnitude": low, "max_magnitude": high} | {name: value for name, value in given.items() if value is not None}
    return replace(with_options(usual, given), lambda_mask=lambda_mask, prior=prior)
