"""How near, how natural and how dear: our inversion against the published projector and W+ by Adam, on the same likeness.

Targets are held-out pictures of the bundled generator, and fresh renders of the same world, which it has not seen.
Every method lowers the same sum of pixels and perceptual distance (the bundled network's, since LPIPS has to be downloaded);
``--distance lpips-vgg`` takes LPIPS where it can be had, and ``--lpips FOLDER`` reads it from all results.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.images.distances import Distance, distance_by_name, lpips_distance
from semanifold.inversion import Encoder, InversionSettings, TuningSettings, inversion_steps, load_encoder, tune
from semanifold.inversion.measures import edit_consistency, style_distance
from semanifold.inversion.objective import Likeness
from semanifold.inversion.solve import decibels
from semanifold.inversion.tuning import OTHERS
from semanifold.worlds.faces.attribute_network import attribute_network

EVERY = 20
"""Steps of the projector between two looks at how near it is."""
PUBLISHED_STEPS = 350
"""Steps of the authors of pivotal tuning."""
PIVOT = {"steps": 450, "rate": 0.01}
"""Their projector."""
STOP = 0.07
"""The LPIPS at which they end."""


def projector(generator: Generator, likeness: Likeness, steps: int, rate: float = 0.1) -> Iterator[tuple[int, Latents]]:
    """The projector of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958, appendix D) as published: Adam in w from the mean.

    The rate rises over the first 5 % and falls over the last 25 % as a cosine; noise of 5 % of the spread of w, which is
    gone after three quarters. There are no noise maps to optimise in this generator's pictures that count.
    """
    own = generator.sample(range(2048), "w").values
    mean = own.mean(0, keepdim=True)
    spread = float((own - mean).square().sum(1).mean().sqrt())
    yield from _adam(generator, likeness, Latents(mean, "w"), steps, rate, noise=0.05 * spread)


def w_plus(generator: Generator, likeness: Likeness, steps: int) -> Iterator[tuple[int, Latents]]:
    """W+ by Adam from the mean, rate 0.01 (Image2StyleGAN, Abdal et al. 2019, arXiv:1904.03189, Sec. 5)."""
    mean = generator.sample(range(2048), "w").values.mean(0, keepdim=True)
    yield from _adam(generator, likeness, generator.convert(Latents(mean, "w"), "w+"), steps, 0.01)


def _adam(
    generator: Generator, likeness: Likeness, start: Latents, steps: int, rate: float, noise: float = 0.0
) -> Iterator[tuple[int, Latents]]:
    values = start.values.detach().clone().requires_grad_()
    adam = torch.optim.Adam([values], betas=(0.9, 0.999), lr=rate)
    draws = torch.Generator().manual_seed(0)
    for step in range(steps):
        t = step / steps
        if noise:
            ramp = 0.5 - 0.5 * math.cos(math.pi * min(1, (1 - t) / 0.25))
            adam.param_groups[0]["lr"] = rate * ramp * min(1, t / 0.05)
        shaken = values + noise * max(0.0, 1 - t / 0.75) ** 2 * torch.randn(values.shape, generator=draws)
        value = likeness(generator.images(Latents(shaken, start.space))).sum()
        adam.zero_grad()
        value.backward()
        adam.step()
        yield step + 1, Latents(values.detach().clone(), start.space)


def published_tuning(
    generator: Generator,
    pivot: Latents,
    likeness: Likeness,
    lpips: Distance | None,
    steps: int = PUBLISHED_STEPS,
    rate: float = 3e-4,
) -> tuple[Generator, int]:
    """Pivotal tuning with the numbers of its authors' program (Roich et al. 2021, arXiv:2106.05744): Adam on every weight.

    Its regularisation holds the picture of one code a step, that lies 30 from the pivot towards a random one (or at that one, if
    it is nearer), with a tenth of the weight. It ends early where LPIPS is at hand and says that the picture is near enough.

    Returns:
        The tuned generator, and how many of its pictures were differentiated.
    """
    tuned = copy.deepcopy(generator).requires_grad_(True)
    adam = torch.optim.Adam(tuned.parameters(), lr=rate)
    taken = 0
    for step in range(PUBLISHED_STEPS):
        picture = tuned.images(pivot)
        if lpips is not None and float(lpips(picture.detach(), likeness.target)) <= STOP:
            break
        way = generator.sample([500_000 + step], pivot.space).values - pivot.values
        near = pivot.moved(way * min(1.0, 30 / float(way.norm())))
        with torch.no_grad():
            before = generator.images(near)
        value = likeness(picture).sum() + 0.1 * replace(likeness, target=before)(tuned.images(near)).sum()
        adam.zero_grad()
        value.backward()
        adam.step()
        taken += 1
    return tuned.requires_grad_(False), 2 * taken


def ours(
    generator: Generator, likeness: Likeness, settings: InversionSettings, encoder: Encoder | None = None
) -> Iterator[tuple[int, Latents]]:
    """Our own inversion, from the best of the mean and random codes, or from what an encoder reads."""
    for step in inversion_steps(generator, likeness.target, settings, encoder=encoder):
        yield step.state.evaluations, step.code


def first_below(generator: Generator, likeness: Likeness, steps: Iterator[tuple[int, Latents]], value: float) -> int | None:
    """Return how many pictures a method makes until it is as near as a value."""
    for evaluations, code in steps:
        if value_of(generator, likeness, code) <= value:
            return evaluations
    return None


@torch.no_grad()
def value_of(generator: Generator, likeness: Likeness, code: Latents) -> float:
    """Return how far the picture of a code is from the target."""
    return float(likeness(generator.images(code)))


def row(
    name: str, likeness: Likeness, lpips: Distance | None, picture: Tensor, evaluations: int, seconds: float
) -> dict[str, float]:
    """Return the numbers of one result, and print them."""
    pixels, perceptual = (float(term) for term in likeness.terms(picture))
    network = attribute_network()
    with torch.no_grad():
        factors = float((network(picture.clamp(-1, 1)) - network(likeness.target)).abs().mean())
    numbers = {"PSNR": decibels(pixels), "distance": perceptual, "factors": factors, "pictures": evaluations, "seconds": seconds}
    if lpips is not None:
        numbers["LPIPS"] = float(lpips(picture.clamp(-1, 1), likeness.target))
    print(f"  {name:22}" + "".join(f"{key} {value:8.4g}  " for key, value in numbers.items()), flush=True)
    return numbers


def compare(
    generator: Generator, target: Tensor, distance: Distance, lpips: Distance | None, steps: int, *, brief: bool
) -> dict[str, dict[str, float]]:
    """Run all methods on one picture."""
    likeness = Likeness(target, torch.ones_like(target[:, :1]), distance, 1.0, 1.0)
    world = generator.world
    assert world is not None
    encoders = {"": None, ", encoder": load_encoder(world.encoders[generator.fingerprint], generator)}
    settings = {
        f"ours ({space}){which}": (InversionSettings(space=space), encoder)
        for which, encoder in encoders.items()
        for space in ("w", "w+")
    }
    methods = {
        "projector (w)": lambda: projector(generator, likeness, steps),
        "Adam (w+)": lambda: w_plus(generator, likeness, steps),
        **{
            name: lambda chosen=chosen, encoder=encoder: ours(generator, likeness, chosen, encoder)
            for name, (chosen, encoder) in settings.items()
        },
    }
    methods = {name: method for name, method in methods.items() if not brief or not name.startswith(("Adam", "ours (w)"))}
    results: dict[str, dict[str, float]] = {}
    code = Latents(torch.zeros(1), "w")
    final = math.inf
    way: list[tuple[int, float]] = []  # of the projector: pictures made, and how near it was
    for name, method in methods.items():
        began, evaluations = time.process_time(), 0
        for evaluations, code in method():
            if name.startswith("projector") and evaluations % EVERY == 0:
                way.append((evaluations, value_of(generator, likeness, code)))
        seconds = time.process_time() - began
        with torch.no_grad():
            picture = generator.images(code)
        results[name] = row(name, likeness, lpips, picture, evaluations, seconds)
        if name.startswith("projector"):
            final = value_of(generator, likeness, code)
        if name.startswith("ours"):
            chosen, encoder = settings[name]
            for words, naturalness in (("", chosen.naturalness), (", free", 0.0))[: 1 if brief else 2]:
                endless = replace(chosen, tolerance=0, enough=200, steps=120, naturalness=naturalness)
                reached = first_below(generator, likeness, ours(generator, likeness, endless, encoder), final)
                results[name][f"to the projector's loss{words}"] = math.nan if reached is None else reached
            mine = value_of(generator, likeness, code)
            results[name]["the projector to this loss"] = next((count for count, value in way if value <= mine), math.nan)
            styles = style_distance(generator, code)
            assert styles is not None
            kept = edit_consistency(generator, code, InversionSettings(space=code.space), progress=False)
            results[name] |= {"SNCD / usual": styles[0] / styles[1], "consistency": kept.psnr, "edited": kept.edited}
            more = list(results[name].items())[5:]
            print(" " * 24 + "".join(f"{key} {value:.4g}  " for key, value in more), flush=True)
    return results | tunings(generator, likeness, lpips, code)


def tunings(generator: Generator, likeness: Likeness, lpips: Distance | None, code: Latents) -> dict[str, dict[str, float]]:
    """Tune the weights in our way at our code, and in the published way at its own."""
    results: dict[str, dict[str, float]] = {}
    others = generator.sample(range(OTHERS))

    def told(name: str, network: Generator, at: Latents, evaluations: int, began: float) -> None:
        seconds = time.process_time() - began
        with torch.no_grad():
            left = decibels(float((network.images(others) - generator.images(others)).square().mean()))
            results[name] = row(name, likeness, lpips, network.images(at), evaluations, seconds) | {"others": left}
        print(" " * 24 + f"other pictures {left:.1f} dB from what they were", flush=True)

    for steps in (TuningSettings.steps, PUBLISHED_STEPS):
        began = time.process_time()
        tuned = tune(generator, code, likeness.target, TuningSettings(steps=steps), progress=False)
        told(f"ours, tuned {steps}", tuned.value.baked(generator), code, 2 * tuned.stats["steps"], began)
    began = time.process_time()
    *_, (_, pivot) = projector(generator, likeness, **PIVOT)
    told("published pivot", generator, pivot, PIVOT["steps"], began)
    began = time.process_time()
    network, evaluations = published_tuning(generator, pivot, likeness, lpips)
    told("published tuning", network, pivot, evaluations, began)
    return results


def main() -> None:
    """Print a table of means; seconds are those of the processor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3, help="targets of each of the two kinds")
    parser.add_argument("--steps", type=int, default=1000, help="of the published projector and of Adam")
    parser.add_argument("--distance", default="faces")
    parser.add_argument("--lpips", type=Path, metavar="FOLDER", help="reads LPIPS; holds torchvision's file of AlexNet")
    parser.add_argument("--kinds", nargs="+", choices=("faces", "analytic"), default=("faces", "analytic"))
    parser.add_argument("--brief", action="store_true", help="leave out Adam in w+, and our searches in w or without naturalness")
    options = parser.parse_args()
    lpips = None if options.lpips is None else lpips_distance("alex", next(options.lpips.glob("alexnet*.pth")))
    distance = distance_by_name(options.distance)
    faces = load_generator("faces")
    for source in map(load_generator, options.kinds):
        every = []
        for seed in range(100_000, 100_000 + options.pictures):
            print(f"{source.name}, seed {seed}")
            with torch.no_grad():
                target = source.images(source.sample([seed])).clamp(-1, 1)
            every.append(compare(faces, target, distance, lpips, options.steps, brief=options.brief))
        print(f"\nmeans over {len(every)} pictures of {source.name}")
        for name in every[0]:
            columns = {key: [one[name][key] for one in every if not math.isnan(one[name][key])] for key in every[0][name]}
            words = [f"{key} {sum(values) / max(len(values), 1):.4g} ({len(values)})" for key, values in columns.items()]
            print(f"  {name:22}" + "  ".join(words))  # in brackets the number of pictures, for not all reach the projector's loss
        print(flush=True)


if __name__ == "__main__":
    main()
