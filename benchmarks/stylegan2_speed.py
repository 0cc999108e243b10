"""Speed of StyleGAN2 at 256 pixels (config-f, random weights) against the published formulations, in one process.

They give every sample its own modulated kernel in one grouped convolution, and filter with the full 4 x 4 kernel on a picture
doubled by zero insertion. They differ in the filter, as the published programs do on a CPU (here in our own words): "single"
takes every channel of every sample as a picture of one channel (rosinality), "depthwise" is one grouped convolution (the
reference path of NVlabs). All compute the same pictures and the same gradients to w+ (checked before the clock starts), without
gradients to the weights. Runs alternate, so that a busy machine slows all; where other work comes and goes within a run,
``--threads 1 --clock cpu`` counts the processor's seconds instead of the wall's. ``--keep`` keeps freed memory for all alike, as
the command line does. ``--bf16`` adds our forward pass in bfloat16, and its error.

    python benchmarks/stylegan2_speed.py --batch 4 --rounds 7 --threads 2 --keep --out speed.json
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from semanifold.app.process import keep_memory
from semanifold.core.latents import Latents
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config

CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}


WAYS = ("single", "depthwise")


def textbook_filter(x: Tensor, up: int, before: int, after: int, way: str = "single") -> Tensor:
    """Insert zeros, pad, and filter every channel with the full kernel."""
    n, c, h, w = x.shape
    taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype, device=x.device)
    kernel = (torch.outer(taps, taps) / 16)[None, None]
    if up > 1:
        x = F.pad(x.reshape(n, c, h, 1, w, 1), (0, up - 1, 0, 0, 0, up - 1)).reshape(n, c, h * up, w * up)
    x = F.pad(x, (before, after, before, after))
    if way == "depthwise":
        return F.conv2d(x, kernel.repeat(c, 1, 1, 1), groups=c)
    x = F.conv2d(x.reshape(n * c, 1, *x.shape[2:]), kernel)
    return x.reshape(n, c, *x.shape[2:])


def textbook_conv(x: Tensor, weight: Tensor, styles: Tensor, way: str = "single", *, up: bool, demodulate: bool) -> Tensor:
    """One grouped convolution with a kernel per sample; the weight itself may be one per sample, ``[n, out, in, k, k]``."""
    n, c, h, w = x.shape
    o, i, k, _ = weight.shape[-4:]
    kernel = weight * styles[:, None, :, None, None]
    if demodulate:
        kernel = kernel * torch.rsqrt(kernel.square().sum((2, 3, 4)) + 1e-8)[:, :, None, None, None]
    x = x.reshape(1, n * c, h, w)
    if up:
        kernel = kernel.transpose(1, 2).reshape(n * i, o, k, k)
        x = F.conv_transpose2d(x, kernel, stride=2, groups=n)
        return textbook_filter(x.reshape(n, o, *x.shape[2:]), 1, 1, 1, way)
    x = F.conv2d(x, kernel.reshape(n * o, i, k, k), padding=k // 2, groups=n)
    return x.reshape(n, o, *x.shape[2:])


def textbook_pictures(state: dict[str, Tensor], ws: Tensor, blocks: int, way: str = "single") -> Tensor:
    """The synthesis network of a skip generator as its equations are written down."""

    def styles(name: str, w: Tensor) -> Tensor:
        weight = state[f"{name}.affine.weight"]
        return F.linear(w, weight / math.sqrt(weight.shape[1]), state[f"{name}.affine.bias"])

    def conv(i: int, x: Tensor) -> Tensor:
        name = f"convs.{i}"
        x = textbook_conv(x, state[f"{name}.weight"], styles(name, ws[:, i]), way, up=i % 2 == 1, demodulate=True)
        x = x + state[f"{name}.noise"] * state[f"{name}.noise_strength"]
        return F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2) * math.sqrt(2)

    def colour(i: int, x: Tensor) -> Tensor:
        weight = state[f"colours.{i}.weight"] / math.sqrt(x.shape[1])
        x = textbook_conv(x, weight, styles(f"colours.{i}", ws[:, 2 * i + 1]), way, up=False, demodulate=False)
        return x + state[f"colours.{i}.bias"][:, None, None]

    x = conv(0, state["const"].repeat(len(ws), 1, 1, 1))
    picture = colour(0, x)
    for i in range(1, blocks):
        x = conv(2 * i, conv(2 * i - 1, x))
        picture = textbook_filter(picture, 2, 2, 1, way) + colour(i, x)
    return picture


def operations(config: StyleGAN2Config) -> float:
    """Multiplications and additions of the convolutions of one picture, once forward."""
    pairs = list(zip(config.channels, config.channels[1:]))
    total = 9 * config.channels[0] ** 2 * 16
    for i, (a, b) in enumerate(pairs):
        total += 9 * a * b * (4 << i) ** 2 + 9 * b * b * (8 << i) ** 2
    return 2.0 * total


def seconds(work: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def convolution_peak(device: torch.device, batch: int, clock: Callable[[], float]) -> float:
    """Operations per second of the machine's best plain 3 x 3 convolution, channels last, without gradients."""
    best = 0.0
    for channels, size in ((512, 32), (512, 64), (256, 128)):
        x = torch.randn(batch, channels, size, size, device=device).to(memory_format=torch.channels_last)
        w = torch.randn(channels, channels, 3, 3, device=device).to(memory_format=torch.channels_last)
        work = 2.0 * 9 * channels**2 * size**2 * batch
        with torch.no_grad():
            best = max(best, *(work / seconds(lambda x=x, w=w: F.conv2d(x, w, padding=1), device, clock) for _ in range(5)))
    return best


