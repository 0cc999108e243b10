"""Find what the mouth of one face can do, film it, and keep it.

The search is a short one of few frames, so that the example takes seconds; leave the settings out for a smoother path.
Run it with ``python examples/mouth.py FOLDER``; it writes mouth.png, mouth.mp4 and mouth.safetensors there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import semanifold as sm


def main(folder: Path) -> None:
    """Search, look, film, keep, and carry the change over to another face."""
    faces = sm.load_generator("faces")
    solution = sm.discover_manifold(faces, 7, "mouth", sm.ManifoldSettings(frames=6, steps=8))
    print(solution.result.value, f"Change outside of the mouth over that inside: {solution.stats['ratio']:.4f}")

    sm.save(sm.show(solution), folder / "mouth.png")
    film = sm.film(solution, seconds=1)
    print(film, "in", sm.save(film, folder / "mouth.mp4"))

    sm.save(solution, folder / "mouth.safetensors")
    mouth = sm.load_edit(folder / "mouth.safetensors")
    plain, laughing = mouth.images(faces, 7, [0, 0.5])
    assert torch.allclose(plain, faces.images(faces.sample(7))[0], atol=1e-4), "t = 0 is the unedited picture"
    inside = sm.parse_mask("mouth", faces, 7).at(64, 64)[0] > 0.5
    change = (laughing - plain).square()
    assert change[inside.expand(3, -1, -1)].mean() > 20 * change[~inside.expand(3, -1, -1)].mean()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) == 2 else Path())
