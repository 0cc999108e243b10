"""Which set of paths finds the meaningful changes? Learned and closed-form ones, on generators with a known truth.

    python benchmarks/path_sets.py faces       # the bundled faces: 29 known factors
    python benchmarks/path_sets.py celeba64    # a real decoder behind a hidden rotation: which of its axes come back?
    python benchmarks/path_sets.py purity      # the same decoder: what --lambda-pure alone finds from eight random starts
    python benchmarks/path_sets.py sheets      # the steadiest warped paths and joint axes of two real generators, as pictures
    python benchmarks/path_sets.py runs out/a out/b   # finished trainings on the bundled faces: bending, and locality in --mask

All sets have as many paths and live in the same space. A reconstructor of the same kind is trained as long on each, so that
its held-out accuracy (RCA, Voynov & Babenko 2020, arXiv:2002.03754) can be compared; for warped and linear paths that is their
own training. Rows are kept in ``--out`` as JSON; a set that is there already is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.analysis.attributes.onnx_files import onnx_reader
from semanifold.analysis.ranking.dependency import dependencies
from semanifold.analysis.ranking.measures import METRICS, Measures, mask_locality, measure_frames
from semanifold.analysis.ranking.scores import score
from semanifold.analysis.traversal import moments
from semanifold.core.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.generators.loading import load_generator
from semanifold.generators.wrapped import wrap
from semanifold.images import media
from semanifold.images.masks import parse_mask
from semanifold.paths.base import LatentPaths, PathSet
from semanifold.paths.closed_form import principal_paths, sefa_paths
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.joint import joint_paths
from semanifold.paths.linear import linear_paths
from semanifold.paths.warped import warped_paths
from semanifold.paths.weight_methods import weight_paths
from semanifold.paths.weight_trained import weight_paths_to_train
from semanifold.paths.weights import WeightPaths
from semanifold.training.presets import ALONG_RATE, ALONG_REACH, PRESETS, Preset
from semanifold.training.purity import STEPS, purity_of
from semanifold.training.reconstructor import make_reconstructor
from semanifold.training.settings import Prior, ReconstructorSettings, TrainingSettings, with_options
from semanifold.training.trainer import held_out_scores, train_paths
from semanifold.worlds.faces.reading import face_regions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
ATTRIBUTES = Path(__file__).resolve().parents[1] / ".." / "shared" / "real" / "attributes"
METHODS = ("warped", "linear", "joint", "pca", "sefa", "random", "warped-joint", "linear-joint", "warped-pure", "linear-pure")
"""The last ones are learned ones that start along the joint axes, or anywhere while their purity counts."""
IN_WEIGHTS = ("weights-svd", "weights-hessian", "weights-joint", "weights-svd-trained", "weights-hessian-trained")
"""The four published ways to find directions in the weights of a layer, and joint axes there."""
LAYER = "convs.4"
"""Whose weights are moved."""
FIRST_CODE = 50_000
"""Seed of the first code that paths are measured on; training draws its codes otherwise."""
MASKS = ("mouth", "eyes", "hair")
FACE = "box:0.2,0.2,0.8,0.8"
STRONG = 0.9
"""Correlation from which a path counts as one of a factor."""
SHOWN = 6
"""Paths of a sheet."""
BEGUN_AT = {"mnist28": (9, 16), "celeba32": (5, 20)}
"""Seeds of the pictures that a sheet begins with: clear ones among the first 32."""
TARGET = 1.0
"""Change of the target, in standard deviations, at which the change of the others is measured."""
CELEBA = Preset(
    "a beta-TCVAE decoder of CelebA, 64 px, z of 10 numbers",
    k=10,
    dipoles=16,
    init="spread",
    space="z",
    step=0.25,
    steps=10,
    training=TrainingSettings(
        iterations=2500, min_magnitude=0.5, max_magnitude=1.5, paths_lr=2e-3, reconstructor_lr=3e-3, decay=0.3
    ),
    network=ReconstructorSettings(reconstructor="lenet", differences=True),
)
SHEETS = {
    "mnist28": replace(
        CELEBA,
        k=16,
        training=replace(CELEBA.training, iterations=1500, min_magnitude=0.7, max_magnitude=2.0),
        network=replace(CELEBA.network, reconstructor_size=32),
    ),
    "celeba32": replace(CELEBA, k=16, training=replace(CELEBA.training, iterations=1500)),
}
"""Magnitudes, taken twice along the joint axes, are 12 to 36 % of the usual distance of two codes, as for the faces."""


def loaded(place: Path) -> LatentPaths:
    """Return a set of paths of codes."""
    paths = load_paths(place)
    assert isinstance(paths, LatentPaths)
    return paths


def new_weights(generator: Generator, method: str, layer: str, k: int) -> WeightPaths:
    """Return a set in the weights of a layer before training; a magnitude of 1 is a change that is seen at once."""
    if method.endswith("-trained"):
        return weight_paths_to_train(generator, method.removesuffix("-trained"), (layer,), k, 0)
    way: Any = method.removeprefix("weights-")
    found = weight_paths(generator, way, layers=layer, k=k)
    far = found.info.step * found.info.count
    other = found.with_info(step=1 / 16, count=16)
    other.scale = far * found.scale
    return other


def new_paths(generator: Generator, method: str, preset: Preset, layer: str = LAYER) -> PathSet:
    """Return a set before training, of the preset's seed; that of a closed form is complete."""
    if method in IN_WEIGHTS:
        return new_weights(generator, method, layer, preset.k)
    space, way = preset.space, {"step": preset.step, "steps": preset.steps}
    seed = preset.training.seed
    along = joint_paths(generator, space, preset.k) if method.endswith("-joint") else None
    if method in ("warped", "warped-joint", "warped-pure"):
        return warped_paths(generator, space, preset.k, preset.dipoles, init="spread", along=along, seed=seed, **way)
    if method == "linear-pure":
        return linear_paths(generator, space, preset.k, "projective", random_init=True, seed=seed, **way)
    if method == "linear-joint":
        return linear_paths(generator, space, preset.k, "projective", along=along, **way)
    if method in ("linear", "random"):
        return linear_paths(generator, space, preset.k, "ortho" if method == "linear" else "random", **way)
    if method == "joint":
        closed = joint_paths(generator, space, preset.k)
    else:
        closed = principal_paths(generator, space, preset.k) if method == "pca" else sefa_paths(generator, preset.k, space=space)
    # the same length for all, as for the others; closed forms would go three standard deviations along each
    return closed.with_info(step=preset.step, count=preset.steps)


