"""Saying what a file is: :func:`inspect_file`, for any file at all."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from semanifold.core.errors import SemanifoldError, shown
from semanifold.generators.architectures import OWN, Network, identify, other_network
from semanifold.generators.loading import from_contents
from semanifold.storage import zoo
from semanifold.storage.arrays import leaves_of, open_arrays, spelled
from semanifold.storage.checkpoints import Networks, Value, networks_in, read_header
from semanifold.storage.containers import Contents, read
from semanifold.storage.inert import UnreadableError
from semanifold.storage.pictures import picture_size

LONGEST = 1000
"""Letters of a line that people see; the rest is in the fields."""


@dataclass(frozen=True)
class Inspection:
    """What a file is; ``str()`` of it is for people.

    Attributes:
        path: the file, or folder.
        format: its container, in words.
        size: bytes.
        sha256: of the file; empty for a folder.
        holds: what is inside, in words.
        usable: whether :func:`~semanifold.generators.loading.load_generator` loads it.
        advice: what to do with it, one sentence.
        architecture: the network that its weights belong to, such as ``"StyleGAN2 generator"``, or None.
        resolution: height of the pictures in pixels, or None.
        width: their width.
        channels: channels of the pictures, or None.
        classes: number of classes of a class-conditional generator, else 0.
        latents: latent spaces and the shape of a code in each.
        parameters: how many numbers the weights are.
        tensors: name, shape and type of each tensor.
        fingerprint: the generator's, which edits refer to, or None.
        notes: what the file says about itself: source, licence and the like.
    """

    path: str
    format: str
    size: int
    sha256: str
    holds: str
    usable: bool
    advice: str
    architecture: str | None = None
    resolution: int | None = None
    width: int | None = None
    channels: int | None = None
    classes: int = 0
    latents: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    parameters: int = 0
    tensors: tuple[tuple[str, tuple[int, ...], str], ...] = ()
    fingerprint: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [("file", f"{shown(self.path, 200)} ({_amount(self.size)})"), ("format", self.format), ("holds", self.holds)]
        if self.resolution:
            rows.append(("pictures", f"{self.channels} x {self.resolution} x {self.width}"))
        if self.latents:
            rows.append(("latents", ", ".join(f"{space} {' x '.join(map(str, shape))}" for space, shape in self.latents.items())))
        if self.classes:
            rows.append(("classes", str(self.classes)))
        if self.tensors:
            rows.append(("weights", f"{self.parameters:,} numbers in {len(self.tensors)} tensor{'s' * (len(self.tensors) != 1)}"))
        if self.fingerprint:
            rows.append(("fingerprint", self.fingerprint))
        rows += [*self.notes.items(), *([("SHA-256", self.sha256)] if self.sha256 else [])]
        lines = [f"{shown(name, 12):<12} {shown(text, LONGEST)}" for name, text in rows]
        for name, shape, kind in self.tensors[:8]:
            lines.append(f"  {shown(name, 60):<48} {kind:<9} {list(shape)}")
        if len(self.tensors) > 8:
            lines.append(f"  ... and {len(self.tensors) - 8} more")
        return "\n".join([*lines, shown(self.advice, LONGEST)])


def inspect_file(path: str | os.PathLike[str]) -> Inspection:
    """Say what a file is, whatever it is; nothing from it is run.

    Raises:
        SemanifoldError: if there is no such file or it cannot be read.
    """
    contents = read(path)
    seen = Inspection(os.fspath(path), contents.format, contents.size, contents.sha256, "nothing", usable=False, advice="")
    if contents.tree is None:
        return _no_weights(seen, contents)
    try:
        header = read_header(contents)
        if header and not str(header["format"]).startswith("semanifold-generator"):
            return _semanifold_file(_with_table(seen, _named(contents.tree)), header)
        networks = networks_in(contents.tree)
    except (SemanifoldError, UnreadableError) as error:
        return replace(seen, holds="a damaged file", advice=f"It cannot be used: {error}")
    try:
        network = identify(networks, header)
    except (SemanifoldError, UnreadableError) as error:
        tabled = _with_table(seen, networks.values)
        return replace(tabled, holds="weights that cannot be loaded", advice=f"It cannot be used: {error}")
    if network is None and other_network(networks.values, anywhere=True) is None and len(networks.values) < 4:
        return _tensors_only(seen, _named(contents.tree))
    return _network(seen, contents, networks, network)


def _network(seen: Inspection, contents: Contents, networks: Networks, network: Network | None) -> Inspection:
    kind = network.architecture.title if network else other_network(networks.values, anywhere=True)
    part = f" (its part {shown(network.weights.part, 60)})" if network and network.weights.part else ""
    seen = _with_table(seen, network.weights.state if network else networks.values)
    seen = replace(seen, architecture=kind and kind.split(" ", 1)[1])
    remarks: list[str] = []
    try:
        generator = from_contents(seen.path, contents, say=remarks.append)
    except SemanifoldError as error:
        holds = f"{kind} that cannot be loaded" if network else kind or "an unknown network"
        licence = zoo.licence_of(seen.path, contents.sha256)
        return replace(seen, holds=holds + part, advice=str(error), notes={"licence": licence} if licence else {})
    layout = OWN if network is None else network.architecture.layouts.get(network.layout, OWN)
    channels, resolution, width = generator.picture_shape
    notes = {"source": generator.source, "licence": generator.licence}
    return replace(
        seen,
        holds=f"{kind} of {layout}{part}",
        usable=True,
        advice=f"Use it with generator={seen.path}",
        resolution=resolution,
        width=width,
        channels=channels,
        classes=generator.classes,
        latents=generator.shapes,
        parameters=sum(value.numel() for value in generator.parameters()),
        fingerprint=generator.fingerprint,
        notes=notes | ({"remarks": " ".join(remarks)} if remarks else {}),
    )


def _semanifold_file(seen: Inspection, header: Mapping[str, object]) -> Inspection:
    words = {key: shown(str(value), 100) for key, value in header.items() if isinstance(value, str | int | float)}
    kind = words.get("format", "").removeprefix("semanifold-").rpartition("-")[0] or "file"
    holds = f"an edit of semanifold, {words.get('name', 'unnamed')!r}" if kind == "edit" else f"a semanifold {kind}"
    advice = "Play it with 'semanifold render'; it is no generator." if kind == "edit" else "It is no generator."
    return replace(seen, holds=holds, advice=advice, notes=words)


def _tensors_only(seen: Inspection, tensors: Mapping[str, Value]) -> Inspection:
    if not tensors:
        return replace(seen, holds="no tensors", advice="There is nothing in it that semanifold can use.")
    holds, advice = _direction({tuple(value.shape) for value in tensors.values()})
    return replace(_with_table(seen, tensors), holds=holds, advice=advice)


def _direction(shapes: set[tuple[int, ...]]) -> tuple[str, str]:
    """Say what arrays of these shapes may be, and what to do; directions have one-dimensional tables of their spreads beside."""
    width = max((shape[-1] for shape in shapes if shape), default=0)
    if width > 1 and all(len(shape) <= 1 or (len(shape) <= 3 and shape[-1] == width) for shape in shapes):
        return (
            f"codes or directions of {width} latent dimensions, by their shape",
            f"It is no generator; it may go with one whose latents have {width} dimensions.",
        )
    return "arrays", "It is no generator, nor codes or directions."


def _named(tree: object) -> dict[str, Value]:
    """Return the arrays in the contents of a file by the names that people see."""
    return {spelled(place): value for place, value in leaves_of(tree).items()}


def _with_table(seen: Inspection, tensors: Mapping[str, Value]) -> Inspection:
    rows = tuple((key, tuple(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in tensors.items())
    return replace(seen, tensors=rows, parameters=sum(math.prod(shape) for _, shape, _ in rows))


def _no_weights(seen: Inspection, contents: Contents) -> Inspection:
    """Describe a file that is no container of weights."""
    seen = replace(seen, holds="no weights", advice=f"The file {contents.problem}.")
    try:
        if contents.format.startswith(("a numpy array", "a file of numpy arrays")):
            return _tensors_only(seen, _named(open_arrays(Path(seen.path)).tree))
        if contents.format.startswith("a picture"):
            width, height = picture_size(seen.path)
            return replace(seen, holds=f"a picture of {width} x {height} pixels")
    except SemanifoldError as error:
        return replace(seen, advice=f"It cannot be used: {error}")
    except (ValueError, OSError, SyntaxError, EOFError, RuntimeError, struct.error, Image.DecompressionBombError) as error:
        return replace(seen, advice=f"The file is damaged ({shown(str(error))}); get a fresh copy.")
    return seen


def _amount(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size:,} bytes"
