"""Train the bundled StyleGAN2 of faces on rendered pictures, and write its weights.

    python scripts/train_faces.py fit --minutes 120      # regression to the renderer; the same command goes on where it stopped
    python scripts/train_faces.py cool --pictures 60000  # learning rate to zero from the last checkpoint, then export
    python scripts/train_faces.py refine --minutes 60    # adversarial refinement of the exported weights, then export again

Route without a GPU: the synthesis network learns to draw ``render(factors)`` from ``w = E(factors)`` with a small embedding E,
while the mapping network learns ``E(factors(z))`` from z on its own, cheap batches. Both end in one ordinary StyleGAN2.
The refinement then trains the whole network from z, mapping included: against a discriminator, and still towards the face that
z stands for. Seeded and resumable. bfloat16 convolutions where the processor has them; weights and optimiser in float32.
"""

from __future__ import annotations

import copy
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path

import cyclopts
import torch
from PIL import Image
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from semanifold.core.errors import SemanifoldError
from semanifold.core.latents import Latents
from semanifold.generators.loading import load_file, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.worlds.faces.analytic import factors_from_latents
from semanifold.worlds.faces.attribute_network import AttributeNetwork, attribute_network
from semanifold.worlds.faces.factors import FACTORS
from semanifold.worlds.faces.renderer import render

CONFIG = StyleGAN2Config(
    size=64,
    z_dim=32,
    w_dim=128,
    channels=(256, 256, 128, 80, 48),
    mapping_layers=6,
    mapping_width=256,
    mapping_lr=1.0,
    architecture="skip",
)


@cyclopts.Parameter(name="*")
@dataclass(frozen=True)
class Fit:
    """Fit the networks to rendered faces for a while.

    Attributes:
        minutes: wall-clock time of this run.
        batch: pictures per step.
        rate: learning rate of Adam.
        seed: of weights and faces.
        device: where to train.
        folder: checkpoints and sheets of samples.
        low_precision: run the synthesis network in bfloat16.
    """

    minutes: float = 120.0
    batch: int = 24
    rate: float = 2e-3
    seed: int = 0
    device: str = "cpu"
    folder: Path = Path("training/faces64")
    low_precision: bool = True


@cyclopts.Parameter(name="*")
@dataclass(frozen=True)
class Cool(Fit):
    """Bring the learning rate to zero from the last checkpoint (which stays as it is) and export the averaged weights.

    Attributes:
        pictures: length of the cool-down.
        mapping_steps: steps that the mapping network then takes on its own, 1,024 latents each.
        export: file to write.
    """

    pictures: int = 60_000
    mapping_steps: int = 15_000
    export: Path = Path("src/semanifold/worlds/faces/weights/faces64.safetensors")


@cyclopts.Parameter(name="*")
@dataclass(frozen=True)
class Refine(Fit):
    """Refine the exported weights adversarially, then export the averaged ones; the same command goes on where it stopped.

    Attributes:
        adversarial: weight of the discriminator's word against the distance to the face that z stands for.
        penalty: weight of the R1 penalty (Mescheder et al. 2018, arXiv:1801.04406), taken every 16 steps.
        start: weights to begin with.
        export: file to write.
    """

    minutes: float = 60.0
    rate: float = 2e-4
    adversarial: float = 0.02
    penalty: float = 0.003
    folder: Path = Path("training/faces64-refined")
    start: Path = Path("src/semanifold/worlds/faces/weights/faces64.safetensors")
    export: Path = Path("training/faces64-refined/faces64.safetensors")


WAIT, RAMP = 100, 200
"""Steps of the refinement in which the generator does not change, and in which its steps then grow to their full length."""


