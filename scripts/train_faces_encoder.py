"""Train the encoder of the bundled faces (``src/semanifold/worlds/faces/weights/encoder64.safetensors``).

``python scripts/train_faces_encoder.py STATE.safetensors``: a quarter of an hour on one core; stopped, it goes on.
"""

from __future__ import annotations

import sys

from semanifold.generators.loading import load_generator
from semanifold.inversion import EncoderSettings, save_encoder, train_encoder
from semanifold.worlds.faces.world import WEIGHTS

SETTINGS = EncoderSettings(steps=2000, batch=32, seed=20261129)


def main() -> None:
    """Train, and write the file that the package ships."""
    solution = train_encoder(load_generator("faces"), SETTINGS, checkpoint=sys.argv[1])
    save_encoder(solution.unwrap(), WEIGHTS / "encoder64.safetensors")
    print(solution.stats, (WEIGHTS / "encoder64.safetensors").stat().st_size)


if __name__ == "__main__":
    main()
