"""How fast one iteration of the training is, and how much memory it takes, against the published formulation of the same step.

    python benchmarks/path_training_speed.py             both settings: large (K = 200, N = 512, d = 512) and the bundled faces
    python benchmarks/path_training_speed.py --only faces --steps 5

The published formulation (WarpedGANSpace, lib/trainer.py and lib/support_sets.py, in our own words): the sets of a batch
are chosen by the product of a one-hot matrix with the table of all sets, the one-hot rows and the magnitudes are made in a loop
over the samples, the generator's weights take gradients, the unshifted picture keeps its graph, and Adam is PyTorch's plain one.
Generator, reconstructor and sizes are the same on both sides. "published" evaluates the generator as the published code does,
with a kernel per sample in grouped convolutions (benchmarks/stylegan2_speed.py); "published, our generator" takes our operators,
so that only the step itself differs; "ours, 4 pairs a code" is our step at ``pairs_per_code=4``. The share of the peak is that
of the machine's best plain convolution, counted by the direct convolutions of the generator in all the pictures and gradients
that a formulation makes. Every measurement is a process of its own; memory is the peak of its resident set, and what it has
beyond a process that has only imported everything. Seconds are processor time, for busy machines.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from stylegan2_speed import convolution_peak, operations, textbook_pictures
from torch import Tensor, nn

from semanifold.core.latents import Latents
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.paths.warped import warped_paths
from semanifold.training.draws import draw_step
from semanifold.training.presets import PRESETS, RESNET
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import Prior, ReconstructorSettings, TrainingSettings
from semanifold.training.state import adam
from semanifold.training.step import TrainingStep, run_step

Step = Callable[[], None]
SHARED = 4
"""Pairs that share a code in the last formulation."""
WAYS = ("published", "published, our generator", "ours", "ours, 4 pairs a code")


def sizes(setting: str, given: argparse.Namespace) -> tuple[Generator, int, int, ReconstructorSettings, int]:
    """Return generator, K, N, reconstructor and batch of a setting."""
    if setting == "faces":
        preset = PRESETS["faces"]
        return load_generator("faces"), preset.k, preset.dipoles, preset.network, preset.training.batch
    widths = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    channels = tuple(width for size, width in widths.items() if size <= given.size)
    return StyleGAN2(StyleGAN2Config(given.size, 512, 512, channels)), 200, 512, RESNET, given.batch


def sharing(how: str) -> int:
    """Return how many pairs share a code."""
    return SHARED if how.endswith("a code") else 1


def work(how: str, setting: str, given: argparse.Namespace) -> float:
    """Return the multiplications and additions of the generator's convolutions in one step."""
    generator, _, _, _, batch = sizes(setting, given)
    assert isinstance(generator, StyleGAN2)
    first = batch // sharing(how)
    # pictures before; pictures after; and backward, by way of the pictures after alone or (published) of both and of all weights
    passes = first + batch + (4 * batch if how.startswith("published") else first)
    return passes * operations(generator.config)


def ours(setting: str, given: argparse.Namespace, each: int) -> Step:
    generator, k, dipoles, network, batch = sizes(setting, given)
    paths = warped_paths(generator, "w", k, dipoles)
    reconstructor = make_reconstructor(network.reconstructor, k, 3, size=network.reconstructor_size)
    step = TrainingStep(generator, paths, reconstructor, TrainingSettings(pairs_per_code=each))
    optimisers = [adam(module, 1e-4) for module in (paths, reconstructor)]
    draw = torch.Generator().manual_seed(0)

    def run() -> None:
        loss, row = run_step(step, draw_step(generator, Prior("w"), k, (0.1, 0.2), batch, draw, each))
        loss.backward()
        for optimiser in optimisers:
            assert optimiser is not None
            optimiser.step()
            optimiser.zero_grad()
        row.tolist()

    return run


