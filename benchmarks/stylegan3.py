"""Speed of StyleGAN3's filtered rectifier, and of a whole network, against the textbook, in one process.

The textbook puts zeros between the samples, filters with the whole kernels, one axis after the other where they are separable,
rectifies, filters again, and keeps every second sample. Both compute the same (checked before the clock starts). Runs
alternate, so that a busy machine slows both; ``--clock cpu`` counts the processor's seconds instead of the wall's.

    python benchmarks/stylegan3.py --size 256 --rounds 5 --threads 1 --clock cpu --out speed.json
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.generators.stylegan3 import layers
from semanifold.generators.stylegan3.config import LayerPlan, StyleGAN3Config, plan
from semanifold.generators.stylegan3.filters import filtered_rectifier
from semanifold.generators.stylegan3.network import StyleGAN3


def textbook(x: Tensor, rise: Tensor, fall: Tensor, up: int, down: int, before: int, size: int, clamp: float | None) -> Tensor:
    """The filtered rectifier as section 3.2 and appendix D of arXiv:2106.12423 describe it."""
    n, c, h, w = x.shape
    dense = x.new_zeros(n, c, h, up, w, up)
    dense[:, :, :, 0, :, 0] = x
    after = (size - 1) * down + len(rise) + fall.shape[-1] - 1 - before
    x = F.pad(dense.reshape(n, c, h * up, w * up), (before, after - w * up, before, after - h * up))
    x = filtered(x, rise.to(x) * up)
    x = F.leaky_relu(x, 0.2) * math.sqrt(2)
    x = x if clamp is None else x.clamp(-clamp, clamp)
    return filtered(x, fall.to(x))[..., ::down, ::down]


def filtered(x: Tensor, taps: Tensor) -> Tensor:
    """Convolve every channel with ``[taps]`` along both axes, or with ``[taps, taps]``."""
    c = x.shape[1]
    if taps.ndim == 2:
        return F.conv2d(x, taps.flip(0, 1).expand(c, 1, *taps.shape), groups=c)
    x = F.conv2d(x, taps.flip(0)[None].expand(c, 1, 1, -1), groups=c)
    return F.conv2d(x, taps.flip(0)[:, None].expand(c, 1, -1, 1), groups=c)


def alternately(calls: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Return the median seconds of calls that take turns, after one of each that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            began = clock()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].append(clock() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def gradient(function: Callable[..., Tensor], x: Tensor, how: Sequence[Any]) -> None:
    """Differentiate a sum of the result by its input."""
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        function(leaf, *how).sum().backward()


def of_layer(layer: LayerPlan, side: int, config: StyleGAN3Config, batch: int, device: str, timing: tuple) -> dict:
    """Return the seconds of the rectifier of one layer, with and without the gradient."""
    draw = torch.Generator().manual_seed(0)
    plain = torch.randn(batch, layer.outputs, side, side, generator=draw).to(device)
    x = plain.to(memory_format=torch.channels_last)  # as the convolution before leaves it
    filters = layer.filters(config.taps)
    how = (filters["rise"].to(device), filters["fall"].to(device), layer.up, layer.down, layer.before, layer.size, config.clamp)
    expected = textbook(plain, *how)
    error = float((filtered_rectifier(x, *how) - expected).abs().max() / expected.abs().max())
    assert error < 1e-5, error
    calls = {
        "textbook": partial(textbook, plain, *how),
        "ours": partial(filtered_rectifier, x, *how),
        "textbook with gradient": partial(gradient, textbook, plain, how),
        "ours with gradient": partial(gradient, filtered_rectifier, x, how),
    }
    seconds = alternately(calls, *timing)
    row = {"channels": layer.outputs, "from": side, "to": layer.size, "up": layer.up, "radial": layer.radial, "error": error}
    ratios = {"ratio": seconds["textbook"] / seconds["ours"]}
    ratios["ratio with gradient"] = seconds["textbook with gradient"] / seconds["ours with gradient"]
    return row | seconds | ratios


def of_layers(config: StyleGAN3Config, batch: int, device: str, timing: tuple) -> list[dict]:
    """Return the seconds of the rectifiers of the layers that differ."""
    rows, seen, taken = [], set(), plan(config)[1]
    for layer in plan(config)[0]:
        side, taken = taken + layer.kernel - 1, layer.size
        kind = (side, layer.up, layer.radial, layer.size)
        if layer.colour or kind in seen:
            continue
        seen.add(kind)
        rows.append(of_layer(layer, side, config, batch, device, timing))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def of_pictures(config: StyleGAN3Config, batch: int, device: str, timing: tuple) -> dict:
    """Return the seconds of whole pictures, with our rectifier and with the textbook's."""
    generator = StyleGAN3(config).to(device)
    codes = generator.sample(range(batch), "w+")

    def plainly() -> Tensor:
        with patch.object(layers, "filtered_rectifier", lambda x, *how: textbook(x.contiguous(), *how)):
            return generator.images(codes)

    expected = plainly()
    error = float((generator.images(codes) - expected).abs().max() / expected.abs().max())
    assert error < 1e-4, error
    seconds = alternately({"textbook": plainly, "ours": lambda: generator.images(codes)}, *timing)
    row = {"pictures": batch, "error": error} | seconds | {"ratio": seconds["textbook"] / seconds["ours"]}
    print(json.dumps(row), flush=True)
    return row


def main() -> None:
    """Measure StyleGAN3-T and -R of the paper's channels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", choices=("T", "R"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    clock = time.process_time if arguments.clock == "cpu" else time.perf_counter
    how = (arguments.batch, arguments.device, (arguments.rounds, clock))
    measured: dict[str, dict] = {}
    with torch.no_grad():
        for name, kernel, base, most in (("T", 3, 32768, 512), ("R", 1, 65536, 1024)):
            if arguments.only not in (None, name):
                continue
            share = [min(i / 12, 1.0) for i in range(14)]
            cutoffs = [2 * (arguments.size / 4) ** e for e in share]
            channels = tuple(round(min(base / 2 / cutoff, most)) for cutoff in cutoffs)
            config = StyleGAN3Config(arguments.size, 512, 512, channels, kernel=kernel, radial=kernel == 1)
            print(f"StyleGAN3-{name}, {arguments.size} pixels", flush=True)
            measured[name] = {"pictures": of_pictures(config, *how), "layers": of_layers(config, *how)}
    if arguments.out:
        arguments.out.write_text(json.dumps(measured, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