def trained(
    generator: Generator, method: str, preset: Preset, folder: Path, layer: str = LAYER
) -> tuple[PathSet, dict[str, Any]]:
    """Train a set and its reconstructor, or read what an earlier run has trained; return the set and its scores."""
    file, scores = folder / f"{method}.safetensors", folder / f"{method}.json"
    if file.exists() and scores.exists():
        return load_paths(file), json.loads(scores.read_text())
    paths = new_paths(generator, method, preset, layer)
    if method in ("joint", "pca", "sefa", *IN_WEIGHTS[:3]):
        paths.requires_grad_(False)
    network, given = preset.network, preset.training
    reconstructor = make_reconstructor(
        network.reconstructor,
        len(paths),
        generator.picture_shape[0],
        size=network.reconstructor_size,
        differences=network.differences,
        seed=given.seed,
    )
    pure = method.endswith("-pure")
    reach = 1 if pure or method in ("warped", "linear", "random", *IN_WEIGHTS) else ALONG_REACH
    settings = replace(
        given,
        min_magnitude=reach * given.min_magnitude,
        max_magnitude=reach * given.max_magnitude,
        paths_lr=given.paths_lr * (ALONG_RATE if method.endswith("-joint") else 1),
        lambda_pure=(given.lambda_pure or 1.0) if pure else 0.0,
        prior=Prior(paths.space(generator)),
        log_every=100,
        save_every=200,
    )
    began = time.process_time()
    kept = folder / method
    kept.mkdir(parents=True, exist_ok=True)
    purity = purity_of(generator, paths) if pure else None
    if purity is not None:
        purity.unmix(paths)
    train_paths(
        generator, paths, reconstructor, settings, folder=kept, purity=purity,
        watch=lambda r: print(f"{method}: {r.iteration} of {r.iterations}, accuracy {r.stats['accuracy']:.3f}", flush=True),
    )  # fmt: skip
    found = asdict(held_out_scores(generator, paths, reconstructor, settings)) | {"seconds": round(time.process_time() - began)}
    save_paths(paths, file)
    scores.write_text(json.dumps(found))
    return paths, found