class Discriminator(nn.Module):
    """Pictures ``[n, 3, 64, 64]`` to one number each, high for real ones: residual blocks with smooth rectifiers.

    The first layer sees the finest details magnified beside the picture, since what a fitted generator lacks is sharpness. The
    last layer also sees how much the batch varies (Karras et al. 2018, arXiv:1710.10196, section 3).
    """

    def __init__(self) -> None:
        super().__init__()
        widths = CONFIG.channels[::-1]
        self.stem = nn.Conv2d(6, widths[0], 1)
        pairs = list(itertools.pairwise(widths))
        self.first = nn.ModuleList(nn.Conv2d(a, a, 3, padding=1) for a, _ in pairs)
        self.second = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.skip = nn.ModuleList(nn.Conv2d(a, b, 1, bias=False) for a, b in pairs)
        self.last = nn.Conv2d(widths[-1] + 1, widths[-1], 3, padding=1)
        self.out = nn.Sequential(nn.Flatten(), nn.Linear(16 * widths[-1], widths[-1]), nn.SiLU(), nn.Linear(widths[-1], 1))
        for layer in self.modules():
            # torch's own start shrinks the signal layer by layer, until no picture differs from another
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, images: Tensor) -> Tensor:
        """``[n, 3, 64, 64]`` to ``[n]``."""
        smooth = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
        x = F.silu(self.stem(torch.cat([images, 4 * (images - smooth)], dim=1)))
        for first, second, skip in zip(self.first, self.second, self.skip):
            y = F.silu(second(F.avg_pool2d(F.silu(first(x)), 2)))
            x = (y + skip(F.avg_pool2d(x, 2))) * 0.5**0.5
        spread = (x.float().var(0, unbiased=False) + 1e-8).sqrt().mean().to(x.dtype)
        x = F.silu(self.last(torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1)))
        return self.out(x)[:, 0]


class Embedding(nn.Module):
    """Factors ``[n, F]`` in [0, 1] to ``w``: the teacher of the mapping network; dropped after training."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(len(FACTORS), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.outer = nn.Linear(width + len(FACTORS), CONFIG.w_dim)

    def forward(self, factors: Tensor) -> Tensor:
        """``[n, F]`` to ``[n, w]``."""
        x = (factors - 0.5) * 12**0.5
        return self.outer(torch.cat([self.inner(x), x], dim=1))


def latents_of(seed: int, n: int, device: str) -> tuple[Tensor, Tensor]:
    """Return ``n`` latents ``[n, 32]`` of a seed and their factors ``[n, F]``."""
    z = torch.randn(n, CONFIG.z_dim, generator=torch.Generator().manual_seed(seed))
    return z.to(device), factors_from_latents(z).to(device)


def pixel_weights(device: str) -> Tensor:
    """Return ``[1, 1, 64, 64]`` weights of mean 1, seven times as high where eyes, brows, nose and mouth move as in a corner.

    The weight is measured: the spread of each pixel when only the factors of these regions vary.
    """
    inner = torch.tensor([factor.region in ("eyes", "brows", "nose", "mouth") for factor in FACTORS], device=device)
    spread = torch.zeros(CONFIG.size, CONFIG.size, device=device)
    with torch.no_grad():
        for seed, base in enumerate(latents_of(77, 16, device)[1]):
            varied = torch.where(inner, latents_of(1000 + seed, 32, device)[1], base)
            spread += render(varied, CONFIG.size).std(0).mean(0)
    weights = 1 + 6 * spread / spread.max()
    return (weights / weights.mean())[None, None]


def picture_loss(images: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted L1 of the pictures plus L1 of the two finest bands of their Laplacian pyramids (edges count twice)."""
    error = images - target
    loss = (weights * error.abs()).mean()
    for scale in (2.0, 1.0):
        low = F.avg_pool2d(error, 2)
        band = error - F.interpolate(low, scale_factor=2.0, mode="bilinear", align_corners=False)
        loss = loss + scale * (weights * band.abs()).mean()
        error, weights = low, F.avg_pool2d(weights, 2)
    return loss


def feature_loss(network: AttributeNetwork, images: Tensor, target: Tensor) -> Tensor:
    """Relative L1 of the attribute network's features, and what it reads from them: small things count like large."""
    with torch.autocast(images.device.type, torch.bfloat16):
        with torch.no_grad():
            wanted = network.features(target)
        found = network.features(images)
        read, truth = (network.head(F.silu(network.hidden(maps[-1].flatten(1)))) for maps in (found, wanted))
    terms = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(found[1:], wanted[1:])]
    return torch.stack(terms).mean() + 10 * F.mse_loss(read.float(), truth.float())


