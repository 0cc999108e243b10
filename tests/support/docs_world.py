"""What a reader of the docs has at hand: small files under the names that pages use, and variables that snippets begin with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from semanifold.app import showing
from semanifold.app.actions import directions, discover, paths, placing, seen, train, weights
from semanifold.app.actions.directions import closed_paths, draw
from semanifold.app.commands.discover import Search
from semanifold.app.commands.invert import InversionOptions
from semanifold.app.showing import film
from semanifold.core.latents import Latents
from semanifold.edits import operations
from semanifold.generators import coordinates, loading, parts
from semanifold.generators.biggan.network import BigGAN, BigGANConfig
from semanifold.generators.stylegan2.layouts import from_ada
from semanifold.generators.stylegan2.network import StyleGAN2
from semanifold.images import films, plots
from semanifold.inversion import InversionSettings, TuningSettings
from semanifold.landmarks import faces
from semanifold.manifolds import ManifoldSettings, stages, start
from semanifold.paths import channels, weight_ranges, weight_trained
from semanifold.paths.files import save_paths
from semanifold.paths.joint import joint_axes, joint_paths
from semanifold.paths.warped import warped_paths
from semanifold.paths.weight_axes import changes_of, joint_weight_paths
from semanifold.paths.weight_hessian import hessian_paths, leading
from semanifold.paths.weight_masked import masked_weight_paths
from semanifold.paths.weight_methods import weight_paths
from semanifold.training import purity
from semanifold.training.presets import PRESETS, Preset
from semanifold.worlds.faces import regions

NAMES = ("smile", "yaw", "age", "pitch")
"""Names of paths that the docs use."""


def stylegan2(path: Path) -> None:
    """A small snapshot of stylegan2-ada-pytorch."""
    from support.checkpoint_files import PLAIN, ada_state, write_nvidia

    write_nvidia(path, ada_state(PLAIN))


def biggan(path: Path) -> None:
    """A small BigGAN with as many classes as the real ones."""
    from support.published_generators import as_published

    torch.save(as_published(BigGAN(BigGANConfig(8, 1000, 3, (9, 8, 8, 4), attention=(8, 16)), seed=1).state_dict()), path)


def own_code(path: Path) -> None:
    """A generator and an attribute of one's own."""
    path.write_text(
        "import torch\nfrom semanifold import wrap\n"
        "generator = wrap(lambda z: z[:, :3, None, None].tanh().expand(-1, 3, 16, 16), latent_shape=(4,))\n"
        "def blue(images):\n    return images[:, 2].mean((1, 2))\n"
    )


def path_set(path: Path) -> None:
    """Warped paths of the bundled faces, with names."""
    from semanifold.generators.loading import load_generator

    warped = warped_paths(load_generator("faces"), "w", len(NAMES), 2)
    save_paths(warped.with_info(names=dict(enumerate(NAMES))), path)


def less_work(patch: pytest.MonkeyPatch) -> None:
    """Let snippets and commands, which mostly leave the amount of work open, do little."""
    usually(patch, joint_paths, samples=2, size=8)
    usually(patch, joint_axes, samples=2, size=8)
    usually(patch, closed_paths, codes=2)
    usually(patch, draw, faces=2)
    patch.setattr(directions, "FRAMES", 3)
    patch.setattr(discover, "PREVIEWED", 2)
    usually(patch, film, seconds=0.2)
    patch.setattr(showing, "SECONDS", 0.2)
    patch.setattr(operations, "SAMPLES", 2)
    for settings in (ManifoldSettings, Search):
        usually(patch, settings.__init__, frames=5, steps=2)
    for name, less in (("PROBES", 2), ("FEWER", 2), ("TRIALS", 2), ("STRANGERS", 2)):
        patch.setattr(start, name, less)
    patch.setattr(stages.Search, "restarts", 0)  # so poor a start is no reason to begin anew
    patch.setattr(stages, "MOST_SHRINKS", 0)
    patch.setattr(parts, "SAMPLES", parts.FEWEST)
    patch.setattr(channels, "PROBES", 1)
    usually(patch, channels.channel_paths, samples=2)
    usually(patch, hessian_paths, tolerance=0.5)
    usually(patch, joint_weight_paths, kept=4)
    usually(patch, masked_weight_paths, kept=4)
    usually(patch, changes_of, probes=2)
    usually(patch, leading, block=2)
    patch.setattr(weights, "REFINEMENT", 1)
    usually(patch, weight_paths, refine=1)
    usually(patch, weight_ranges.calibrated, samples=2)
    for name, less in (("OWN", 4), ("UNSEEN", 2), ("COMPONENTS", 2), ("NORMS", 2), ("STRANGERS", 4)):
        patch.setattr(weight_ranges, name, less)
    patch.setattr(weight_trained, "TERMS", 4)
    patch.setattr(weights, "SAMPLES", 2)
    patch.setattr(weight_trained, "SAMPLES", 2)
    patch.setattr(placing, "LOOKED_AT", 2)
    patch.setattr(faces, "FINEST", 2)  # the faces of the photograph are large
    looked_at_once(patch)
    drawn_once(patch)
    patch.setattr(loading, "_bundled", cache(loading._bundled))
    patch.setattr(coordinates, "SAMPLES", 256)
    patch.setattr(start, "SAMPLES", 16)
    patch.setattr(regions, "_SAMPLES", 4)
    patch.setattr(seen, "LOOKED_AT", 2)
    patch.setattr(train, "BEND_CODES", 2)
    patch.setattr(purity, "STEPS", 4)
    for settings in (InversionSettings, InversionOptions):
        usually(patch, settings.__init__, starts=2, tries=1, steps=2)
    at_most(patch, ManifoldSettings, frames=5, steps=2)
    at_most(patch, InversionSettings, steps=2)
    usually(patch, TuningSettings.__init__, steps=1)
    for name, preset in PRESETS.items():
        patch.setitem(cast("dict[str, Preset]", PRESETS), name, replace(preset, init_codes=2))