@torch.no_grad()
def walked(generator: Generator, paths: PathSet, codes: int, reader: Any, masks: tuple[str, ...]) -> dict[str, Measures]:
    """Return attributes and locality of all paths from some codes, for each mask (all with the same attributes)."""
    t = moments(paths.info.count)
    start = generator.sample(range(FIRST_CODE, FIRST_CODE + codes), paths.space(generator))
    shape = (codes, len(paths), len(t))
    values = np.empty((*shape, len(reader.attributes)))
    local = {mask: np.empty((*shape, len(METRICS))) for mask in masks}
    edits = [paths[k] for k in range(len(paths))]
    for c in range(codes):
        reference = generator.images(start[c])
        size, regions = (reference.shape[2], reference.shape[3]), face_regions(generator, start[c])
        drawn = {mask: parse_mask(mask, regions, size=size).at(*size) for mask in masks}
        for k, edit in enumerate(edits):
            pictures = edit.images(generator, start[c], t)
            values[c, k] = measure_frames(lambda rows, made=pictures: made[rows], len(t), reference, reader)[0]
            for mask, weights in drawn.items():
                columns = [metric(pictures, reference, weights) for metric in METRICS.values()]
                local[mask][c, k] = torch.stack(columns, 1).double().numpy()
    names = tuple(str(i) for i in range(codes))
    numbers, called = tuple(range(len(paths))), tuple(paths.name_of(k) for k in range(len(paths)))
    return {mask: Measures(values, reader.attributes, names, numbers, called, t.numpy(), local[mask]) for mask in masks}


def faces_row(
    generator: Generator, method: str, preset: Preset, folder: Path, codes: int, spread: np.ndarray, layer: str
) -> dict[str, Any]:
    """Return everything about one set on the bundled faces."""
    paths, scores = trained(generator, method, preset, folder, layer)
    reader = FacesAttributes()
    measured = walked(generator, paths, codes, reader, MASKS)
    some = next(iter(measured.values()))
    found = score(some.values, some.attributes, some.t)
    best = np.nanmax(np.abs(found.pearson), 0)
    purest = np.full(len(reader.attributes), np.nan)
    costs = dependencies(some.values, some.t, spread, TARGET)
    reached = ~np.isnan(costs).all(0)
    purest[reached] = np.nanmin(costs[:, reached], 0)
    row: dict[str, Any] = {"method": method, "rca": scores["accuracy"], "seconds": scores["seconds"], "k": len(paths)}
    row |= {"strong": int((best >= STRONG).sum()), "pearson": float(best.mean())}
    row |= {"reached": int(reached.sum()), "dependency": float(np.nanmean(purest)), "non_linearity": bend(generator, paths)}
    row["locality"] = {mask: float(np.nanmin(mask_locality(measures)[0])) for mask, measures in measured.items()}
    names = [attribute.name for attribute in reader.attributes]
    row["factors"] = {n: [round(float(p), 3), round(float(d), 3)] for n, p, d in zip(names, best, purest)}
    return row


@torch.no_grad()
def picture_of_factors(
    generator: Generator, paths: PathSet, spread: np.ndarray, path: Path, *, rows: int = 12, seed: int = 4
) -> None:
    """Draw the paths that change one factor most purely, each under the name of that factor, on one face.

    A path is named after the factor that it changes most, in standard deviations, and ranked by that factor's share of all
    change. The rows go 1.8 times as far as the paths are measured, about three standard deviations of the strongest one.
    """
    paths = paths.with_info(step=1.8 * paths.info.step)
    reader, t = FacesAttributes(), torch.linspace(-1, 1, 9)
    codes = generator.sample(range(FIRST_CODE, FIRST_CODE + 4), paths.space(generator))
    shares = []
    for k in range(len(paths)):
        read = torch.stack(
            [reader.read(pictures, pictures[:1]) for pictures in (paths[k].images(generator, c, t) for c in codes)]
        )
        change = (read[:, -1] - read[:, 0]).mean(0).double().abs().numpy() / spread
        shares.append(change / change.sum())
    table = np.array(shares)
    best = sorted(range(len(paths)), key=lambda k: -table[k].max())
    named = {int(table[k].argmax()): k for k in reversed(best)}
    chosen = sorted(named.items(), key=lambda pair: -table[pair[1], pair[0]])[:rows]
    shown = generator.sample([seed], paths.space(generator))
    frames = [media.to_uint8(paths[k].images(generator, shown, t)) for _, k in chosen]
    words = [f"{reader.attributes[a].name.replace('_', ' ')} {table[k, a]:.0%}" for a, k in chosen]
    media.save_png(media.stack_rows([media.contact_sheet(row, columns=len(t), size=72) for row in frames], words), path)