def draw(model: StyleGAN2, w: Tensor, low_precision: bool) -> Tensor:
    """Return the pictures of one ``w`` a face, with random noise inputs."""
    ws = w[:, None].expand(-1, model.shapes["w+"][0], -1)
    if not low_precision:
        return model.images(Latents(ws, "w+"), noise=torch.default_generator)
    params = {k: v.bfloat16() for k, v in model.named_parameters()} | {k: v.bfloat16() for k, v in model.named_buffers()}
    return functional_call(model, params, (Latents(ws.bfloat16(), "w+"),), {"noise": torch.default_generator}).float()


Parts = dict[str, nn.Module | torch.optim.Optimizer]


def read_checkpoint(parts: Parts, path: Path, device: str) -> int:
    """Fill the parts of a training from its checkpoint and return its step; 0 if there is none."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True, map_location=device)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]


def write_checkpoint(parts: Parts, step: int, path: Path) -> None:
    """Write the parts of a training under a temporary name, then rename."""
    torch.save({name: part.state_dict() for name, part in parts.items()} | {"step": step}, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


class Trainer:
    """Networks, optimisers and averages of one training, with their checkpoint."""

    def __init__(self, settings: Fit) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.model = StyleGAN2(CONFIG, name="faces").to(settings.device).requires_grad_(True).train()
        self.embedding = Embedding().to(settings.device)
        mapping = [p for k, p in self.model.named_parameters() if k.startswith("mapping")]
        drawing = [p for k, p in self.model.named_parameters() if not k.startswith("mapping")]
        self.drawing = torch.optim.Adam(
            [{"params": drawing}, {"params": self.embedding.parameters(), "lr": settings.rate / 2}], settings.rate, (0.9, 0.99)
        )
        self.mapping = torch.optim.Adam(mapping, settings.rate / 2, (0.9, 0.99))
        self.average = copy.deepcopy(nn.ModuleDict({"model": self.model, "embedding": self.embedding}))
        self.step = 0
        self.weights = pixel_weights(settings.device)
        self.critic = attribute_network(settings.device)
        settings.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = settings.folder / "state.pt"
        self.parts: Parts = {
            "model": self.model,
            "embedding": self.embedding,
            "average": self.average,
            "drawing": self.drawing,
            "mapping": self.mapping,
        }
        self.step = read_checkpoint(self.parts, self.checkpoint, settings.device)

    def save(self) -> None:
        """Write the checkpoint."""
        write_checkpoint(self.parts, self.step, self.checkpoint)

    def update(self, rate: float, keep: float = 0.999) -> tuple[float, float]:
        """Take one step of both networks, keep this share of the running average, and return the losses."""
        torch.manual_seed(1_000_003 * self.settings.seed + self.step)  # of the noise maps
        for optimiser in (self.drawing, self.mapping):
            for group in optimiser.param_groups:
                group["lr"] = rate if optimiser is self.drawing and group is optimiser.param_groups[0] else rate / 2
        seed = self.settings.seed * 1_000_003 + self.step
        _, factors = latents_of(seed, self.settings.batch, self.settings.device)
        with torch.no_grad():
            target = render(factors, CONFIG.size)
        images = draw(self.model, self.embedding(factors), self.settings.low_precision)
        loss = picture_loss(images, target, self.weights) + 0.2 * feature_loss(self.critic, images, target)
        self.drawing.zero_grad()
        loss.backward()
        self.drawing.step()

        mapping_loss = self.update_mapping(self.embedding, seed, 512)

        self.step += 1
        keep = min(keep, 1 - 1 / (1 + self.step / 10))
        with torch.no_grad():
            live = nn.ModuleDict({"model": self.model, "embedding": self.embedding}).state_dict()
            for key, value in self.average.state_dict().items():
                value.lerp_(live[key], 1 - keep)
        return loss.item(), mapping_loss

    def update_mapping(self, embedding: nn.Module, seed: int, batch: int) -> float:
        """Take one step of the mapping network towards ``embedding(factors(z))`` and return its relative error."""
        z, factors = latents_of(seed + 500_000_000, batch, self.settings.device)
        with torch.no_grad():
            w = embedding(factors)
        loss = F.mse_loss(self.model.convert(Latents(z, "z"), "w").values, w) / w.var(0).mean()
        self.mapping.zero_grad()
        loss.backward()
        self.mapping.step()
        return loss.item()

    def settle_mapping(self, steps: int) -> None:
        """Train the mapping network alone towards the averaged embedding, and put it into the averaged model."""
        for step in range(steps):
            for group in self.mapping.param_groups:
                group["lr"] = self.settings.rate / 2 * (1 - step / steps)
            loss = self.update_mapping(self.average["embedding"], 900_000_000 + step, 1024)
            if step % 1000 == 0:
                print(f"mapping step {step}, relative error {loss:.4f}", flush=True)
        self.average["model"].get_submodule("mapping").load_state_dict(self.model.mapping.state_dict())

    @torch.no_grad()
    def look(self, n: int = 32) -> tuple[float, float]:
        """Write a sheet (renderer, drawn from factors, drawn from z) and return PSNR in dB from factors and from z."""
        z, factors = latents_of(123_456_789, n, self.settings.device)
        model: StyleGAN2 = self.average["model"]  # type: ignore[assignment]
        w = model.convert(Latents(z, "z"), "w").values
        rows = [render(factors, CONFIG.size)]
        rows += [draw(model, code, False) for code in (self.average["embedding"](factors), w)]
        sheet = torch.cat([torch.cat(list(row[:16]), dim=2) for row in rows], dim=1).clamp(-1, 1)
        pixels = ((sheet + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
        Image.fromarray(pixels).resize((pixels.shape[1] * 2, pixels.shape[0] * 2), Image.Resampling.NEAREST).save(
            self.settings.folder / "sheet.png"
        )
        return tuple(-10 * torch.log10((row - rows[0]).square().mean() / 4).item() for row in rows[1:])  # type: ignore[return-value]

    def report(self, loss: float, mapping_loss: float, rate: float) -> None:
        """Print one line of numbers."""
        drawn, mapped = self.look()
        print(
            f"{self.step} steps, loss {loss:.4f}, mapping {mapping_loss:.4f}, "
            f"PSNR {drawn:.2f} dB (from z {mapped:.2f}), {rate:.1f} pictures/s",
            flush=True,
        )


def fit(*, settings: Fit = Fit()) -> None:
    """Train at a constant rate until the time is over."""
    trainer, start = Trainer(settings), time.monotonic()
    first = trainer.step
    while time.monotonic() - start < 60 * settings.minutes:
        losses = trainer.update(settings.rate * min(1.0, (trainer.step + 1) / 200))
        if trainer.step % 250 == 0:
            trainer.report(*losses, (trainer.step - first) * settings.batch / (time.monotonic() - start))
            trainer.save()
    trainer.save()


def cool(*, settings: Cool = Cool()) -> None:
    """Bring the rate to zero, then write the weights of the package."""
    trainer, start = Trainer(settings), time.monotonic()
    first, steps = trainer.step, settings.pictures // settings.batch
    while trainer.step < first + steps:
        losses = trainer.update(settings.rate * (1 - (trainer.step - first) / steps), keep=0.99)
        if trainer.step % 250 == 0:
            trainer.report(*losses, (trainer.step - first) * settings.batch / (time.monotonic() - start))
    trainer.settle_mapping(settings.mapping_steps)
    drawn, mapped = trainer.look(256)
    print(f"PSNR from factors {drawn:.2f} dB, from z {mapped:.2f} dB")
    model: StyleGAN2 = trainer.average["model"]  # type: ignore[assignment]
    export(model, settings)


class Refiner:
    """Generator, discriminator, optimisers and the average of an adversarial refinement, with their checkpoint."""

    def __init__(self, settings: Refine) -> None:
        torch.manual_seed(settings.seed)
        self.settings, device = settings, settings.device
        loaded = load_file(settings.start, name="faces")
        if not isinstance(loaded, StyleGAN2):
            raise SemanifoldError(f"{settings.start} holds a {type(loaded).__name__}; give the StyleGAN2 that is to be refined.")
        self.model = loaded.to(device).requires_grad_(True).train()
        self.discriminator = Discriminator().to(device)
        self.average = copy.deepcopy(self.model)
        self.drawing = torch.optim.Adam(self.model.parameters(), settings.rate, (0.0, 0.99))
        self.judging = torch.optim.Adam(self.discriminator.parameters(), settings.rate, (0.0, 0.99))
        self.step, self.critic, self.weights = 0, attribute_network(device), pixel_weights(device)
        settings.folder.mkdir(parents=True, exist_ok=True)
        self.checkpoint = settings.folder / "state.pt"
        self.parts: Parts = {
            "model": self.model,
            "discriminator": self.discriminator,
            "average": self.average,
            "drawing": self.drawing,
            "judging": self.judging,
        }
        self.step = read_checkpoint(self.parts, self.checkpoint, device)

    def save(self) -> None:
        """Write the checkpoint."""
        write_checkpoint(self.parts, self.step, self.checkpoint)

    def judge(self, images: Tensor) -> Tensor:
        """Return the discriminator's word ``[n]`` in low precision."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.settings.low_precision):
            return self.discriminator(images).float()

    def update(self) -> tuple[float, float, float]:
        """Take one step of both networks; return the distance to the wanted faces and both networks' losses."""
        torch.manual_seed(1_000_003 * self.settings.seed + self.step)  # of the noise maps
        s = self.settings
        z, factors = latents_of(700_000_000 + s.seed * 1_000_003 + self.step, s.batch, s.device)
        _, others = latents_of(800_000_000 + s.seed * 1_000_003 + self.step, s.batch, s.device)
        with torch.no_grad():
            target, real = render(factors, CONFIG.size), render(others, CONFIG.size)
        images = draw(self.model, self.model.convert(Latents(z, "z"), "w").values, s.low_precision)
        distance = picture_loss(images, target, self.weights) + 0.2 * feature_loss(self.critic, images, target)
        self.discriminator.requires_grad_(False)
        fooling = F.softplus(-self.judge(images)).mean()
        # The discriminator knows nothing at first: the generator waits for it, then takes growing steps.
        for group in self.drawing.param_groups:
            group["lr"] = s.rate * min(1.0, max(0.0, (self.step - WAIT) / RAMP))
        self.drawing.zero_grad()
        (distance + s.adversarial * fooling).backward()
        self.drawing.step()

        self.discriminator.requires_grad_(True)
        judging = F.softplus(self.judge(images.detach())).mean() + F.softplus(-self.judge(real)).mean()
        if self.step % 16 == 0:
            leaf = real[: s.batch // 2].clone().requires_grad_()
            slope = torch.autograd.grad(self.discriminator(leaf).sum(), leaf, create_graph=True)[0]
            judging = judging + 16 * s.penalty / 2 * slope.square().sum((1, 2, 3)).mean()
        self.judging.zero_grad()
        judging.backward()
        self.judging.step()

        self.step += 1
        keep = min(0.999, 1 - 1 / (1 + self.step / 10))
        with torch.no_grad():
            live = self.model.state_dict()
            for key, value in self.average.state_dict().items():
                value.lerp_(live[key], 1 - keep)
        return distance.item(), fooling.item(), judging.item()


def refine(*, settings: Refine = Refine()) -> None:
    """Train against the discriminator until the time is over, and write the averaged weights."""
    refiner, start = Refiner(settings), time.monotonic()
    first = refiner.step
    while time.monotonic() - start < 60 * settings.minutes:
        losses = refiner.update()
        if refiner.step % 100 == 0:
            speed = (refiner.step - first) * settings.batch / (time.monotonic() - start)
            words = "distance {:.4f}, generator {:.3f}, discriminator {:.3f}".format(*losses)
            print(f"{refiner.step} steps, {words}, {speed:.1f} pictures/s", flush=True)
            refiner.save()
    refiner.save()
    export(refiner.average, settings)


def export(model: StyleGAN2, settings: Cool | Refine) -> None:
    """Set the mean w and write the weights."""
    with torch.no_grad():
        model.w_avg.copy_(model.convert(Latents(latents_of(5, 20_000, settings.device)[0], "z"), "w").values.mean(0))
    settings.export.parent.mkdir(exist_ok=True)
    model.cpu().freeze()
    model.licence, model.source = "Apache-2.0", "trained by scripts/train_faces.py of semanifold"
    save_generator(model, settings.export, half=True, overwrite=True)


if __name__ == "__main__":
    program = cyclopts.App()
    for step in (fit, cool, refine):
        program.command(step)
    program()
