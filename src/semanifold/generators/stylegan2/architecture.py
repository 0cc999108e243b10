"""StyleGAN2 as a row of the table of networks: the files that hold it, and those that are written for other programs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from semanifold.core.errors import SemanifoldError, shown
from semanifold.generators.architecture import Architecture, ForeignState, State, Written
from semanifold.generators.states import Say
from semanifold.generators.stylegan2 import layouts
from semanifold.generators.stylegan2.config import StyleGAN2Config
from semanifold.generators.stylegan2.export import as_nvidia, as_rosinality
from semanifold.generators.stylegan2.network import StyleGAN2


def _translated(source: ForeignState) -> tuple[StyleGAN2Config, State]:
    state, settings, say = source.state, source.settings, source.say
    match source.layout:
        case "rosinality":
            return layouts.from_rosinality(state, source.latent_avg, say=say)
        case "genforce":
            return layouts.from_genforce(state, say=say)
        case "tensorflow":
            config, ours = layouts.from_tensorflow(state, say=say)
            return dataclasses.replace(config, clamp=_number(settings.get("conv_clamp"), "conv_clamp")), ours
        case "ada":
            clamp = _number(_only(settings, r"synthesis\.b\d+\.(conv[01]|torgb)\.conv_clamp"), "conv_clamp")
            if (kind := _only(settings, r"synthesis\.b\d+\.conv[01]\.activation")) not in (None, "lrelu"):
                raise SemanifoldError(f"It uses the activation {shown(str(kind))!r}; only 'lrelu' is supported.")
            width = _number(settings.get("mapping.z_dim"), "width of z")
            config, ours = layouts.from_ada(state, clamp=clamp, z_dim=None if width is None else int(width), say=say)
            gain = _number(_only(settings, r"mapping\.fc\d+\.bias_gain"), "learning rate of the mapping network")
            return dataclasses.replace(config, mapping_lr=gain or config.mapping_lr), ours
    raise SemanifoldError("It holds tensors of semanifold without their configuration; convert the original file again.")


def _only(settings: Mapping[str, object], pattern: str) -> object:
    """Return the one value that all settings of a kind agree on."""
    values = {shown(str(value)): value for key, value in settings.items() if re.fullmatch(pattern, key)}
    if len(values) > 1:
        raise SemanifoldError(f"Its layers have different settings ({', '.join(values)}), which is not supported.")
    return next(iter(values.values()), None)


def _number(value: object, what: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float) and 0 < value < 1e9:
        return float(value)
    raise SemanifoldError(f"Its {what} is {shown(str(value))!r}, where a positive number is expected.")


def _for_rosinality(generator: StyleGAN2, say: Say) -> Written:
    beside = as_rosinality(generator, say=say)
    return beside.pop("g_ema"), beside  # type: ignore[return-value]  # its tensors


def _for_nvidia(generator: StyleGAN2, say: Say) -> Written:
    return as_nvidia(generator, say=say), {}


STYLEGAN2 = Architecture(
    name="stylegan2",
    kind="StyleGAN2",
    title="a StyleGAN2 generator",
    layouts={
        "rosinality": "rosinality/stylegan2-pytorch",
        "ada": "NVIDIA stylegan2-ada-pytorch or stylegan3",
        "genforce": "genforce",
        "tensorflow": "NVIDIA stylegan2 (TensorFlow)",
    },
    mark=layouts.MARK,
    recognise=layouts.recognise,
    translate=_translated,
    config=StyleGAN2Config,
    make=StyleGAN2,
    depth=lambda config: config.mapping_layers + len(config.channels),
    writers={"rosinality": _for_rosinality, "nvidia": _for_nvidia},
    published=lambda _: "StyleGAN2",
)
