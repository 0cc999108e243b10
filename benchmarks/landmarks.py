"""How well faces and their points are found: on drawn faces, turned and nodding, of which the renderer knows every point.

``python benchmarks/landmarks.py``: three minutes on one core.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from PIL import Image

from semanifold.images.masks import parse_mask
from semanifold.images.media import to_uint8
from semanifold.landmarks import find_faces
from semanifold.landmarks.regions import NAMES, face_regions
from semanifold.worlds.faces.analytic import AnalyticFaces
from semanifold.worlds.faces.factors import factor_index
from semanifold.worlds.faces.renderer import render
from semanifold.worlds.faces.shapes import mix
from semanifold.worlds.faces.subject import Subject

SIZE = 192


def true_points(factors: torch.Tensor, size: int) -> torch.Tensor:
    """Return the middles of the eyes and the corners of the mouth ``[n, 4, 2]`` in pixels, as the renderer places them."""
    subject = Subject.of(factors)
    f, pose = subject.f, subject.pose
    apart = mix(0.222, 0.295, f["eye_spacing"])
    x, y, scale = pose.place(0.0, 0.425, 0.03)
    half = mix(0.160, 0.305, f["mouth_width"]) * scale
    corner = y - 0.70 * mix(-0.095, 0.095, f["smile"])
    places = [pose.place(side * apart, 0.0, -0.03)[:2] for side in (-1, 1)] + [(x - half, corner), (x + half, corner)]
    return torch.stack([torch.stack(place, dim=-1).reshape(-1, 2) for place in places], dim=1).add(1).mul(size / 2)


def errors(factors: torch.Tensor, degrees: float = 0.0) -> tuple[int, list[float], list[float]]:
    """Return how many faces were found alone, and the errors of eyes and mouth, in distances between the eyes."""
    alone, eyes, mouths = 0, [], []
    for picture, true in zip(to_uint8(render(factors, SIZE)), true_points(factors, SIZE)):
        photograph = Image.fromarray(np.pad(picture, ((60, 60), (60, 60), (0, 0)), mode="edge"))
        faces = find_faces(photograph.rotate(degrees, resample=Image.Resampling.BICUBIC) if degrees else photograph)
        if len(faces) != 1:
            continue
        alone += 1
        angle = np.deg2rad(degrees)
        turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
        middle = SIZE / 2 + 60
        found = (faces[0].main - middle) @ turn.T + middle - 60
        away = (found - true).norm(dim=1) / (true[1] - true[0]).norm()
        eyes.append(float(away[:2].mean()))
        mouths.append(float(away[2:].mean()))
    return alone, eyes, mouths


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=int, default=24, help="faces per row")
    count = parser.parse_args().faces
    analytic = AnalyticFaces(SIZE)
    base = analytic.convert(analytic.sample(range(500, 500 + count)), "factors").values
    print("| drawn faces | found alone | error at the eyes | at the corners of the mouth |\n|---|---:|---:|---:|")
    rows: list[tuple[str, torch.Tensor, float]] = [("as they are drawn", base, 0.0)]
    for name, most in (("yaw", 21), ("pitch", 13)):
        for value in (0.0, 0.5, 1.0):
            turned = base.clone()
            turned[:, factor_index("yaw")], turned[:, factor_index("pitch")] = 0.5, 0.5
            turned[:, factor_index(name)] = value
            rows.append((f"{name} {(2 * value - 1) * most:+.0f} degrees, the other 0", turned, 0.0))
    rows += [(f"photograph turned by {degrees} degrees", base, degrees) for degrees in (30.0, 90.0, 180.0)]
    for name, factors, degrees in rows:
        alone, eyes, mouths = errors(factors, degrees)
        print(f"| {name} | {alone} of {count} | {np.mean(eyes):.3f} | {np.mean(mouths):.3f} |", flush=True)
    print("\n| region | intersection over union, mean | least |\n|---|---:|---:|")
    for name in NAMES:
        shares = []
        for seed in range(500, 500 + count):
            picture = analytic.images(analytic.sample([seed]))[0]
            ours = face_regions(lambda picture=picture: picture, "the picture")(name).at(96, 96)
            true = parse_mask(name, analytic, seed).at(96, 96)
            shares.append(float(torch.minimum(ours, true).sum() / torch.maximum(ours, true).sum()))
        print(f"| {name} | {np.mean(shares):.2f} | {min(shares):.2f} |", flush=True)


if __name__ == "__main__":
    main()