def bend(generator: Generator, paths: PathSet, codes: int = 8) -> float:
    """Return the mean angle between the first and the last step of the paths, in degrees; those of weights are straight."""
    if not isinstance(paths, LatentPaths):
        return 0.0
    start = generator.sample(range(FIRST_CODE, FIRST_CODE + codes), paths.info.space)
    ends = []
    for k in range(len(paths)):
        at = [paths[k].latents(start, v).values.flatten(1) for v in (0.0, 1 / paths.info.count, 1 - 1 / paths.info.count, 1.0)]
        ends.append(torch.nn.functional.cosine_similarity(at[1] - at[0], at[3] - at[2]))
    return float(torch.rad2deg(torch.cat(ends).clamp(-1, 1).arccos()).mean())


def options_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that change a preset."""
    return {"iterations": given.iterations or None, "lambda_pure": given.lambda_pure, "draw_seed": given.seed}


def faces(given: argparse.Namespace) -> None:
    generator, preset = load_generator("faces"), PRESETS["faces"]
    preset = with_options(preset, options_of(given))
    with torch.no_grad():
        random = torch.cat([generator.images(generator.sample(range(i, i + 100))) for i in range(0, 1000, 100)])
        spread = FacesAttributes().read(random, random[:1]).std(0).double().numpy()
    print(f"{'method':8s} RCA   strong  mean r  dependency (reached)  bend  out/in at equal change: {', '.join(MASKS)}")
    for method in given.methods:
        file = given.out / f"faces-{method}.json"
        if not file.exists():
            given.out.mkdir(parents=True, exist_ok=True)
            file.write_text(
                json.dumps(faces_row(generator, method, preset, given.out, given.codes, spread, given.layer), indent=1)
            )
            picture_of_factors(
                generator, load_paths(given.out / f"{method}.safetensors"), spread, given.out / f"faces-{method}.png"
            )
        row = json.loads(file.read_text())
        local = ", ".join(f"{value:.3f}" for value in row["locality"].values())
        print(
            f"{method:8s} {row['rca']:.3f} {row['strong']:3d}/29  {row['pearson']:.3f}   {row['dependency']:.3f} "
            f"({row['reached']})           {row['non_linearity']:4.1f}  {local}",
            flush=True,
        )


def rotated(seed: int = 2718) -> tuple[Generator, Tensor]:
    """Return the decoder behind a fixed random rotation of its z, and the rotation ``[10, 10]``: z = code @ rotation.

    The seed must be none that a set is made with: seed 0 gives the very rotation that the random set holds.
    """
    from support import real_generators  # noqa: PLC0415  (beside the tests; the files may be absent)

    if not real_generators.available():
        raise SemanifoldError("The real generators are not here; this study needs them.")
    plain = real_generators.REAL["celeba64"]()
    rotation = torch.linalg.qr(torch.randn(10, 10, generator=torch.Generator().manual_seed(seed)))[0]
    first = torch.nn.Linear(10, 10, bias=False)
    with torch.no_grad():
        first.weight.copy_(rotation.T)
    network = torch.nn.Sequential(first, plain.network)  # type: ignore[attr-defined]
    return wrap(network, (10,), pixel_range=(0, 1), name="celeba64-rotated"), rotation


def head_pose(folder: Path) -> Any:
    """Return a reader of yaw, pitch and roll (FSA-Net, two networks averaged), or None where its files are absent."""
    files = [ATTRIBUTES / f"fsanet-{kind}-iter-688590.onnx" for kind in ("1x1", "var")]
    if not all(file.exists() for file in files):
        return None
    angles = [{"name": name, "low": -60, "high": 60, "unit": "degrees"} for name in ("yaw", "pitch", "roll")]
    network = {"size": [64, 64], "colours": "bgr", "mean": 127.5, "scale": 128, "models": [str(file) for file in files]}
    (folder / "pose.json").write_text(json.dumps(network | {"attributes": angles}))
    return onnx_reader(folder / "pose.json")


def celeba64(given: argparse.Namespace) -> None:
    """Print which hidden axes each set holds, and the strongest correlation of a path with each angle of the head."""
    generator, rotation = rotated()
    preset = with_options(CELEBA, options_of(given))
    folder = given.out / "celeba64"
    folder.mkdir(parents=True, exist_ok=True)
    start = generator.sample(range(FIRST_CODE, FIRST_CODE + 64))
    pose = head_pose(folder)
    print("method   RCA    axes found (|cosine| >= 0.9)  yaw pitch roll  best |cosine| of every axis")
    for method in given.methods:
        paths, scores = trained(generator, method, preset, folder)
        assert isinstance(paths, LatentPaths)
        chords = torch.stack(
            [(paths[k].latents(start, 1.0).values - paths[k].latents(start, -1.0).values).mean(0) for k in range(len(paths))]
        )
        original = torch.nn.functional.normalize(chords, dim=1) @ rotation
        best = original.abs().amax(0)
        words = " ".join(f"{value:.2f}" for value in best.tolist())
        turns = "   -     -    -"
        if pose is not None:
            measured = walked(generator, paths, given.codes, pose, (FACE,))[FACE]
            found = np.nanmax(np.abs(score(measured.values, measured.attributes, measured.t).pearson), 0)
            turns = "  ".join(f"{value:.2f}" for value in found)
        axes = f"{int((best >= STRONG).sum()):2d} of 10"
        print(f"{method:8s} {scores['accuracy']:.3f}  {axes}                     {turns}  {words}", flush=True)
        picture_of_axes(generator, paths, original, given.out / f"celeba64-{method}.png")


def axes_found(generator: Generator, paths: LatentPaths, rotation: Tensor) -> int:
    """Return how many hidden axes have a path with a |cosine| of at least 0.9, by where the paths lead from 64 codes."""
    start = generator.sample(range(FIRST_CODE, FIRST_CODE + 64))
    chords = [(paths[k].latents(start, 1.0).values - paths[k].latents(start, -1.0).values).mean(0) for k in range(len(paths))]
    original = torch.nn.functional.normalize(torch.stack(chords), dim=1) @ rotation
    return int((original.abs().amax(0) >= STRONG).sum())


def purity(given: argparse.Namespace) -> None:
    """Print which hidden axes the term of ``--lambda-pure`` finds by itself, without a reconstructor or a picture in the loop."""
    generator, rotation = rotated()
    steps = given.iterations or STEPS
    for kind in ("warped", "linear"):
        found, seconds = [], 0.0
        for seed in range(8):
            if kind == "warped":
                paths: LatentPaths = warped_paths(generator, "z", 10, CELEBA.dipoles, init="spread", seed=seed)
            else:
                paths = linear_paths(generator, "z", 10, "projective", random_init=True, seed=seed)
            measured = purity_of(generator, paths, progress=False)
            began = time.process_time()
            measured.unmix(paths, steps=steps, progress=False)
            seconds += time.process_time() - began
            with torch.no_grad():
                found.append(axes_found(generator, paths, rotation))
        words = ", ".join(map(str, found))
        print(f"{kind}: {words} of 10 axes from 8 random starts, {seconds / 8:.1f} CPU s for {steps} steps", flush=True)


def picture_of_axes(generator: Generator, paths: LatentPaths, chords: Tensor, path: Path) -> None:
    """Draw the path nearest to each hidden axis, from one face, all in the direction of their axis."""
    code, t = generator.sample([FIRST_CODE], paths.info.space), torch.linspace(-1, 1, 9)
    nearest = chords.abs().argmax(0)
    rows, words = [], []
    for axis, k in enumerate(nearest.tolist()):
        towards = float(chords[k, axis].sign())
        frames = media.to_uint8(paths[k].images(generator, code, towards * t))
        rows.append(media.contact_sheet(frames, columns=len(t), size=72))
        words.append(f"axis {axis}: |cosine| {float(chords[k, axis].abs()):.2f}")
    media.save_png(media.stack_rows(rows, words), path)


def sheets(given: argparse.Namespace) -> None:
    from support import real_generators  # noqa: PLC0415  (beside the tests; the files may be absent)

    if not real_generators.available():
        raise SemanifoldError("The real generators are not here; this study needs them.")
    for name, usual in SHEETS.items():
        generator, preset = real_generators.REAL[name](), with_options(usual, {"iterations": given.iterations or None})
        folder = given.out / name
        folder.mkdir(parents=True, exist_ok=True)
        paths, scores = trained(generator, "warped-joint", preset, folder)
        joint = joint_paths(generator, paths.info.space, preset.k)
        paths = paths.with_info(step=joint.info.step, count=joint.info.count)  # three standard deviations, as the axes
        for kind, each in (("warped", paths), ("joint", joint)):
            assert isinstance(each, LatentPaths)
            alike = likeness(generator, each)
            best = sorted(range(len(each)), key=lambda k: -alike[k])[:SHOWN]
            words = {k: f"path {k}, alike {alike[k]:.2f}" for k in best}
            draw_paths(generator, each, words, BEGUN_AT[name], given.out / f"{name}-{kind}.png")
        print(f"{name}: RCA {scores['accuracy']:.3f} of {len(paths)} warped paths; {given.out / name}-*.png", flush=True)


@torch.no_grad()
def likeness(generator: Generator, paths: LatentPaths, codes: int = 32) -> list[float]:
    """Return how alike each path changes different pictures: mean cosine between the changes from ``t = -1`` to 1."""
    start = generator.sample(range(FIRST_CODE, FIRST_CODE + codes), paths.info.space)
    found = []
    for k in range(len(paths)):
        lower, upper = (generator.images(paths[k].latents(start, t)).flatten(1) for t in (-1.0, 1.0))
        change = torch.nn.functional.normalize(upper - lower, dim=1)
        found.append(float((change.sum(0).square().sum() - codes) / (codes * (codes - 1))))
    return found


def draw_paths(generator: Generator, paths: LatentPaths, words: dict[int, str], seeds: tuple[int, ...], path: Path) -> None:
    """Draw the paths of the given numbers from the codes of some seeds, a row each."""
    codes, t = generator.sample(seeds, paths.info.space), torch.linspace(-1, 1, 9)
    frames = [media.to_uint8(paths[k].images(generator, codes[c], t)) for k in words for c in range(len(seeds))]
    labels = [label for word in words.values() for label in (word, *[""] * (len(seeds) - 1))]
    rows = [media.contact_sheet(part, columns=len(t), size=72) for part in frames]
    media.save_png(media.stack_rows(rows, labels), path)


def runs(given: argparse.Namespace) -> None:
    """Print how the paths of finished trainings bend and how local they are, and draw the most local ones of each."""
    given.out.mkdir(parents=True, exist_ok=True)
    generator, reader = load_generator("faces"), FacesAttributes()
    for folder in given.folders:
        paths, said = loaded(folder), json.loads((folder / "metrics.json").read_text())
        print(f"{folder}: RCA {said['held_out']['accuracy']:.3f}")
        for name, start in said["bending"]["start"].items():
            ranges = (f"{np.mean(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in (start, said["bending"]["end"][name]))
            print(f"  {name:5s} " + " -> ".join(ranges))
        ratios = mask_locality(walked(generator, paths, given.codes, reader, (given.mask,))[given.mask])[0]
        print(f"  out/in in {given.mask}: median {np.median(ratios):.3f}, best {ratios.min():.3f}, worst {ratios.max():.3f}")
        words = {int(k): f"path {k}, out/in {ratios[k]:.3f}" for k in np.argsort(ratios)[:SHOWN]}
        near = paths.with_info(step=0.6 * paths.info.step)
        draw_paths(generator, near, words, (4,), given.out / f"{folder.name}-{given.mask}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["faces", "celeba64", "purity", "sheets", "runs"])
    parser.add_argument("folders", nargs="*", type=Path, help="of runs: finished run folders of semanifold train")
    parser.add_argument("--mask", default="mouth", choices=MASKS, help="of runs: where change is welcome")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=(*METHODS, *IN_WEIGHTS))
    parser.add_argument("--layer", default=LAYER, help="of faces: whose weights are moved")
    parser.add_argument("--codes", type=int, default=16, help="codes that every path is measured on")
    parser.add_argument("--iterations", type=int, help="of every training; the preset's own when left out")
    parser.add_argument(
        "--lambda-pure", type=float, help="of the sets whose purity counts; 1 when left out; give an --out for each"
    )
    parser.add_argument(
        "--seed", type=int, help="of random starts, reconstructors and draws; 0 when left out; give an --out for each"
    )
    parser.add_argument("--out", type=Path, default=Path("out/path-sets"))
    given = parser.parse_args()
    try:
        {"faces": faces, "celeba64": celeba64, "purity": purity, "sheets": sheets, "runs": runs}[given.what](given)
    except SemanifoldError as error:
        sys.exit(f"path_sets: {error}")


if __name__ == "__main__":
    main()