def published(setting: str, given: argparse.Namespace, *, textbook: bool) -> Step:
    generator, k, dipoles, network, batch = sizes(setting, given)
    generator.requires_grad_(True)
    assert isinstance(generator, StyleGAN2)
    weights = dict(generator.named_parameters()) | dict(generator.named_buffers())
    blocks = len(generator.config.channels)

    def pictures(codes: Tensor) -> Tensor:
        if not textbook:
            return generator.images(Latents(codes, "w"))
        return textbook_pictures(weights, codes[:, None].expand(-1, generator.config.num_ws, -1), blocks)

    table = warped_paths(generator, "w", k, dipoles)
    size = table.support.shape[-1]
    support = nn.Parameter(table.support.detach().reshape(k, -1).clone())
    alphas, log_gamma = table.alphas.detach().clone(), nn.Parameter(table.log_gamma.detach().reshape(-1, 1).clone())
    del table
    reconstructor = make_reconstructor(network.reconstructor, k, 3, size=network.reconstructor_size)
    optimisers = [torch.optim.Adam([support, log_gamma], 1e-4), torch.optim.Adam(reconstructor.parameters(), 1e-4)]
    draw = torch.Generator().manual_seed(0)

    def direction(codes: Tensor, chosen: Tensor) -> Tensor:
        vectors = (chosen @ support).reshape(len(codes), 2 * dipoles, size)
        signs, gamma = chosen @ alphas, (chosen @ log_gamma).exp()
        apart = codes[:, None] - vectors
        gradient = -2 * ((signs * gamma * (-gamma * apart.norm(dim=2) ** 2).exp())[..., None] * apart).sum(1)
        return gradient / gradient.norm(dim=1, keepdim=True)

    def run() -> None:
        index = torch.randint(k, (batch,), generator=draw)
        signs = torch.randint(2, (batch,), generator=draw)
        chosen, magnitude = torch.zeros(batch, k), torch.zeros(batch)
        for i in range(batch):
            chosen[i, index[i]] = 1
            magnitude[i] = (0.1 + 0.1 * torch.rand(1, generator=draw).item()) * (1 if signs[i] else -1)
        codes = generator.convert(Latents(torch.randn(batch, *generator.shapes["z"], generator=draw), "z"), "w")
        first = pictures(codes.values)
        shift = magnitude[:, None] * direction(codes.values, chosen)
        second = pictures(codes.values + shift)
        scores, measured = reconstructor(first, second)
        loss = F.cross_entropy(scores, index) + 0.25 * (measured - magnitude).abs().mean()
        for part in (generator, *optimisers):
            part.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        loss.item()

    return run


def measure(how: str, setting: str, given: argparse.Namespace) -> dict[str, float]:
    """Return processor seconds per step and peak memory of one formulation in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if how.startswith("ours"):
        step = ours(setting, given, sharing(how))
    else:
        step = published(setting, given, textbook=how == "published")
    step()
    began = time.process_time()
    for _ in range(given.steps):
        step()
    seconds = (time.process_time() - began) / given.steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    most = max(convolution_peak(torch.device("cpu"), 4, time.process_time) for _ in range(2))
    return {"seconds": seconds, "peak": peak, "beyond": peak - before, "share": work(how, setting, given) / seconds / most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["large", "faces"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--size", type=int, default=128, help="pictures of the large setting's StyleGAN2 (config F widths)")
    parser.add_argument("--batch", type=int, default=4, help="batch of the large setting")
    parser.add_argument("--how", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.how:
        import torchvision  # noqa: F401, PLC0415  (its memory is no part of the comparison)

        print(json.dumps(measure(given.how, given.only, given)))
        return
    print("| setting | step | processor s | steps a second | share of the peak | peak MB | beyond imports MB |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for setting in [given.only] if given.only else ["large", "faces"]:
        found = {}
        for how in WAYS:
            words = ["--how", how, "--only", setting, "--steps", str(given.steps), "--size", str(given.size)]
            done = subprocess.run(
                [sys.executable, __file__, *words, "--batch", str(given.batch)], check=True, capture_output=True, text=True
            )
            found[how] = json.loads(done.stdout)
            row = found[how]
            numbers = f"{row['seconds']:.2f} | {1 / row['seconds']:.2f} | {row['share']:.0%}"
            print(f"| {setting} | {how} | {numbers} | {row['peak']:.0f} | {row['beyond']:.0f} |", flush=True)
        for how in WAYS[:-1]:
            times, peaks, beyond = (found[how][key] / found["ours"][key] for key in ("seconds", "peak", "beyond"))
            print(f"| {setting} | {how} / ours | {times:.2f} | | | {peaks:.2f} | {beyond:.2f} |", flush=True)


if __name__ == "__main__":
    main()
