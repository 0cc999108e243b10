"""Use a network of your own: wrap it, look at its pictures, and find a change of one half of them.

Any module or function that turns codes into pictures will do. Here it is an untrained one of two layers, so that the example
needs no file; the lines after ``wrap`` are the same for yours.
"""

from __future__ import annotations

import torch
from torch import nn

import semanifold as sm


def network() -> nn.Module:
    """Codes [n, 16] to pictures [n, 3, 16, 16] in [0, 1]: a convolution that only enlarges, and a sigmoid."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (16, 1, 1)),
        nn.ConvTranspose2d(16, 32, kernel_size=4),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(32, 3, kernel_size=4, stride=4),
        nn.Sigmoid(),
    )


# The command line takes this as --generator examples/bring_your_own.py:generator
generator = sm.wrap(network(), latent_shape=16, pixel_range=(0, 1), name="my network")

UPPER = "box:0,0,1,0.5"


def main() -> None:
    """Draw codes, make pictures, and find a path along which the upper half changes and the lower half hardly does."""
    codes = generator.sample([7, 8])
    pictures = generator.images(codes)
    print(f"{generator.name}: {len(pictures)} pictures of shape {generator.picture_shape}, fingerprint {generator.fingerprint}")
    assert pictures.shape == (2, 3, 16, 16)
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert torch.equal(generator.sample(8).values[0], codes[1].values[0]), "a seed means the same code in every batch"

    solution = sm.discover_manifold(generator, 7, UPPER, sm.ManifoldSettings(frames=8, schedule="out"))
    path = solution.value
    before, after = path.images(generator, 7, [0.0, 1.0])
    upper, lower = (after - before).square().mean((0, 2)).chunk(2)
    print(f"{solution.result.value} Outside changes {solution.stats['ratio']:.3f} times as much as inside.")
    assert torch.allclose(before, pictures[0], atol=1e-5), "t = 0 is the unedited picture"
    assert lower.mean() < 0.5 * upper.mean()


if __name__ == "__main__":
    main()
