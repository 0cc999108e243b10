"""Settings that are known to work: those of the published set-ups, and those for the bundled faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.paths.kinds import kind_named
from semanifold.training.settings import Prior, ReconstructorSettings, TrainingSettings, option_values

ALONG_RATE = 0.15
"""Paths that start along the directions of a closed form learn at this share of a preset's rate, so that they stay near."""

ALONG_REACH = 2
"""Sets with scales, of which the largest is 1, take a preset's magnitudes times this."""


PUBLISHED = TrainingSettings(min_magnitude=0.15, max_magnitude=0.25)
LENET, RESNET = ReconstructorSettings(reconstructor="lenet"), ReconstructorSettings(reconstructor="resnet")


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
        layer: layer whose weights move; a convolution in the middle if empty.
        norms: magnitudes of directions in weights are norms of the change, as published; else 1 is a change that is seen at once.
        step: length of one step when a path is traced.
        steps: steps from ``t = 0`` to ``t = 1``.
        training: how to train; its space is that of the paths.
        network: the reconstructor.
    """

    about: str
    generator: str = ""
    paths: str = "warped"
    k: int = 64
    dipoles: int = 128
    init: str = "reference"
    init_codes: int = 128
    space: str | None = "z"
    layer: str = ""
    norms: bool = False
    step: float = 0.2
    steps: int = 16
    training: TrainingSettings = PUBLISHED
    network: ReconstructorSettings = RESNET

    def values(self) -> Mapping[str, object]:
        """Return all values by their names, those of the training among them."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("training", "network")}
        return own | option_values(self) | {"differences": self.network.differences}


FACES = Preset(
    "the bundled faces, warped paths in w; minutes on a laptop",
    generator="faces",
    k=32,
    dipoles=32,
    init="joint",
    space="w",
    step=0.25,
    steps=12,
    training=TrainingSettings(
        iterations=1200,
        batch=32,
        min_magnitude=0.5,
        max_magnitude=1.5,
        paths_lr=2e-3,
        reconstructor_lr=3e-3,
        decay=0.3,
        save_every=100,
    ),
    network=ReconstructorSettings(reconstructor="lenet", differences=True),
)

NAVIGAN = Preset(
    "StyleGAN2 of LSUN cars, 512 px, combinations of singular vectors of a weight",
    paths="weights-svd",
    k=64,
    layer="convs.4",
    norms=True,
    training=TrainingSettings(iterations=100_000, batch=32, min_magnitude=300.0, max_magnitude=3500.0, lambda_reg=0.0025),
    network=ReconstructorSettings(reconstructor_size=256),
)

PRESETS: Mapping[str, Preset] = {
    "mnist": Preset(
        "SNGAN of MNIST, 32 px",
        k=64,
        dipoles=128,
        training=replace(PUBLISHED, iterations=120_000, batch=128),
        network=LENET,
    ),
    "animefaces": Preset(
        "SNGAN of AnimeFaces, 64 px",
        step=0.25,
        steps=24,
        training=TrainingSettings(iterations=120_000, batch=128, min_magnitude=0.25, max_magnitude=0.35),
        network=LENET,
    ),
    "biggan": Preset(
        "BigGAN-128 of ImageNet, class 239",
        k=120,
        dipoles=256,
        training=TrainingSettings(
            iterations=150_000, batch=32, min_magnitude=0.1, max_magnitude=0.2, prior=Prior(classes=(239,))
        ),
    ),
    "proggan": Preset(
        "ProgGAN of CelebA-HQ, 1024 px",
        k=200,
        dipoles=512,
        step=0.15,
        steps=30,
        training=TrainingSettings(iterations=150_000, batch=8, min_magnitude=0.1, max_magnitude=0.2),
    ),
    "stylegan2": Preset(
        "StyleGAN2 of FFHQ, 1024 px, in w",
        k=200,
        dipoles=512,
        space="w",
        step=0.15,
        steps=20,
        training=TrainingSettings(
            iterations=150_000, batch=12, min_magnitude=0.1, max_magnitude=0.2, prior=Prior(z_truncation=0.7)
        ),
    ),
    "navigan-svd": NAVIGAN,
    "navigan-hessian": replace(
        NAVIGAN,
        about="StyleGAN2 of LSUN cars, 512 px, combinations of eigenvectors of the Hessian",
        paths="weights-hessian",
        training=replace(NAVIGAN.training, min_magnitude=15.0, max_magnitude=60.0, lambda_reg=0.25),
    ),
    "faces": FACES,
    "faces-quick": replace(
        FACES,
        about="the bundled faces, warped paths in w; three minutes on a laptop",
        init_codes=16,
        dipoles=16,
        training=replace(FACES.training, iterations=250),
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


def preset_for(generator: str, kind: str | None) -> Preset | None:
    """Return what a training of a bundled generator begins from where no preset is named; None for other generators.

    Args:
        generator: its name.
        kind: of paths, one of :data:`~semanifold.paths.kinds.KINDS`: a preset of paths that the same function makes goes first.
    """
    own = [preset for preset in PRESETS.values() if preset.generator and preset.generator == generator]
    alike = [preset for preset in own if kind is not None and kind_named(kind).make == kind_named(preset.paths).make]
    return next(iter([*alike, *own]), None)