def measure(size: int, batch: int, rounds: int, device: torch.device, now: Callable[[], float], *, bf16: bool) -> dict[str, Any]:
    config = StyleGAN2Config(size, 512, 512, tuple(CHANNELS[4 << i] for i in range(int(math.log2(size)) - 1)))
    generator = StyleGAN2(config).to(device)
    state = generator.state_dict()
    values = torch.randn(batch, config.num_ws, 512, generator=torch.Generator().manual_seed(0)).to(device)
    makers: dict[str, Callable[[Tensor], Tensor]] = {"ours": lambda v: generator.images(Latents(v, "w+"))}
    for way in WAYS:
        makers[way] = lambda v, way=way: textbook_pictures(state, v, len(config.channels), way)

    def forward(render: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            return render(values)

    def both(render: Callable[[Tensor], Tensor]) -> Tensor:
        v = values.clone().requires_grad_()
        return torch.autograd.grad(render(v).square().mean(), v)[0]

    def halved() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return forward(makers["ours"]).float()

    # warms up, and checks that all are the same function; gradients differ more, since in float32 a few of the
    # millions of features round to the other side of the rectifier's kink
    for run, tolerance in ((forward, 1e-5), (both, 1e-3)):
        expected = run(makers["ours"])
        for way in WAYS:
            assert (run(makers[way]) - expected).norm() <= tolerance * expected.norm(), "the formulations disagree"
    runs: dict[str, Callable[[], Tensor]] = {}
    for part, run in (("forward", forward), ("both", both)):
        runs |= {f"{part} {name}": lambda run=run, render=render: run(render) for name, render in makers.items()}
    result: dict[str, Any] = {"size": size, "batch": batch, "rounds": rounds, "threads": torch.get_num_threads()}
    if bf16:
        exact = forward(makers["ours"])
        result["bf16_error"] = float((halved() - exact).norm() / exact.norm())
        runs["forward bf16"] = halved
    clock: dict[str, list[float]] = {name: [] for name in runs}
    peaks = []
    for _ in range(rounds):
        peaks.append(convolution_peak(device, batch, now))
        for name, run in runs.items():
            clock[name].append(seconds(run, device, now))
    peak, work = max(peaks), operations(config) * batch
    result["peak_gflops"] = peak / 1e9
    result["seconds"] = {name: min(times) for name, times in clock.items()}
    result["ratio"] = {
        name: statistics.median(b / a for a, b in zip(clock[f"{name.split()[0]} ours"], times)) for name, times in clock.items()
    }
    result["share"] = {part: k * work / min(clock[f"{part} ours"]) / peak for part, k in (("forward", 1), ("both", 2))}
    return result


def markdown(result: dict[str, Any]) -> str:
    lines = [
        f"StyleGAN2 {result['size']} px, batch {result['batch']}, {result['threads']} threads; "
        f"convolution peak {result['peak_gflops']:.0f} Gflop/s",
        "",
        "| | ours, s | share of peak | single, s | ratio | depthwise, s | ratio |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    times, ratios = result["seconds"], result["ratio"]
    for part, name in (("forward", "forward"), ("both", "forward + backward to w+")):
        columns = [f"{times[f'{part} ours']:.2f}", f"{result['share'][part]:.0%}"]
        for way in WAYS:
            columns += [f"{times[f'{part} {way}']:.2f}", f"{ratios[f'{part} {way}']:.2f}"]
        lines.append(f"| {name} | {' | '.join(columns)} |")
    if "bf16_error" in result:
        lines += ["", f"Forward in bf16: {times['forward bf16']:.2f} s, relative error {result['bf16_error']:.1e}."]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--keep", action="store_true", help="keep freed memory")
    parser.add_argument("--bf16", action="store_true", help="measure our forward pass in bfloat16 as well")
    parser.add_argument("--out", help="JSON file to write")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    now = time.perf_counter if arguments.clock == "wall" else time.process_time
    if arguments.keep:
        keep_memory()
    device = torch.device(arguments.device)
    result = measure(arguments.size, arguments.batch, arguments.rounds, device, now, bf16=arguments.bf16)
    print(markdown(result))
    print(json.dumps(result))
    if arguments.out:
        with open(arguments.out, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
