"""Train the bundled pix2pixHD, which draws faces from label maps, and write its weights.

    python scripts/train_face_maps.py --minutes 30   # the same command goes on where it stopped

Label maps and pictures come from the renderer: colours and light are always the same, so that a map decides its picture, and the
network learns it by regression (mean absolute difference, more where the small parts are, and the difference between neighbours).
Seeded and resumable; one core makes some 30 pictures per second.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from semanifold.core.latents import Latents
from semanifold.generators.loading import save_generator
from semanifold.generators.pix2pixhd import SPACE, Pix2PixHD, Pix2PixHDConfig
from semanifold.images.media import contact_sheet, to_uint8
from semanifold.worlds.faces.analytic import LATENT_SIZE, factors_from_latents
from semanifold.worlds.faces.label_maps import LABELS, label_map, plain_colours
from semanifold.worlds.faces.renderer import render

CONFIG = Pix2PixHDConfig(
    inputs=len(LABELS), edges=False, features=16, downsamplings=2, blocks=4, height=64, width=64, names=LABELS
)
SMALL = [LABELS.index(name) for name in ("brows", "lids", "whites", "irises", "nose", "lips", "mouth", "teeth")]


@cyclopts.Parameter(name="*")
@dataclass(frozen=True)
class Training:
    """Train, then export the averaged weights.

    Attributes:
        minutes: wall-clock time of this run.
        pictures: length of the whole training; the learning rate falls to zero along it.
        batch: pictures per step.
        rate: learning rate of Adam at the start.
        seed: of weights and faces.
        folder: checkpoint and sheet of samples.
        export: file to write.
    """

    minutes: float = 30.0
    pictures: int = 50_000
    batch: int = 16
    rate: float = 2e-3
    seed: int = 0
    folder: Path = Path("training/facemaps64")
    export: Path = Path("src/semanifold/worlds/faces/weights/facemaps64.safetensors")


def pairs(step: int, training: Training) -> tuple[Tensor, Tensor]:
    """Return the label maps ``[n, labels, 64, 64]`` and pictures ``[n, 3, 64, 64]`` of one step."""
    draw = torch.Generator().manual_seed(1_000_003 * training.seed + step)
    factors = factors_from_latents(torch.randn(training.batch, LATENT_SIZE, generator=draw))
    labels = F.one_hot(label_map(factors, CONFIG.height), len(LABELS)).permute(0, 3, 1, 2).float()
    return labels, render(plain_colours(factors), CONFIG.height)


def loss_of(pictures: Tensor, wanted: Tensor, labels: Tensor) -> Tensor:
    """Return the mean absolute difference, small parts four times, and that of the differences between neighbours."""
    weight = 1 + 3 * labels[:, SMALL].sum(1, keepdim=True)
    near = (weight * (pictures - wanted).abs()).mean()
    return near + sum(((pictures - wanted).diff(dim=axis)).abs().mean() for axis in (2, 3))


def train(training: Training = Training()) -> None:  # frozen
    """Train for a while from the last checkpoint, and write checkpoint, sheet and weights."""
    training.folder.mkdir(parents=True, exist_ok=True)
    place = training.folder / "checkpoint.pt"
    model = Pix2PixHD(CONFIG, name="facemaps", licence="Apache-2.0", source="trained by semanifold", seed=training.seed)
    average, steps = copy.deepcopy(model), training.pictures // training.batch
    model.requires_grad_(True)
    optimiser = torch.optim.Adam(model.parameters(), lr=training.rate, betas=(0.9, 0.99))
    step = 0
    if place.exists():
        held = torch.load(place, weights_only=True)
        model.load_state_dict(held["model"])
        average.load_state_dict(held["average"])
        optimiser.load_state_dict(held["optimiser"])
        step = held["step"]
    end, said = time.monotonic() + 60 * training.minutes, time.monotonic()
    while step < steps and time.monotonic() < end:
        for group in optimiser.param_groups:
            group["lr"] = training.rate * min(1, (step + 1) / 50) * (1 - step / steps)
        labels, wanted = pairs(step, training)
        loss = loss_of(model.images(Latents(labels, SPACE)), wanted, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        keep = min(0.99, step / (step + 10))
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), model.parameters()):
                mine.lerp_(theirs, 1 - keep)
        step += 1
        if time.monotonic() - said > 15:
            said = time.monotonic()
            print(f"step {step} of {steps}, loss {loss.item():.4f}", flush=True)
    state = {"model": model.state_dict(), "average": average.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    torch.save(state, place)
    with torch.no_grad():
        labels, wanted = pairs(steps + 1, training)
        made = average.images(Latents(labels, SPACE))
    error = (made.clamp(-1, 1) - wanted).square().mean()
    print(f"{step * training.batch} pictures; {10 * torch.log10(4 / error).item():.1f} dB on faces that it has not seen")
    frames = [*to_uint8(wanted[:8]), *to_uint8(made[:8])]
    sheet = contact_sheet(frames, columns=8)
    sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(training.folder / "sheet.png")
    save_generator(average, training.export, half=True, overwrite=True)


if __name__ == "__main__":
    cyclopts.run(train)