def usually(patch: pytest.MonkeyPatch, function: Any, **values: object) -> None:
    """Give a function other defaults."""
    arguments = inspect.signature(function).parameters.values()
    defaults = {argument.name: argument.default for argument in arguments if argument.default is not inspect.Parameter.empty}
    named = function.__kwdefaults__ or {}
    assert values.keys() <= defaults.keys()
    defaults |= values
    patch.setattr(function, "__defaults__", tuple(value for name, value in defaults.items() if name not in named))
    patch.setattr(function, "__kwdefaults__", {name: defaults[name] for name in named})


def at_most(patch: pytest.MonkeyPatch, settings: type, **most: int) -> None:
    """Let settings hold no more than this, whatever a page says."""
    make = settings.__init__

    @wraps(make)
    def init(self: object, *values: object, **named: Any) -> None:
        less = {name: min(named[name], limit) for name, limit in most.items() if named.get(name) is not None}
        make(self, *values, **named | less)

    patch.setattr(settings, "__init__", init)


def coarse_faces(patch: pytest.MonkeyPatch, side: int = 4) -> None:
    """Let the bundled faces make their pictures of 64 pixels from smaller ones: more than half of the time of most commands."""
    images = StyleGAN2.images

    def enlarged(self: StyleGAN2, latents: Latents, *, size: int | None = None, noise: Any = None) -> torch.Tensor:
        if self.config.size != 64 or size not in (None, 64):
            return images(self, latents, size=size, noise=noise)
        return interpolate(images(self, latents, size=side, noise=noise), size=(64, 64), mode="bilinear")

    patch.setattr(StyleGAN2, "images", enlarged)


DRAWN: dict[tuple[object, ...], Any] = {}
"""The first figure and the first film of each size and kind."""


def drawn_once(patch: pytest.MonkeyPatch) -> None:
    """Let heat maps, plots, maps and films of one size and one kind be made once, however many commands write some."""
    heat, encoded = plots._heat_pictures, films._ffmpeg

    def heat_pictures(many: Any, names: Any) -> Any:
        key = ("heat", len(many), len(names), many[0].plain.shape, many[0].mask is None)
        if key not in DRAWN:
            DRAWN[key] = heat(many, names)
        return DRAWN[key].copy()

    def once(make: Callable[..., object], sizes: Callable[..., tuple[object, ...]]) -> Callable[..., Path]:
        def drawn(*values: Any, **options: Any) -> Path:
            path = next(value for value in values if isinstance(value, Path))
            key = (make, *sizes(*values), *options.items())
            if key not in DRAWN:
                make(*values, **options)
                DRAWN[key] = path.read_bytes()
            path.write_bytes(DRAWN[key])
            return path

        return drawn

    def ffmpeg(frames: Any, part: Path, fps: float, size: int, output: list[str], shown: list[int], name: str) -> None:
        key = ("film", frames[0].shape, fps, size, *output, *shown)
        if key not in DRAWN:
            encoded(frames, part, fps, size, output, shown, name)
            DRAWN[key] = part.read_bytes()
        part.write_bytes(DRAWN[key])

    def of_codes(codes: Any, t: Any, *_: Any) -> tuple[object, ...]:
        return len(codes), len(t)

    def of_names(_: Any, rows: Any, columns: Any, *__: Any) -> tuple[object, ...]:
        return len(rows), len(columns)

    patch.setattr(plots, "_heat_pictures", heat_pictures)
    patch.setattr(plots, "path_plot", once(plots.path_plot, of_codes))
    patch.setattr(paths, "change_map", once(paths.change_map, of_names))
    patch.setattr(films, "_ffmpeg", ffmpeg)


