"""Use a network of your own: wrap it, draw from it, and differentiate through it.

Any module or function that turns codes into pictures will do. Here it is an untrained one of two layers, so that the example
needs no file; the lines after ``wrap`` are the same for yours.
"""

from __future__ import annotations

import torch
from torch import nn

import semanifold


def network() -> nn.Module:
    """Codes [n, 16] to pictures [n, 3, 16, 16] in [0, 1]: a convolution that only grows, and a sigmoid."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Unflatten(1, (16, 1, 1)),
        nn.ConvTranspose2d(16, 32, kernel_size=4),
        nn.LeakyReLU(0.2),
        nn.ConvTranspose2d(32, 3, kernel_size=4, stride=4),
        nn.Sigmoid(),
    )


# The command line takes this as --generator examples/bring_your_own.py:generator
generator = semanifold.wrap(network(), latent_shape=(16,), pixel_range=(0, 1), name="my network")


def main() -> None:
    """Draw codes, make pictures, and find the direction that changes the upper half most and the lower half least."""
    codes = generator.sample(seeds=[7, 8])
    pictures = generator.images(codes)
    print(f"{generator.name}: {len(pictures)} pictures of shape {generator.picture_shape}, fingerprint {generator.fingerprint}")
    assert pictures.shape == (2, 3, 16, 16)
    assert pictures.min() >= -1
    assert pictures.max() <= 1
    assert torch.equal(generator.sample(seeds=[8]).values, codes[1].values), "a seed means the same code in every batch"

    jacobian = torch.autograd.functional.jacobian(lambda z: generator.images(codes.with_values(z[None]))[0], codes.values[0])
    assert isinstance(jacobian, torch.Tensor)
    upper, lower = jacobian[:, :8].flatten(0, -2), jacobian[:, 8:].flatten(0, -2)
    _, directions = torch.linalg.eigh(upper.T @ upper - 10 * lower.T @ lower)
    best = directions[:, -1]
    share = (upper @ best).square().sum() / (jacobian.flatten(0, -2) @ best).square().sum()
    usual = upper.square().sum() / jacobian.square().sum()
    print(f"{share:.0%} of the change lies in the upper half, {usual:.0%} along a random direction")
    assert share > usual + 0.1


if __name__ == "__main__":
    main()
