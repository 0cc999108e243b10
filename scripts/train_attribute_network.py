"""Train the network that reads the factors back from rendered faces, and write its weights.

    python scripts/train_attribute_network.py --minutes 20

Seeded; the same command goes on from the last checkpoint. Runs on the CPU (bfloat16 where the processor has it) or on a GPU.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from semanifold.worlds.faces.analytic import factors_from_latents
from semanifold.worlds.faces.attribute_network import WEIGHTS, AttributeNetwork
from semanifold.worlds.faces.factors import FACTORS
from semanifold.worlds.faces.renderer import render


@cyclopts.Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to train, for how long.

    Attributes:
        minutes: wall-clock time of this run.
        pictures: end of the schedule, in pictures; the learning rate falls to zero there.
        batch: pictures per step.
        rate: peak learning rate of Adam.
        seed: of weights, faces and disturbances.
        device: where to train.
        folder: checkpoints.
        export: write the weights of the package at the end.
    """

    minutes: float = 20.0
    pictures: int = 250_000
    batch: int = 64
    rate: float = 1.5e-3
    seed: int = 0
    device: str = "cpu"
    folder: Path = Path("training/attributes64")
    export: bool = True


def faces(seed: int, n: int, device: str) -> tuple[Tensor, Tensor]:
    """Return ``n`` fresh faces of a seed: factors ``[n, F]`` and pictures ``[n, 3, 64, 64]``.

    Half of the faces have the correlated factors of the latent map, half have independent ones.
    """
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n // 2, 32, generator=generator)
    factors = torch.cat([factors_from_latents(z), torch.rand(n - n // 2, len(FACTORS), generator=generator)])
    factors = factors.to(device)
    with torch.no_grad():
        return factors, render(factors, 64)


def disturb(images: Tensor, seed: int) -> Tensor:
    """Blur a third of the pictures slightly and add a little noise to all, so that generated pictures are read as well."""
    generator = torch.Generator().manual_seed(seed)
    n = len(images)
    blurred = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    share = (torch.rand(n, 1, 1, 1, generator=generator) - 0.67).clamp(min=0).to(images) * 2
    images = images + share * (blurred - images)
    sigma = 0.04 * torch.rand(n, 1, 1, 1, generator=generator).to(images)
    return images + sigma * torch.randn(images.shape, generator=generator).to(images)


def coefficients(network: AttributeNetwork, n: int, device: str) -> Tensor:
    """Return R² of every factor on ``n`` held-out renders of the latent map."""
    z = torch.randn(n, 32, generator=torch.Generator().manual_seed(987_654_321))
    truth = factors_from_latents(z)
    with torch.no_grad():
        read = torch.cat([network(render(chunk.to(device), 64)).cpu() for chunk in truth.split(100)])
    return 1 - (read - truth).square().mean(0) / truth.var(0, unbiased=False)


def main(*, settings: Settings = Settings()) -> None:
    """Train until the time or the schedule is over."""
    torch.manual_seed(settings.seed)
    network = AttributeNetwork().to(settings.device).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, betas=(0.9, 0.98), weight_decay=1e-3)
    average = {k: v.clone() for k, v in network.state_dict().items()}
    settings.folder.mkdir(parents=True, exist_ok=True)
    checkpoint, step, start = settings.folder / "state.pt", 0, time.monotonic()
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=settings.device)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average, step = state["average"], state["step"]
    steps, first = settings.pictures // settings.batch, step

    def save() -> None:
        state = {"network": network.state_dict(), "optimiser": optimiser.state_dict(), "average": average, "step": step}
        torch.save(state, checkpoint.with_suffix(".part"))
        os.replace(checkpoint.with_suffix(".part"), checkpoint)

    while step < steps and time.monotonic() - start < 60 * settings.minutes:
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * min(1.0, (step + 1) / 200, 3 * (steps - step) / steps)
        factors, images = faces(settings.seed * 1_000_003 + step, settings.batch, settings.device)
        images = disturb(images, step).to(memory_format=torch.channels_last)
        with torch.autocast(torch.device(settings.device).type, torch.bfloat16):
            read = network(images)
        loss = F.mse_loss(read.float(), factors)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        step += 1
        for key, value in network.state_dict().items():
            average[key].lerp_(value, 0.005)
        if step % 250 == 0:
            save()
            rate = (step - first) * settings.batch / (time.monotonic() - start)
            print(f"{step * settings.batch} pictures, loss {loss.item():.5f}, {rate:.0f} pictures/s", flush=True)
    save()
    network.load_state_dict(average)
    scores = coefficients(network.eval(), 2000, settings.device)
    for factor, score in zip(FACTORS, scores.tolist()):
        print(f"{factor.name:20s} R² {score:.3f}")
    print(f"{int((scores >= 0.95).sum())} of {len(FACTORS)} factors with R² >= 0.95")
    if settings.export:
        WEIGHTS.parent.mkdir(exist_ok=True)
        save_file({k: v.cpu().half().contiguous() for k, v in network.state_dict().items()}, WEIGHTS)


if __name__ == "__main__":
    cyclopts.run(main)
