"""An encoder: a small network that reads the code from a picture, so that inversions begin there; trained on own samples.

Training it needs no photograph: codes are drawn, and their pictures, disturbed as photographs are, are what it learns from (in
the manner of Zhu et al. 2016, arXiv:1609.03552, and Chai et al. 2021, arXiv:2103.10426).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, TypedDict

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import Latents
from semanifold.core.progress import Report, Watch, followed, watching
from semanifold.core.shapes import Pictures
from semanifold.core.solutions import Result, Solution
from semanifold.core.spaces import single
from semanifold.generators.base import Generator, origin
from semanifold.generators.coordinates import Coordinates
from semanifold.images.motion import smoothed
from semanifold.inversion.curvature import CODES, KEPT, Curvature, mean_curvature
from semanifold.inversion.settings import EncoderSettings, InversionSettings
from semanifold.inversion.starts import COARSE, metric_of
from semanifold.storage.descents import adam_tensors, restore_adam
from semanifold.storage.digests import digest
from semanifold.storage.tensors import read_format, write_tensors

FORMAT = "semanifold-encoder-1"
STATE = "semanifold-encoder-state-1"
OWN: Literal["own"] = "own"
"""What stands for the encoder that comes with a generator."""
CHANNELS = (24, 40, 64, 80)
HIDDEN = 96
GROUPS = 8
SEEN_AT = 64
"""Height and width of the pictures that the network sees."""
PICTURES_FROM = 0.5
"""Share of the training after which pictures count as well as codes; before, they would say little."""
CHECKPOINT_EVERY = 50
CURVED_FROM = 4_100_000
"""First seed of the codes that the curvature is taken at."""
ROWS = "curvature.rows"
MOST_DRAWS = 1 << 32
MOST_CODE = 1 << 16

Whole = Annotated[int, msgspec.Meta(ge=1, le=MOST_CODE)]


class Header(msgspec.Struct, frozen=True):
    """What the file of an encoder says of it."""

    format: Literal["semanifold-encoder-1"]
    generator: str
    fingerprint: str
    space: str
    channels: Annotated[int, msgspec.Meta(ge=1, le=4)]
    code: Annotated[list[Whole], msgspec.Meta(min_length=1, max_length=3)]
    draws: Annotated[int, msgspec.Meta(ge=1, le=MOST_DRAWS)] = 1


class Network(nn.Module):
    """Convolutions that halve the picture four times, and two dense layers."""

    def __init__(self, channels: int, numbers: int) -> None:
        """Make the network.

        Args:
            channels: of the pictures.
            numbers: of a code.
        """
        super().__init__()
        widths = (channels, *CHANNELS)
        stages = []
        for before, after in zip(widths, CHANNELS):
            for first, stride in ((before, 2), (after, 1)):
                stages += [nn.Conv2d(first, after, 3, stride, padding=1), nn.GroupNorm(GROUPS, after), nn.SiLU()]
        self.stages = nn.Sequential(*stages)
        side = SEEN_AT >> len(CHANNELS)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(CHANNELS[-1] * side * side, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, numbers)
        )

    def forward(self, pictures: Pictures) -> Tensor:
        """Return ``[n, numbers]``."""
        if pictures.shape[2:] != (SEEN_AT, SEEN_AT):
            pictures = interpolate(pictures, (SEEN_AT, SEEN_AT), mode="bilinear", antialias=True)
        return self.head(self.stages(pictures))


@dataclass(frozen=True, eq=False)
class Encoder:
    """Reads the codes of pictures of one generator.

    Attributes:
        network: gives natural coordinates of the code.
        space: of the code.
        shape: of one code.
        generator: name of the generator.
        fingerprint: of its weights.
        curvature: mean one of the generator's pictures, in the units of its :attr:`Generator.search_space`; None in files of
            earlier versions.
    """

    network: Network = field(repr=False)
    space: str
    shape: tuple[int, ...]
    generator: str
    fingerprint: str
    curvature: Curvature | None = field(default=None, repr=False)

    @torch.no_grad()
    def codes(self, pictures: Pictures, generator: Generator) -> Latents:
        """Return the codes that pictures ``[n, c, h, w]`` in [-1, 1] seem to have, in :attr:`space`.

        Raises:
            SemanifoldError: if the encoder was trained for another generator.
        """
        self.check(generator)
        coordinates, mean, _ = frame_of(generator)
        weight = next(self.network.parameters())
        u = self.network(pictures.to(weight)).reshape(-1, *self.shape).to(mean.values)
        values = mean.values + coordinates.displacements(u)
        return generator.example(range(len(values)), self.space).with_values(values)

    def curvature_in(self, space: str, generator: Generator) -> Curvature | None:
        """Return the curvature in the units of codes of a space; None where it is not told by that of the searched one."""
        searched, known = generator.search_space, self.curvature
        if known is None or space == searched:
            return known
        if not generator.spaces[searched].layers or single(searched) != space:
            return None
        return Curvature(known.rows.sum(1), known.draws)  # all layers have one code

    def check(self, generator: Generator) -> None:
        """Refuse a generator that the encoder was not trained for.

        Raises:
            SemanifoldError: naming both.
        """
        if generator.fingerprint != self.fingerprint:
            raise SemanifoldError(
                f"The encoder was trained for {origin(self.generator)} ({self.fingerprint}), not for {generator.name} "
                f"({generator.fingerprint}); train one for it, as semanifold encoder does."
            )


def frame_of(generator: Generator) -> tuple[Coordinates, Latents, float]:
    """Return the natural coordinates of the space that encoders read, the mean code, and the mean square of its own codes."""
    code = generator.example(0, generator.path_space)
    return metric_of(generator, code, 0.0)


class EncoderNumbers(TypedDict):
    """What is said of a training at its end.

    Attributes:
        code_error: mean square of the error of the natural coordinates in the last step; 1 is what the mean code has.
        steps: taken.
    """

    code_error: float
    steps: int


@dataclass(frozen=True)
class EncoderStep:
    """One step of a training."""

    step: int
    steps: int
    code_error: float
    """Mean square of the error of the natural coordinates, of disturbed pictures it learns from; 1 is what the mean code has."""
    encoder: Encoder = field(repr=False)
    result: Result | None = None

    def report(self) -> Report:
        """Return what a progress callback gets."""
        return {"step": self.step, "steps": self.steps, "code error": self.code_error, "encoder": self.encoder}


def train_encoder(
    generator: Generator,
    settings: EncoderSettings | None = None,
    *,
    progress: Watch = None,
    checkpoint: str | os.PathLike[str] | None = None,
    throw: bool = True,
) -> Solution[Encoder, EncoderNumbers]:
    """Train an encoder on a generator's own samples.

    Adam with a rate that falls as a cosine, on the mean squared error of the natural coordinates of the code and, in the second
    half, of the picture.

    Args:
        generator: the generator; it is not changed.
        settings: how to train; the defaults when None.
        progress: called after each step with ``step``, ``steps`` and ``code error``. A bar when None, nothing when False.
        checkpoint: a file that the training is saved to every 50 steps, and taken up from, bit for bit, if it is there.
        throw: raise if the training failed; otherwise the solution's ``result`` says so.

    Returns:
        The encoder, and its numbers; after Ctrl-C the encoder as it is.

    Raises:
        SemanifoldError: if the generator makes pictures of pictures, or the training failed.
    """
    with watching(progress, "training an encoder") as tell:
        last, interrupted = followed(encoder_steps(generator, settings, checkpoint=checkpoint), tell)
    result = Result.INTERRUPTED if interrupted else last.result or Result.STEPS
    numbers: EncoderNumbers = {"code_error": last.code_error, "steps": last.step}
    return Solution(last.encoder, result, numbers).thrown(throw)


def encoder_steps(
    generator: Generator, settings: EncoderSettings | None = None, *, checkpoint: str | os.PathLike[str] | None = None
) -> Iterator[EncoderStep]:
    """Train as :func:`train_encoder` does, one step each time that the next one is asked for.

    Raises:
        SemanifoldError: if the generator makes pictures of pictures, they cannot be differentiated although they count, or the
            checkpoint does not fit.
    """
    settings = settings or EncoderSettings()
    if generator.takes_inputs:
        raise SemanifoldError(
            f"{generator.name} makes pictures of label maps or photos, which are its codes; there is nothing to read."
        )
    if settings.pictures:
        try:
            generator.check_differentiable(generator.example(0, generator.path_space))
        except SemanifoldError as error:
            raise SemanifoldError(f"{str(error).rstrip('.')}; or let codes alone count (pictures=0).") from error
    return _steps(generator, settings, None if checkpoint is None else os.fspath(checkpoint))


def _steps(generator: Generator, settings: EncoderSettings, checkpoint: str | None) -> Iterator[EncoderStep]:
    """See :func:`encoder_steps`."""
    space = generator.path_space
    shape = generator.spaces[space].shape
    coordinates, mean, own = frame_of(generator)
    draws = torch.Generator().manual_seed(settings.seed & ((1 << 63) - 1))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(settings.seed & ((1 << 63) - 1))  # torch.manual_seed would seed the GPUs too
        network = Network(generator.picture_shape[0], math.prod(shape))
    network = network.to(generator.device)
    adam = torch.optim.Adam(network.parameters(), lr=settings.rate)
    encoder = Encoder(network, space, shape, generator.name, generator.fingerprint)
    key = digest(generator.fingerprint, repr(settings))
    first = 0 if checkpoint is None else load_training(checkpoint, key, network, adam, draws)
    error = 1.0
    for step in range(first, settings.steps + 1):
        done = step == settings.steps
        result = Result.STEPS if done else None
        if not math.isfinite(error):
            result = Result.DIVERGED
        elif done or step % CHECKPOINT_EVERY == 0:
            if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
                result = Result.DIVERGED  # a gradient of NaN, which the loss does not show
            elif checkpoint is not None:
                save_training(checkpoint, key, step, network, adam, draws)
        if result is Result.STEPS:
            encoder = replace(encoder, curvature=curvature_of(generator, settings))
        yield EncoderStep(step, settings.steps, error, encoder, result)
        if result is not None:
            return
        # 1. Codes that were never seen before, each under its own condition, and their pictures.
        seed = 1 + step * settings.batch
        codes = generator.example(range(seed, seed + settings.batch), space, in_turn=True)
        with torch.no_grad():
            pictures = generator.images(codes).clamp(-1, 1)
            wanted = coordinates.inverse(codes.values - mean.values).flatten(1)
        # 2. What the network reads from them, disturbed.
        u = network(disturbed(pictures, draws, settings.disturbance).to(next(network.parameters())))
        loss = (u - wanted.to(u)).square().mean() / own
        error = float(loss.detach())
        # 3. In the second half also how far the pictures of what it reads are: not all of a code is seen.
        if settings.pictures and step >= PICTURES_FROM * settings.steps:
            part = slice(0, max(1, settings.batch // 4))
            values = mean.values + coordinates.displacements(u[part].reshape(-1, *shape).to(mean.values))
            again = generator.images(codes[part].with_values(values))
            loss = loss + settings.pictures * (again - pictures[part]).square().mean().to(loss)
        for group in adam.param_groups:
            group["lr"] = settings.rate * (0.5 + 0.5 * math.cos(math.pi * step / settings.steps))
        adam.zero_grad()
        loss.backward()
        adam.step()


def curvature_of(generator: Generator, settings: EncoderSettings) -> Curvature | None:
    """Return the mean curvature that an encoder keeps; None of pictures that cannot be differentiated."""
    codes = generator.example(range(CURVED_FROM, CURVED_FROM + min(CODES, settings.steps)), generator.search_space, in_turn=True)
    try:
        generator.check_differentiable(codes[0])
    except SemanifoldError:
        return None
    coordinates, _, _ = metric_of(generator, codes[0], InversionSettings().independence)
    return mean_curvature(generator, codes, coordinates, generator.coarse_size(COARSE), settings.seed & ((1 << 63) - 1))


@torch.no_grad()
def disturbed(pictures: Pictures, draws: torch.Generator, strength: float) -> Pictures:
    """Return pictures as photographs might show them: a little smoother, noisier, lighter or darker, and of other colours.

    Args:
        pictures: ``[n, c, h, w]`` in [-1, 1].
        draws: random numbers, on the CPU.
        strength: 0 leaves them as they are, 1 is what a usual camera does.
    """
    if strength == 0:
        return pictures
    n, c = pictures.shape[:2]

    def random(*size: int) -> Tensor:
        return torch.randn(*size, generator=draws).to(pictures)

    gain = 1 + 0.04 * strength * random(n, c, 1, 1)
    shift = 0.04 * strength * (random(n, 1, 1, 1) + 0.5 * random(n, c, 1, 1))
    share = (torch.rand(n, 1, 1, 1, generator=draws)).to(pictures) * min(1.0, strength)
    softer = pictures + share * (smoothed(pictures, 0.012) - pictures)
    noise = 0.03 * strength * torch.rand(n, 1, 1, 1, generator=draws).to(pictures)
    return (gain * softer + shift + noise * random(*pictures.shape)).clamp(-1, 1)


# ------------------------------------------------------------------------------------------------------------------------ files


def save_encoder(encoder: Encoder, path: str | os.PathLike[str]) -> None:
    """Write an encoder as safetensors, in half precision, with a header that says whose codes it reads."""
    network = encoder.network
    header = {
        "format": FORMAT,
        "generator": encoder.generator,
        "fingerprint": encoder.fingerprint,
        "space": encoder.space,
        "channels": network.stages[0].in_channels,
        "code": list(encoder.shape),
    }
    rows = {}
    if encoder.curvature is not None:
        rows, header["draws"] = {ROWS: encoder.curvature.rows}, encoder.curvature.draws
    write_tensors(path, {name: tensor.half() for name, tensor in (network.state_dict() | rows).items()}, header)


def load_encoder(path: str | os.PathLike[str], generator: Generator) -> Encoder:
    """Return the encoder in a file, for a generator, on its device.

    Raises:
        SemanifoldError: if there is no such file, it is damaged or no encoder, or was trained for another generator.
    """
    header, tensors = read_format(path, FORMAT, Header, "encoder", "give the encoder.safetensors of semanifold encoder")
    numbers = math.prod(header.code)
    if numbers > MOST_CODE:
        raise SemanifoldError(f"{shown(os.fspath(path), 200)} reads codes of {numbers} numbers; at most {MOST_CODE:,} are read.")
    network = Network(header.channels, numbers)
    encoder = Encoder(network, header.space, tuple(header.code), header.generator, header.fingerprint)
    encoder.check(generator)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    rows = tensors.pop(ROWS, None)
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != expected or not _fit(rows, generator):
        raise SemanifoldError(f"{shown(os.fspath(path), 200)} is damaged: its tensors are not those of an encoder.")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    network.to(generator.device).requires_grad_(False)
    if rows is None:
        return encoder
    return replace(encoder, curvature=Curvature(rows.to(generator.device, generator.dtype), header.draws))


def _fit(rows: Tensor | None, generator: Generator) -> bool:
    """Whether a file's rows, if it has some, are of the generator's codes."""
    if rows is None:
        return True
    shape = generator.spaces[generator.search_space].shape
    return rows.shape[1:] == shape and 1 <= len(rows) <= KEPT and rows.is_floating_point() and bool(torch.isfinite(rows).all())


def encoder_of(generator: Generator, encoder: Encoder | Literal["own"] | None) -> Encoder | None:
    """Return the encoder that is meant: ``"own"`` is the one that comes with the package for these weights, if there is one.

    Raises:
        SemanifoldError: if it was trained for another generator, or is no encoder.
    """
    if encoder == OWN:
        file = None if generator.world is None else generator.world.encoders.get(generator.fingerprint)
        return None if file is None else load_encoder(file, generator)
    if encoder is not None:
        of_type(encoder, Encoder, 'encoder is an Encoder, "own", or None for none')
        encoder.check(generator)
    return encoder


def save_training(path: str, key: str, step: int, network: Network, adam: torch.optim.Optimizer, draws: torch.Generator) -> None:
    """Write the state of a training, from which it goes on bit for bit."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()} | {"draws": draws.get_state()}
    write_tensors(path, tensors | adam_tensors(adam), {"format": STATE, "key": key, "step": step}, crc=True)


class StateHeader(msgspec.Struct, frozen=True):
    """What the file of a training's state says of it."""

    format: Literal["semanifold-encoder-state-1"]
    key: str
    step: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


def load_training(path: str, key: str, network: Network, adam: torch.optim.Optimizer, draws: torch.Generator) -> int:
    """Take up the state of a training, if there is one; return its step.

    Raises:
        SemanifoldError: if it is that of another generator or other settings, or damaged.
    """
    if not os.path.lexists(path):
        return 0
    advice = "remove it to begin anew"
    header, tensors = read_format(path, STATE, StateHeader, "state of a training", advice)
    if header.key != key:
        raise SemanifoldError(f"{shown(path, 200)} is the state of another training; {advice}.")
    try:
        network.load_state_dict({name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")})
        restore_adam(adam, tensors)
        draws.set_state(tensors["draws"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise SemanifoldError(f"{shown(path, 200)} is damaged; {advice}.") from error
    return header.step
