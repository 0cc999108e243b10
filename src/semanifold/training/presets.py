"""Settings that are known to work: those of the published set-ups, and those for the bundled faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from semanifold.core.errors import SemanifoldError, near_names, shown

ALONG_RATE = 0.15
"""Paths that start along the directions of a closed form learn at this share of a preset's rate, so that they stay near."""

ALONG_REACH = 2
"""Sets with scales, of which the largest is 1, take a preset's magnitudes times this."""


@dataclass(frozen=True)
class Preset:
    """What a training of one kind of generator begins from; every number can be given otherwise on the command line.

    Attributes:
        about: which generator it is for.
        generator: bundled generator, or empty where a file must be given.
        paths: kind of paths: ``warped``, a form of linear ones (``ortho``, ``linear``, ...), or a ready-made set.
        k: number of paths.
        dipoles: N, pairs of support vectors per warped path.
        init: start of warped paths, ``reference`` or ``spread``, or of any: the directions of a closed form, such as ``joint``.
        init_codes: codes whose pictures decide the joint axes that paths start along; fewer take less time and err more.
        space: latent space; None for the generator's own choice.
        min_magnitude: least length of a step, in units of the latent space.
        max_magnitude: greatest length of a step.
        layer: layer whose weights move; a convolution in the middle if empty.
        norms: magnitudes of directions in weights are norms of the change, as published; else 1 is a change that is seen at once.
        reconstructor: ``lenet`` or ``resnet``.
        reconstructor_size: height and width that pictures are brought to first; None leaves them.
        differences: begin with a reconstructor that sees the difference of the two pictures.
        batch: samples per iteration.
        iterations: steps of the optimisers.
        paths_lr: learning rate of the paths.
        reconstructor_lr: learning rate of the reconstructor.
        lambda_reg: weight of measuring the magnitude.
        decay: last share of the iterations, in which the rates fall to 0.
        z_truncation: cut of the coordinates of z.
        classes: classes to draw from.
        step: length of one step when a path is traced.
        steps: steps from ``t = 0`` to ``t = 1``.
        save_every: iterations between checkpoints.
    """

    about: str
    generator: str = ""
    paths: str = "warped"
    k: int = 64
    dipoles: int = 128
    init: str = "reference"
    init_codes: int = 128
    space: str | None = "z"
    min_magnitude: float = 0.15
    max_magnitude: float = 0.25
    layer: str = ""
    norms: bool = False
    reconstructor: str = "resnet"
    reconstructor_size: int | None = None
    differences: bool = False
    batch: int = 32
    iterations: int = 100_000
    paths_lr: float = 1e-4
    reconstructor_lr: float = 1e-4
    lambda_reg: float = 0.25
    decay: float = 0.0
    z_truncation: float | None = None
    classes: tuple[int, ...] = ()
    step: float = 0.2
    steps: int = 16
    save_every: int = 1000


FACES = Preset(
    "the bundled faces, warped paths in w; minutes on a laptop",
    generator="faces",
    k=32,
    dipoles=32,
    init="joint",
    space="w",
    min_magnitude=0.5,
    max_magnitude=1.5,
    reconstructor="lenet",
    differences=True,
    batch=32,
    iterations=1200,
    paths_lr=2e-3,
    reconstructor_lr=3e-3,
    decay=0.3,
    step=0.25,
    steps=12,
    save_every=100,
)

NAVIGAN = Preset(
    "StyleGAN2 of LSUN cars, 512 px, combinations of singular vectors of a weight",
    paths="weights-svd",
    k=64,
    min_magnitude=300.0,
    max_magnitude=3500.0,
    layer="convs.4",
    norms=True,
    reconstructor_size=256,
    batch=32,
    iterations=100_000,
    lambda_reg=0.0025,
)

PRESETS: Mapping[str, Preset] = {
    "mnist": Preset("SNGAN of MNIST, 32 px", k=64, dipoles=128, reconstructor="lenet", batch=128, iterations=120_000),
    "animefaces": Preset(
        "SNGAN of AnimeFaces, 64 px",
        min_magnitude=0.25,
        max_magnitude=0.35,
        reconstructor="lenet",
        batch=128,
        iterations=120_000,
        step=0.25,
        steps=24,
    ),
    "biggan": Preset(
        "BigGAN-128 of ImageNet, class 239",
        k=120,
        dipoles=256,
        min_magnitude=0.1,
        max_magnitude=0.2,
        batch=32,
        iterations=150_000,
        classes=(239,),
    ),
    "proggan": Preset(
        "ProgGAN of CelebA-HQ, 1024 px",
        k=200,
        dipoles=512,
        min_magnitude=0.1,
        max_magnitude=0.2,
        batch=8,
        iterations=150_000,
        step=0.15,
        steps=30,
    ),
    "stylegan2": Preset(
        "StyleGAN2 of FFHQ, 1024 px, in w",
        k=200,
        dipoles=512,
        space="w",
        min_magnitude=0.1,
        max_magnitude=0.2,
        batch=12,
        iterations=150_000,
        z_truncation=0.7,
        step=0.15,
        steps=20,
    ),
    "navigan-svd": NAVIGAN,
    "navigan-hessian": replace(
        NAVIGAN,
        about="StyleGAN2 of LSUN cars, 512 px, combinations of eigenvectors of the Hessian",
        paths="weights-hessian",
        min_magnitude=15.0,
        max_magnitude=60.0,
        lambda_reg=0.25,
    ),
    "faces": FACES,
    "faces-quick": replace(
        FACES, about="the bundled faces, warped paths in w; three minutes on a laptop", init_codes=16, dipoles=16, iterations=250
    ),
    "faces-linear": replace(FACES, about="the bundled faces, straight paths in w; minutes on a laptop", paths="projective"),
}
"""By name; the first five are those of WarpedGANSpace's scripts (its table of hyper-parameters), the next two Navigan's."""


def find_preset(name: str) -> Preset:
    """Return a preset by its name.

    Raises:
        SemanifoldError: for an unknown one, with the near names.
    """
    if name not in PRESETS:
        raise SemanifoldError(f"There is no preset {shown(name, 40)!r}: {near_names(name, PRESETS)}")
    return PRESETS[name]
