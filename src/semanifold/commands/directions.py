"""``semanifold directions``: a set of straight paths in closed form, in seconds and without any training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import Positional, arg

from semanifold import media
from semanifold.commands.base import Command, Model, Output, Start, facts_of, read_mask, to_arguments
from semanifold.commands.discover import LAYERS
from semanifold.commands.terminal import ProgressLine, say, show
from semanifold.errors import SemanifoldError
from semanifold.generators.base import Generator
from semanifold.latents import Latents
from semanifold.manifolds.coordinates import natural_coordinates
from semanifold.manifolds.directions import local_directions, moving_shape
from semanifold.paths.base import PathSet, default_space
from semanifold.paths.closed_form import local_paths, principal_paths, sefa_paths
from semanifold.paths.files import PATHS, save_paths
from semanifold.paths.joint import joint_paths
from semanifold.paths.linear import LinearPaths
from semanifold.storage.runs import begin_run, working

CLOSED = ("joint", "pca", "sefa")
"""Methods that need nothing but a generator."""
SHEET = "paths.png"
FRAMES, CELL = 7, 96
INDEPENDENCE = 0.2
"""How freely layers of w+ may part in local directions, as in a search for a masked manifold."""


@dataclass(frozen=True)
class Directions(Command):
    """Find K straight paths without any training, and show each in a row of pictures.

    Attributes:
        method: joint (axes along which the picture changes in ways of its own, at many codes at once), pca (GANSpace), sefa, or
            local (most change inside a mask for the least outside, at one picture).
        k: number of paths.
        space: latent space in which the paths live; w where there is one.
        layers: first and last layer of w+ that move.
        mask: where change is wanted, for local directions; written as for semanifold discover.
        start: Which picture the sheet shows, and the local directions belong to.
        model: Which generator makes the pictures.
        output: Where the results go.
    """

    method: Positional[Annotated[Literal["joint", "pca", "sefa", "local"], arg(metavar="METHOD")]]
    k: Annotated[int, arg(metavar="K")] = 20
    space: Annotated[str | None, arg(metavar="NAME")] = None
    layers: Annotated[tuple[int, int] | None, LAYERS] = None
    mask: Annotated[str | None, arg(metavar="MASK")] = None
    start: Start = field(default_factory=Start)
    model: Model = field(default_factory=Model)
    output: Output = field(default_factory=Output)

    def run(self) -> int:
        """Find the paths, write them, and draw the sheet."""
        if (self.mask is None) == (self.method == "local"):
            raise SemanifoldError(
                "Local directions need a --mask, such as --mask mouth."
                if self.mask is None
                else f"A mask means nothing to {self.method} directions; leave --mask out, or take local ones."
            )
        generator = self.model.load()
        drawn = self.start.code(generator)
        space = self.space or ("w+" if self.layers else default_space(generator))
        generator.check_space(space)
        code = generator.convert(drawn, space)
        folder = self.output.folder("directions", generator.name, self.method, *([self.mask] if self.mask else []))
        run = begin_run(folder, "directions", to_arguments(self), facts_of(generator), overwrite=self.output.overwrite)
        if run.finished:
            say(f"{folder} is finished already; --overwrite does it again.")
        else:
            with working(run):
                paths = self.find(generator, code, drawn)
                save_paths(paths, run.path(PATHS))
                draw(generator, paths, code, run.path(SHEET))
                say(f"{len(paths)} paths in {space} of {generator.name}, by {paths.info.method}.")
        show(folder / SHEET)
        say(f"Then:  semanifold traverse {folder}")
        return 0

    def find(self, generator: Generator, code: Latents, drawn: Latents) -> PathSet:
        """Return the set; ``code`` is the picture's code in the space, ``drawn`` the one that it comes from."""
        if self.method == "local":
            assert self.mask is not None
            mask = read_mask(self.mask, generator, drawn)
            moving = moving_shape(code, self.layers)
            natural = natural_coordinates(generator, code, moving, INDEPENDENCE)
            found = local_directions(generator, code, mask, self.k, layers=self.layers, coordinates=natural)
            return local_paths(generator, found.vectors, code.space, self.layers)
        return closed_paths(self.method, generator, code.space, self.k, self.layers)


def closed_paths(method: str, generator: Generator, space: str, k: int, layers: tuple[int, int] | None) -> LinearPaths:
    """Return a set of one of the :data:`CLOSED` forms, with a progress line where it takes long."""
    if method == "pca":
        return principal_paths(generator, space, k, layers)
    if method == "sefa":
        return sefa_paths(generator, k, layers, space=space)
    line = ProgressLine("directions at one code after the other")
    try:
        return joint_paths(generator, space, k, layers, watch=lambda done, of: line({"step": done, "steps": of}))
    finally:
        line.close()


@torch.no_grad()
def draw(generator: Generator, paths: PathSet, code: Latents, path: Path) -> None:
    """Draw a row of pictures for every path, from one end through the unedited picture to the other."""
    t = torch.linspace(-1, 1, FRAMES)
    rows = [media.to_uint8(paths[k].images(generator, code, t)) for k in range(len(paths))]
    sheets = [media.contact_sheet(row, columns=FRAMES, size=CELL) for row in rows]
    media.save_png(media.stack_rows(sheets, [str(k) for k in range(len(paths))]), path)
