"""From the arguments of ``semanifold train`` to paths and settings."""

from __future__ import annotations

from dataclasses import replace
from pkgutil import resolve_name

from semanifold.app.actions.directions import closed_paths
from semanifold.app.answers import Caller
from semanifold.app.commands.train import ANY, Kind, Training, check_alike, count_of, kind_of, start_of
from semanifold.generators.base import Generator
from semanifold.paths.base import PathSet
from semanifold.paths.kinds import CLOSED, NewPaths, kind_named
from semanifold.paths.linear import LinearPaths
from semanifold.training.draws import check_prior, usual_distance
from semanifold.training.presets import ALONG_RATE, ALONG_REACH, Preset
from semanifold.training.settings import TrainingSettings, with_options

WEIGHT_MAGNITUDES = (0.5, 1.5)
"""Least and greatest step of paths in weights, of which 1 is a change that is seen at once."""


def form_of(asked: Kind, preset: Preset) -> str | None:
    """Return the closed form whose directions it has, or begins with; such sets have scales. None for others."""
    return next((name for name in (kind_of(asked, preset), start_of(asked, preset)) if name in CLOSED), None)


def place_of(asked: Kind, generator: Generator, preset: Preset) -> tuple[str, int]:
    """Return the space of the paths and how many there are."""
    space = asked.space or ("w+" if asked.layers else preset.space) or generator.path_space
    if kind_named(kind_of(asked, preset)).moves_weights:
        space = generator.first_space  # where pictures are drawn
    check_alike(asked, space)
    return space, count_of(asked, preset)


def directions_of(asked: Kind, generator: Generator, preset: Preset, caller: Caller) -> LinearPaths | None:
    """Return the set of that closed form; this may take a minute."""
    form = form_of(asked, preset)
    if form is None:
        return None
    return closed_paths(form, generator, *place_of(asked, generator, preset), asked.layers, preset.init_codes, caller)


def make_paths(
    asked: Kind, generator: Generator, preset: Preset, seed: int, along: LinearPaths | None, caller: Caller
) -> PathSet:
    """Return a new set; ``along`` is what :func:`directions_of` gives."""
    kind, (space, k) = kind_of(asked, preset), place_of(asked, generator, preset)
    new = NewPaths(
        kind=kind,
        space=space,
        k=k,
        layers=asked.layers,
        shared=asked.shared,
        init=start_of(asked, preset),
        along=along,
        dipoles=preset.dipoles if asked.dipoles is None else asked.dipoles,
        gamma=asked.gamma,
        learn_gammas=not asked.fixed_gammas,
        learn_alphas=asked.learn_alphas,
        step=preset.step if asked.step is None else asked.step,
        steps=preset.steps if asked.steps is None else asked.steps,
        layer=asked.layer or ((preset.layer,) if preset.layer else ()),
        basis=asked.basis,
        far=preset.training.max_magnitude if preset.norms else None,
        seed=seed,
        watching=caller.watching,
        remark=caller.remark,
    )
    return resolve_name(kind_named(kind).make)(generator, new)


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
    arguments, usual = vars(training), preset.training
    prior = replace(with_options(usual.prior, arguments), space=space)
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
    arguments = {"min_magnitude": low, "max_magnitude": high} | {
        name: value for name, value in arguments.items() if value is not None
    }
    return replace(with_options(usual, arguments), lambda_mask=lambda_mask, prior=prior)
