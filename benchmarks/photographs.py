"""What comes back into a photograph: the edited part against the truth, its seam, edits of inverted codes, and placements.

``python benchmarks/photographs.py``: eight minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from semanifold.app.actions.placing import usual_of
from semanifold.generators.loading import load_generator
from semanifold.images.masks import parse_mask
from semanifold.images.media import to_uint8
from semanifold.images.motion import smoothed
from semanifold.images.photographs import fitted
from semanifold.images.placements import Inlay, Placement
from semanifold.inversion import InversionSettings, invert
from semanifold.inversion.encoder import encoder_of
from semanifold.inversion.placing import refined_placement
from semanifold.landmarks import find_faces
from semanifold.landmarks.alignment import quad_like
from semanifold.landmarks.regions import face_regions
from semanifold.locality.truth import pixel_effects, pixel_weights, truth_share
from semanifold.locality.worlds import read_truth
from semanifold.paths.files import load_paths
from semanifold.worlds.faces.analytic import AnalyticFaces
from semanifold.worlds.faces.attribute_network import attribute_network
from semanifold.worlds.faces.factors import FACTORS, factor_index
from semanifold.worlds.faces.renderer import render

LARGE, SMALL = 512, 64
EDITS = {
    "mouth_opening": "mouth",
    "smile": "mouth",
    "gaze_x": "eyes",
    "eye_opening": "eyes",
    "brow_height": "brows",
    "yaw": None,
    "skin_tone": None,
}
"""Factors that are changed, and the mask of each; the whole picture when None."""
OFF = 0.0068
"""By how much factors that are read are wrong, as in the second table."""
PADDING = np.array([[1, 1], [1, 1], [0, 0]])
PATHS = ("smile", "yaw", "gaze_x", "mouth_opening")
Picture = NDArray[np.uint8]


def ways() -> dict[str, Callable[[Inlay, torch.Tensor], Picture]]:
    """Return the ways in which an edited picture is put back: nothing, all of it, what changed, without and with what moves."""

    def with_weight(inlay: Inlay, part: torch.Tensor) -> Picture:
        mixed = inlay.own + inlay.weight * (part - inlay.own)
        left, top, right, bottom = inlay.box
        whole = inlay.photograph.copy()
        whole[top:bottom, left:right] = ((mixed[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        return whole

    def with_change(inlay: Inlay, edited: torch.Tensor) -> Picture:
        size = smoothed((edited - inlay.unedited).square().mean(1, keepdim=True), 0.015)
        details = inlay.own - inlay.sampled(inlay.unedited + inlay.tones)
        kept = inlay.own - inlay.sampled(size / (size + 0.05**2)).clamp(0, 1) * details
        return with_weight(inlay, kept + inlay.sampled(edited - inlay.unedited))

    return {
        "the photograph, unedited": lambda inlay, edited: inlay.photograph,
        "the generator's picture": lambda inlay, edited: with_weight(inlay, inlay.sampled(edited)),
        "the difference": lambda inlay, edited: with_weight(inlay, inlay.own + inlay.sampled(edited - inlay.unedited)),
        "the difference, without the details of what changes": with_change,
        "ours, the details moved": lambda inlay, edited: inlay.onto(edited),
    }


def decibels(one: Picture, other: Picture, weight: NDArray[np.bool_]) -> float:
    """Return the PSNR of two pictures where a weight is."""
    error = ((one.astype(float) - other) ** 2).mean(-1)[weight].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def seam(one: Picture, other: Picture, ring: NDArray[np.bool_]) -> float:
    """Return how far the steps between neighbours on a ring are from the true ones, root mean square in levels."""
    steps = [np.diff(one.astype(float) - other, axis=axis) ** 2 for axis in (0, 1)]
    both = steps[0][:, :-1].mean(-1) + steps[1][:-1].mean(-1)
    return float(np.sqrt(both[ring[:-1, :-1]].mean()))


def sharpness(picture: Picture, weight: NDArray[np.bool_]) -> float:
    """Return the energy of the steps between neighbours where a weight is."""
    steps = [np.diff(picture.astype(float), axis=axis) ** 2 for axis in (0, 1)]
    return float((steps[0][:, :-1].mean(-1) + steps[1][:-1].mean(-1))[weight[:-1, :-1]].mean())


def put_back(count: int, off: float) -> None:
    """Print what comes back of an edit whose truth is rendered at full size, of factors that are off by a mean amount."""
    analytic = AnalyticFaces(SMALL)
    rng = torch.Generator().manual_seed(0)
    scores: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for seed in range(1000, 1000 + count):
        factors = analytic.convert(analytic.sample([seed]), "factors").values
        for name, region in EDITS.items():
            changed = factors.clone()
            changed[0, factor_index(name)] += 0.35 if factors[0, factor_index(name)] < 0.5 else -0.35
            before, truth = (to_uint8(render(f, LARGE))[0] for f in (factors, changed))
            missed = off * math.sqrt(math.pi / 2) * torch.randn(factors.shape, generator=rng)
            unedited, edited = (render((f + missed).clamp(0, 1), SMALL) for f in (factors, changed))
            mask = None if region is None else parse_mask(region, analytic, seed).at(SMALL, SMALL)
            inlay = Inlay(before, Placement.box(0, 0, LARGE, LARGE), unedited, mask)
            left, top, right, bottom = inlay.box
            weight = np.zeros((LARGE, LARGE), np.float32)
            weight[top:bottom, left:right] = inlay.weight[0, 0]
            moved = (np.abs(before.astype(int) - truth).max(-1) > 4) & (weight > 0.5)
            ring = (weight > 0.02) & (weight < 0.5) if mask is not None else np.zeros_like(moved)
            for way, function in ways().items():
                out = function(inlay, edited)
                sharp = sharpness(out, moved) / sharpness(truth, moved)
                three = (decibels(out, truth, moved), sharp, seam(out, truth, ring) if ring.any() else np.nan)
                scores.setdefault(way, {}).setdefault(name, []).append(three)
    print(f"\nfactors off by {off}\n| put back | {' | '.join(EDITS)} | sharpness | seam |\n|---|{'---:|' * (len(EDITS) + 2)}")
    for way, rows in scores.items():
        means = [f"{np.mean([psnr for psnr, _, _ in rows[name]]):.1f}" for name in EDITS]
        sharp, error = (np.nanmean([three[i] for name in EDITS for three in rows[name]]) for i in (1, 2))
        print(f"| {way} | {' | '.join(means)} | {sharp:.2f} | {error:.2f} |", flush=True)


@torch.no_grad()
def of_inverted_codes(count: int) -> None:
    """Print how far an edit of an inverted code is from the same edit of the true code."""
    faces, paths, network = load_generator("faces"), load_paths("faces"), attribute_network()
    truth = read_truth(faces, ("mouth", "eyes"))
    print("\n| path | its own change of factors | on the inverted code, from that on the true one | before the edit |", end="")
    print(" truth share on the true code | on the inverted one |\n|---|---:|---:|---:|---:|---:|")
    codes = {}
    for seed in range(2000, 2000 + count):
        true = faces.sample([seed], "w")
        with torch.enable_grad():
            found = invert(faces, faces.images(true), InversionSettings(space="w"), encoder=None, progress=False).value
        codes[seed] = (true, found)
    for name in PATHS:
        rows = []
        for true, found in codes.values():
            plain, own, other, start = (
                network(picture.clamp(-1, 1))
                for picture in (
                    faces.images(true),
                    paths[name].images(faces, true, 1.0),
                    paths[name].images(faces, found, 1.0),
                    faces.images(found),
                )
            )
            shares = [math.nan] * 2
            if (region := EDITS[name]) is not None:
                inside = torch.tensor([factor.region == region for factor in FACTORS])
                weights = [pixel_weights(pixel_effects(at.clamp(0, 1), truth.render)) for at in (plain, start)]
                changes = (own - plain, other - start)
                shares = [float(truth_share(change, by, inside, truth.noise)) for change, by in zip(changes, weights)]
            rows.append([float((a - b).abs().mean()) for a, b in ((own, plain), (other, own), (start, plain))] + shares)
        numbers = np.mean(rows, axis=0)
        print(f"| {name} | {' | '.join(f'{number:.4f}' for number in numbers)} |", flush=True)


def party(seed: int, rng: np.random.Generator) -> tuple[Image.Image, Placement]:
    """Return a photograph of one drawn face that hangs somewhere in it, turned by up to 25 degrees, and where it lies."""
    side, turn = int(rng.integers(160, 400)), math.radians(rng.uniform(-25, 25))
    analytic = AnalyticFaces(side)
    face = np.pad(to_uint8(render(analytic.convert(analytic.sample([seed]), "factors").values, side))[0], PADDING * side, "edge")
    width, height = int(2.2 * side), int(1.9 * side)
    x, y = width / 2 + rng.uniform(-0.2, 0.2) * side, height / 2 + rng.uniform(-0.1, 0.1) * side
    cos, sin = math.cos(turn), math.sin(turn)
    back = (cos, sin, 1.5 * side - cos * x - sin * y, -sin, cos, 1.5 * side + sin * x - cos * y)
    photograph = Image.fromarray(face).transform((width, height), Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2 @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
    return photograph, Placement.of(torch.from_numpy(corners))


def of_placements(count: int) -> None:
    """Print how near inversions come where faces truly lie, where they are found, and where that is refined.

    Of the whole part, and of the face alone, as ``edit`` does it where parts of the face are to change.
    """
    generator = load_generator("faces")
    encoder = encoder_of(generator, "own")
    usual = usual_of(generator)
    assert usual is not None
    rng = np.random.default_rng(1)
    rows: dict[str, list[list[float]]] = {}
    for seed in range(5000, 5000 + count):
        photograph, true = party(seed, rng)
        found = Placement.of(quad_like(find_faces(photograph)[0], usual))
        began = time.process_time()
        refined = refined_placement(generator, photograph, found, progress=False)
        spent = time.process_time() - began
        for name, place in {"true": true, "found by its points": found, "refined": refined}.items():
            target, _ = fitted(photograph, generator.picture_shape, place)
            find = face_regions(partial(torch.squeeze, target, 0), "the part")
            mouth = find("mouth").at(*target.shape[2:])[0, 0].numpy() > 0.5
            off = np.sqrt((np.subtract(place.quad, true.quad) ** 2).sum(1).mean()) / true.size[0] * SMALL
            for what, mask in (("whole part", None), ("face", find("face"))):
                began = time.process_time()
                solution = invert(generator, target, mask=mask, encoder=encoder, progress=False)
                seconds = time.process_time() - began + (spent if place is refined else 0.0)
                one, other = (to_uint8(pictures)[0] for pictures in (generator.images(solution.value), target))
                near = [decibels(one, other, where) for where in (np.ones_like(mouth), mouth)]
                rows.setdefault(f"{name} | {what}", []).append([off, *near, solution.stats["nature"] ** 0.5, seconds])
    print(
        "\n| placement | what the code has to meet | corners off by, in pixels of 64 | PSNR of the part | least | of its mouth |",
        end="",
    )
    print(" distance from the mean, of a usual code's | farthest | seconds |\n|---|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, row in rows.items():
        off, psnr, mouth, far, seconds = np.mean(row, axis=0)
        least, farthest = min(r[1] for r in row), max(r[3] for r in row)
        numbers = [f"{off:.1f}", f"{psnr:.1f}", f"{least:.1f}", f"{mouth:.1f}", f"{far:.2f}", f"{farthest:.2f}", f"{seconds:.1f}"]
        print(f"| {name} | {' | '.join(numbers)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=8)
    count = parser.parse_args().faces
    put_back(count, 0.0)
    put_back(count, OFF)
    of_inverted_codes(count)
    of_placements(12)


if __name__ == "__main__":
    main()
