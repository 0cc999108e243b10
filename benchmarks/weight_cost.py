"""What directions in weights cost: to find as eigenvectors of a Hessian, and per training step, against the textbook procedures.

    python benchmarks/weight_cost.py                    both tables
    python benchmarks/weight_cost.py --quick            small sizes, a minute
    python benchmarks/weight_cost.py --only step --batch 8

**Leading eigenvectors.** The textbook (arXiv:2011.13786, in our own words) multiplies by the Hessian as the central difference of
two gradients, finds one vector at a time by 20 power iterations, and takes the vectors found before out of the next one; here
it normalises after every product, since it may collapse otherwise (tests/paths/test_weight_hessian.py). Ours is block Lanczos
with exact products, ``jvp``, Hessian of the distance in the picture, ``vjp``. A gradient, a jvp and a vjp each count as one
evaluation, so that a product costs two on either side; the distance is the mean square, whose own Hessian is a number.
All eigenpairs of the two matrices are known, so that both procedures run on the matrix itself, in coordinates of its
eigenvectors (any number of iterations costs nothing there, and rounding does the textbook no harm), and the accuracy of what
they find is exact: the largest principal angle between the K vectors and the K leading eigenvectors, and the sum of the
eigenvalues that they capture as a share of the largest possible one. The sum forgives a mixture of neighbouring eigenvectors at
the end of the list and much else; the angle does not. Both are printed. On the generator itself one product of each kind is
compared with the matrix, and timed.

**Training step** of K directions that are learned in the basis of eigenvectors: unmoved and moved pictures, reconstructor, loss,
gradients in the coefficients. "published" gives every sample a kernel of its own in every layer, stacks the basis per
sample, keeps the graph of the unmoved pictures and takes gradients in all weights of the generator; "stacked" does so with the
kernel and the basis in the edited layer only, and is ours in everything else; "grouped" has a kernel per sample in the edited
layer, but makes it by a product of matrices. All agree in the moved pictures and in the gradients (checked). Seconds are those
of the processor, and the ways alternate. Memory is the peak of the resident set of a process of its own for each way; "extra" is
what it has beyond the same step with nothing but a bias of the edited layer to learn.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from stylegan2_speed import textbook_conv, textbook_pictures
from torch import Tensor
from torch.func import functional_call

from semanifold.core.eigenpairs import Eigenpairs, Product
from semanifold.core.latents import Latents
from semanifold.generators.editing import weight_of
from semanifold.generators.loading import load_generator
from semanifold.generators.stylegan2.layers import StyledConv
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.images.distances import l2
from semanifold.paths.weight_hessian import TOLERANCE, hessian_product, leading
from semanifold.paths.weights import WeightPaths, info_of
from semanifold.training.reconstructor import make_reconstructor

SMALL = Path(__file__).resolve().parents[1] / "tests" / "data" / "reference" / "stylegan2_rosinality" / "generator.pt"
ITERATIONS, DIFFERENCE = 20, 1e-2
"""Power iterations of the textbook, and its step as a share of the norm of the weights."""
MOST_ITERATIONS = 5000
ANGLES, CAPTURED = (0.1, 0.01, 0.001), (0.99, 0.999, 0.9999)
WAYS = ("published", "stacked", "grouped", "ours")
PLAIN = "nothing moved"
NOISE = 50
"""MB of extra memory below which no ratio is given."""


# --- leading eigenvectors ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """How good K vectors are, and what they cost."""

    evaluations: int
    captured: float
    angle: float


def found(vectors: Tensor, values: Tensor, evaluations: int) -> Found:
    """Judge rows in coordinates of the eigenvectors, whose eigenvalues ``[n]`` are the largest first."""
    k = len(vectors)
    rows = torch.linalg.qr(vectors.T)[0].T
    sine = torch.linalg.matrix_norm(rows[:, k:] @ rows[:, k:].T, 2).sqrt().clamp(max=1)
    return Found(evaluations, float((rows.square() @ values).sum() / values[:k].sum()), math.asin(float(sine)))


def textbook(values: Tensor, k: int, iterations: int) -> Found:
    """Judge k vectors of the power iteration with deflation, on the diagonal matrix of these eigenvalues."""
    values = values[values > 0]  # the other coordinates vanish with the first product
    draw, rows = torch.Generator().manual_seed(0), values.new_zeros(k, len(values))
    for i in range(k):
        row = torch.randn(len(values), generator=draw, dtype=values.dtype)
        for _ in range(iterations):
            row = row * values
            row = row - (rows[:i] @ row) @ rows[:i]
            row = row / row.norm()
        rows[i] = row
    return found(rows, values, 2 * k * iterations)


def textbook_until(values: Tensor, k: int, share: float, angle: float, known: dict[int, Found]) -> int | None:
    """Return the least number of iterations per vector, in steps of a tenth, that is good enough; None if there is none."""
    iterations = 1
    while iterations <= MOST_ITERATIONS:
        if iterations not in known:
            known[iterations] = textbook(values, k, iterations)
        if known[iterations].captured >= share and known[iterations].angle <= angle:
            return iterations
        iterations = max(iterations + 1, round(1.1 * iterations))
    return None


def ours(values: Tensor, k: int, tolerance: float = TOLERANCE) -> list[Found]:
    """Judge the vectors after every block of our search, which ends by itself."""
    seen: list[Found] = []

    def keep(state: Eigenpairs) -> None:
        if len(state.basis) >= k:
            seen.append(found(state.pairs(k)[1], values, 2 * state.multiplied))

    leading(lambda rows: rows * values, len(values), k, values[None], keep=keep, progress=False, tolerance=tolerance)
    return seen


def matrix(generator: StyleGAN2, layer: str, pictures: int, size: int) -> tuple[str, Tensor]:
    """Return a name and all eigenvalues of a Hessian, from all rows of the Jacobian, and check products with it."""
    codes = generator.sample(range(pictures))
    weight = weight_of(generator, layer).detach().clone().requires_grad_()
    jacobian = weight.new_empty(pictures, 3 * size**2, weight.numel())
    for i in range(pictures):
        image = F.interpolate(functional_call(generator, {f"{layer}.weight": weight}, (codes[i],)), (size, size)).flatten()
        for row, number in zip(jacobian[i], image):
            row.copy_(torch.autograd.grad(number, weight, retain_graph=True)[0].flatten())
    jacobian = jacobian.flatten(0, 1)
    scale = 2 / len(jacobian)  # the mean square over pixels, averaged over pictures
    words = f"{generator.name}, {layer}, {weight.numel():,} numbers, {pictures} pictures at {size} px"
    vector = torch.randn(1, weight.numel(), generator=torch.Generator().manual_seed(0)).to(jacobian)
    true = scale * (vector @ jacobian.T) @ jacobian
    for name, product in (
        ("central difference of two gradients", difference_product(generator, layer, codes, size)),
        ("jvp and vjp", hessian_product(generator, [layer], codes, l2, size=size)),
    ):
        product(vector)
        start = time.process_time()
        off = float((product(vector) - true).norm() / true.norm())
        print(f"One product ({words}) by {name}: {off:.0e} off, {time.process_time() - start:.2f} s", flush=True)
    smaller = jacobian if len(jacobian) < weight.numel() else jacobian.T
    values = torch.linalg.eigvalsh(scale * smaller.double() @ smaller.double().T).flip(0).clamp(min=0)
    return words, F.pad(values, (0, weight.numel() - len(values)))


def matrices(quick: bool) -> Iterator[tuple[str, Tensor]]:
    """Yield names and eigenvalues of Hessians."""
    if quick:
        yield matrix(cast(StyleGAN2, load_generator("faces")), "convs.8", 2, 8)
        return
    small = cast(StyleGAN2, load_generator(str(SMALL)))
    small.name = "small StyleGAN2"
    yield matrix(small.double(), "convs.4", 12, 16)
    yield matrix(cast(StyleGAN2, load_generator("faces")), "convs.6", 4, 16)


def difference_product(generator: StyleGAN2, layer: str, codes: Latents, size: int) -> Product:
    """Return the product with the Hessian by central differences of gradients, with steps of a fixed length."""
    weight = weight_of(generator, layer).detach()
    plain = F.interpolate(generator.images(codes), (size, size))

    def gradient(change: Tensor) -> Tensor:
        moved = (weight + change).requires_grad_()
        images = F.interpolate(functional_call(generator, {f"{layer}.weight": moved}, (codes,)), (size, size))
        return torch.autograd.grad(l2(images, plain).mean(), moved)[0].flatten()

    def product(vectors: Tensor) -> Tensor:
        steps = DIFFERENCE * weight.norm() / vectors.norm(dim=1)
        changes = [step * vector.reshape(weight.shape) for step, vector in zip(steps, vectors)]
        return torch.stack([(gradient(c) - gradient(-c)) / (2 * step) for c, step in zip(changes, steps)])

    return product


def cost_table(quick: bool) -> None:
    """Print what leading eigenvectors take."""
    k, every = 8 if quick else 64, list(matrices(quick))
    print(
        f"\n| matrix | {k} vectors | angle | captured | textbook: iterations | evaluations | ours: evaluations | ratio |\n"
        "|---|---|---:|---:|---:|---:|---:|---:|"
    )
    for words, values in every:
        known = {ITERATIONS: textbook(values, k, ITERATIONS)}
        end, curve = ours(values, k)[-1], ours(values, k, 1e-6)
        goals = (
            *((f"captured ≥ {share}", share, math.inf) for share in CAPTURED),
            (f"angle of {ITERATIONS} power iterations", 0.0, known[ITERATIONS].angle),
            ("angle where ours stops by itself", 0.0, end.angle),
            *((f"angle ≤ {angle}", 0.0, angle) for angle in ANGLES),
        )
        for goal, share, angle in goals:
            slow = textbook_until(values, k, share, angle, known)
            fast = next((f for f in curve if f.captured >= share and f.angle <= angle), None)
            if fast is None:
                print(f"| {words} | {goal} | not reached by ours |")
                continue
            most = f"above {MOST_ITERATIONS:,}" if slow is None else slow
            much = 2 * k * (slow or MOST_ITERATIONS)
            numbers = f"{most} | {much:,} | {fast.evaluations:,} | {much / fast.evaluations:.1f}"
            print(f"| {words} | {goal} | {fast.angle:.1g} | {fast.captured:.6f} | {numbers} |", flush=True)


# --- training step ----------------------------------------------------------------------------------------------------


class Setting:
    """A generator, paths and one batch."""

    def __init__(self, given: argparse.Namespace) -> None:
        widths = tuple(min(given.width, 16384 // (4 << i)) for i in range(int(math.log2(given.size)) - 1))  # as config E
        self.generator = StyleGAN2(StyleGAN2Config(given.size, 512, 512, widths))
        self.layer, n = given.layer, given.batch
        self.weight = weight_of(self.generator, self.layer).detach()
        draw = torch.Generator().manual_seed(0)
        vectors = torch.randn(given.k, self.weight.numel(), generator=draw)
        vectors /= vectors.norm(dim=1, keepdim=True)
        coefficients = torch.randn(given.k, given.k, generator=draw)
        shapes = {self.layer: tuple(self.weight.shape)}
        facts = info_of(self.generator, method="random", step=1.0, count=1)
        self.paths = WeightPaths.from_vectors(vectors, shapes, facts, coefficients=coefficients)
        self.paths.coefficients.requires_grad_(True)
        torch.manual_seed(0)
        self.reconstructor = make_reconstructor("resnet", given.k, 3)
        self.codes = self.generator.convert(self.generator.sample(range(n)), "w")
        self.index = torch.randint(given.k, (n,), generator=draw)
        self.magnitude = 0.1 * float(self.weight.norm()) * (1 + torch.rand(n, generator=draw))

    def step(self, way: str) -> tuple[Tensor, Tensor]:
        """Return the moved pictures and the gradient in the coefficients (of nothing moved, that in the bias)."""
        learned: Tensor = self.paths.coefficients
        if way == "published":
            state = {name: tensor.detach().requires_grad_() for name, tensor in self.generator.state_dict().items()}
            unmoved = self.textbook_pictures(state)
            moved = self.textbook_pictures(state | {f"{self.layer}.weight": state[f"{self.layer}.weight"] + self.stacked()})
        else:
            with torch.no_grad():
                unmoved = self.generator.images(self.codes)
            if way == "ours":
                moved = self.paths.moved_images(self.generator, self.codes, self.index, self.magnitude)
            elif way == PLAIN:
                learned = cast(StyledConv, self.generator.get_submodule(self.layer)).bias.detach().requires_grad_()
                held = {f"{self.layer}.weight": self.weight, f"{self.layer}.bias": learned}
                moved = functional_call(self.generator, held, (self.codes,))
            else:
                moved = self.kernel_per_sample(self.weight + (self.stacked() if way == "stacked" else self.multiplied()))
        scores, measured = self.reconstructor(unmoved, moved)
        loss = F.cross_entropy(scores, self.index) + 0.25 * (measured - self.magnitude).abs().mean()
        learned.grad = None
        self.reconstructor.zero_grad()
        loss.backward()
        assert learned.grad is not None
        return moved.detach(), learned.grad

    def stacked(self) -> Tensor:
        """Return the changes ``[n, out, in, k, k]``, from a basis that is stacked once per sample."""
        basis = torch.stack(len(self.index) * [self.paths.basis])
        return self.of_unit_norm((basis * self.paths.coefficients[self.index][:, :, None]).sum(1))

    def multiplied(self) -> Tensor:
        """Return the same changes, as a product of matrices."""
        return self.of_unit_norm(self.paths.coefficients[self.index] @ self.paths.basis)

    def of_unit_norm(self, rows: Tensor) -> Tensor:
        """Return rows of unit norm times the magnitudes, as weights."""
        rows = rows / rows.norm(dim=1, keepdim=True) * self.magnitude[:, None]
        return rows.reshape(-1, *self.weight.shape)

    def textbook_pictures(self, state: Mapping[str, Tensor]) -> Tensor:
        """Return the pictures of the textbook's generator."""
        config = self.generator.config
        return textbook_pictures(dict(state), self.codes.values[:, None].expand(-1, config.num_ws, -1), len(config.channels))

    def kernel_per_sample(self, kernels: Tensor) -> Tensor:
        """Return the pictures of our generator whose edited layer is one grouped convolution."""
        other = self.generator.with_weights({self.layer: self.weight})
        conv = cast(StyledConv, other.get_submodule(self.layer))

        def forward(x: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
            x = textbook_conv(x, kernels, styles, up=conv.up, demodulate=True) + noise * conv.noise_strength
            return F.leaky_relu(x + conv.bias[:, None, None], 0.2) * math.sqrt(2)

        conv.forward = forward  # type: ignore[method-assign]  # another way to do the same, for the timing
        other._fusible = lambda: False  # type: ignore[method-assign]  # the layers are called one by one
        return other.images(self.codes)


def check(given: argparse.Namespace) -> None:
    """Compare the ways in double precision, where no feature rounds to the other side of a rectifier's kink, at a small size."""
    setting = Setting(argparse.Namespace(**vars(given) | {"size": 64, "width": 32, "k": 8}))
    for module in (setting.generator, setting.paths, setting.reconstructor):
        module.double()
    setting.weight, setting.magnitude = setting.weight.double(), setting.magnitude.double()
    setting.codes = setting.codes.with_values(setting.codes.values.double())
    expected = setting.step("ours")
    for way in WAYS:
        for a, b in zip(setting.step(way), expected, strict=True):
            assert (a - b).norm() <= 1e-8 * b.norm(), f"{way} has other pictures or gradients"


def peak(setting: Setting, way: str) -> int:
    """Return the peak of this process's resident set in a step, in MB (Linux)."""
    setting.step(way)  # what is imported, packed and made once is no part of it
    Path("/proc/self/clear_refs").write_text("5")
    setting.step(way)
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) // 1024