SEEN: dict[tuple[object, ...], Any] = {}
"""What the detector took for faces, and what the mesh made of it, by the picture and what was asked."""


def looked_at_once(patch: pytest.MonkeyPatch) -> None:
    """Let the detector and the mesh look at the same picture once only, however many commands are given it."""
    look, mesh = faces.candidates, faces.face_at

    def picture(photograph: Image.Image) -> tuple[object, ...]:
        return sha256(photograph.tobytes()).digest(), photograph.size, photograph.mode

    def candidates(photograph: Image.Image, finest: int) -> list[torch.Tensor]:
        key = (*picture(photograph), finest)
        if key not in SEEN:
            SEEN[key] = look(photograph, finest)
        return [place.clone() for place in SEEN[key]]

    def face_at(photograph: Image.Image, candidate: torch.Tensor) -> faces.Face | None:
        key = (*picture(photograph), candidate.numpy().tobytes())
        if key not in SEEN:
            SEEN[key] = mesh(photograph, candidate)
        return SEEN[key]

    patch.setattr(faces, "candidates", candidates)
    patch.setattr(faces, "face_at", face_at)


def pix2pixhd(path: Path) -> None:
    """A small pix2pixHD, its options, and maps of labels and instances."""
    import numpy as np
    from support.reference import REFERENCE, settings

    found = min((REFERENCE / "pix2pixhd").glob("*/latest_net_G.pth"))
    path.write_bytes(found.read_bytes())
    config = settings("pix2pixhd")
    labels = config["label_nc"]
    edges = config["variants"][found.parent.name]["define_G"]["input_nc"] > labels
    (path.parent / "opt.txt").write_text(f"label_nc: {labels}\nno_instance: {not edges}\n")
    for kind, most in (("label", labels), ("inst", 40)):
        (path.parent / f"test_{kind}").mkdir()
        for i in range(2):
            blocks = np.random.default_rng(i).integers(0, most, (4, 8), dtype=np.uint8)
            Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(path.parent / f"test_{kind}" / f"street{i}.png")


FILES = {
    "latest_net_G.pth": pix2pixhd,
    "ffhq.pkl": stylegan2,
    "stylegan2-ffhq-config-f.pkl": stylegan2,
    "G_ema.pth": biggan,
    "mine.py": own_code,
    "named.safetensors": path_set,
    "paths.safetensors": path_set,
}
"""File names of the docs, and what makes a stand-in."""


def bring_files(folder: Path, text: str) -> None:
    """Put the stand-ins that a page speaks of into a folder, unless a command of the page makes them."""
    for name, make in FILES.items():
        if name in text and f"--name {name}" not in text:
            make(folder / name)


def prelude(page: str) -> dict[str, Any]:
    """The variables that the snippets of a page begin with; a page imports what a reader must import."""
    import semanifold

    names: dict[str, Any] = {"__name__": "docs", "torch": torch, "semanifold": semanifold, "sm": semanifold}
    match page:
        case "docs/attributes.md":
            names |= {"images": torch.rand(3, 3, 64, 64) * 2 - 1}
            names |= {"reference": names["images"][:1]}
        case "docs/generators.md":
            names |= {"weights": torch.nn.functional.one_hot(torch.tensor([1]), 1000).float()}
        case "docs/loading.md":
            names |= {
                "decoder": torch.nn.Sequential(torch.nn.Linear(10, 48), torch.nn.Unflatten(1, (3, 4, 4)), torch.nn.Sigmoid())
            }
        case "docs/stylegan2.md":
            from support.checkpoint_files import PLAIN, ada_state

            names |= {"StyleGAN2": StyleGAN2, "from_ada": from_ada, "state": ada_state(PLAIN)}
    return names
