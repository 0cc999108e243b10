"""Training an encoder on a generator's own samples.

No photograph is needed: codes are drawn, and their pictures, disturbed as photographs are, are what it learns from (in the manner
of Zhu et al. 2016, arXiv:1609.03552, and Chai et al. 2021, arXiv:2103.10426).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Annotated, TypedDict

import msgspec
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError
from semanifold.core.progress import Report, Watch, followed, watching
from semanifold.core.shapes import Pictures
from semanifold.core.solutions import Result, Solution
from semanifold.generators.base import Generator
from semanifold.images.motion import smoothed
from semanifold.inversion.curvature import CODES, Curvature, mean_curvature
from semanifold.inversion.encoder import Encoder, Network, frame_of
from semanifold.inversion.settings import EncoderSettings, InversionSettings
from semanifold.inversion.starts import COARSE, metric_of
from semanifold.storage.descents import adam_tensors, restore_adam
from semanifold.storage.digests import digest
from semanifold.storage.keeping import Keeper, KeptHeader, SearchKind

STATE = "semanifold-encoder-state-1"
KIND = SearchKind("a training", "is the state of another training", "remove it to begin anew")
PICTURES_FROM = 0.5
"""Share of the training after which pictures count as well as codes; before, they would say little."""
CHECKPOINT_EVERY = 50
CURVED_FROM = 4_100_000
"""First seed of the codes that the curvature is taken at."""


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
    keeper = Keeper(checkpoint, STATE, key, kind=KIND)
    first = load_training(keeper, network, adam, draws)
    error = 1.0
    for step in range(first, settings.steps + 1):
        done = step == settings.steps
        result = Result.STEPS if done else None
        if not math.isfinite(error):
            result = Result.DIVERGED
        elif done or step % CHECKPOINT_EVERY == 0:
            if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
                result = Result.DIVERGED  # a gradient of NaN, which the loss does not show
            else:
                save_training(keeper, step, network, adam, draws)
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
    return mean_curvature(generator, codes, coordinates, generator.coarse_size(COARSE), settings.seed)


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


def save_training(keeper: Keeper, step: int, network: Network, adam: torch.optim.Optimizer, draws: torch.Generator) -> None:
    """Write the state of a training, from which it goes on bit for bit."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()} | {"draws": draws.get_state()}
    keeper.write(tensors | adam_tensors(adam), {"step": step})


class StateHeader(KeptHeader, frozen=True, kw_only=True):
    """What the file of a training's state says of it."""

    step: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


def load_training(keeper: Keeper, network: Network, adam: torch.optim.Optimizer, draws: torch.Generator) -> int:
    """Take up the state of a training, if there is one; return its step.

    Raises:
        SemanifoldError: if it is that of another generator or other settings, or damaged.
    """
    read = keeper.read(StateHeader)
    if read is None:
        return 0
    header, tensors = read
    try:
        network.load_state_dict({name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")})
        restore_adam(adam, tensors)
        draws.set_state(tensors["draws"])
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise keeper.refused("is damaged") from error
    return header.step