def peak_apart(way: str, given: argparse.Namespace) -> int:
    """Return the peak memory of a step in a process of its own, in MB."""
    words = [sys.executable, __file__, "--way", way]
    for name in ("size", "batch", "layer", "width", "k"):
        words += [f"--{name}", str(getattr(given, name))]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def step_table(given: argparse.Namespace) -> None:
    """Print what a training step takes."""
    check(given)
    peaks = {way: peak_apart(way, given) for way in (PLAIN, *WAYS)}
    setting = Setting(given)
    clock: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way in WAYS:
            start = time.process_time()
            setting.step(way)
            clock[way].append(time.process_time() - start)
    shape = list(setting.weight.shape)
    channels = setting.generator.config.channels
    print(
        f"\nStyleGAN2 of {given.size} px with random weights, {channels} channels, {given.layer} {shape}, "
        f"K = {given.k}, batch {given.batch}, median of {given.rounds}; the basis alone has "
        f"{setting.paths.basis.nbytes / 2**20:.0f} MB, and a step where nothing moves has a peak of {peaks[PLAIN]} MB.\n"
    )
    print("| way | s per step | times ours | peak MB | extra MB | times ours |\n|---|---:|---:|---:|---:|---:|")
    least = peaks["ours"] - peaks[PLAIN]
    for way in WAYS:
        ratio = statistics.median(a / b for a, b in zip(clock[way], clock["ours"]))
        extra = peaks[way] - peaks[PLAIN]
        cells = (
            f"{statistics.median(clock[way]):.2f}",
            f"{ratio:.1f}",
            peaks[way],
            extra,
            f"{extra / least:.1f}" if least >= NOISE else "",
        )
        print(f"| {way} | {' | '.join(map(str, cells))} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["cost", "step"])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--size", type=int, help="height of the pictures of the training step")
    parser.add_argument("--width", type=int, help="channels of its layers, at most")
    parser.add_argument("--layer", default="convs.4", help="its edited layer")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=(PLAIN, *WAYS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.size, given.width = given.size or (64 if given.quick else 256), given.width or (128 if given.quick else 512)
    if given.way:
        print(peak(Setting(given), given.way))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s) of the CPU")
    if given.only != "step":
        cost_table(given.quick)
    if given.only != "cost":
        step_table(given)


if __name__ == "__main__":
    main()
