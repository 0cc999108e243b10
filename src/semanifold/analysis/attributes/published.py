"""The published attribute networks of faces, read together: one detector and one crop serve them all."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

from semanifold.analysis.attributes.arcface import ArcFace
from semanifold.analysis.attributes.base import Attribute, AttributeReader
from semanifold.analysis.attributes.checkpoints import find_checkpoint, loaded
from semanifold.analysis.attributes.fan_au import ACTION_UNITS, FanAU
from semanifold.analysis.attributes.residual_readers import GRADED, RACES, CelebA5, FairFace, Hopenet, degrees, expected
from semanifold.analysis.attributes.s3fd import MEAN_BGR, S3FD, best_faces
from semanifold.analysis.attributes.sampling import cut_out, normalised, rgb, shorter_side
from semanifold.core.errors import SemanifoldError, near_names

SIDE = 256
"""Side of the picture that faces are looked for in; boxes and margins are in its pixels."""

MARGINS = (50.0, 50.0, 50.0, 30.0)
"""What a crop takes in beyond the box of the face, to the left, above, to the right and below (WarpedGANSpace)."""

CHUNK = 16
"""Pictures that go through the networks at once."""


class Views:
    """Some pictures as the networks want to see them; what nobody asks for is not made."""

    def __init__(self, images: Tensor, detector: S3FD | None) -> None:
        """Look at pictures.

        Args:
            images: ``[n, 1 or 3, h, w]`` in [-1, 1].
            detector: finds the faces, where a network needs them.
        """
        self.pictures, self.detector = rgb(images), detector

    @cached_property
    def square(self) -> Tensor:
        """The middle squares ``[n, 3, 256, 256]``, RGB in [0, 1]."""
        return shorter_side(self.pictures, SIDE)

    @cached_property
    def faces(self) -> Tensor:
        """Left, top, right and bottom in pixels of :attr:`square`, and probability, of the surest face ``[n, 5]``; or NaN."""
        assert self.detector is not None
        blue_first = (self.square * 255).flip(1)
        return best_faces(self.detector(normalised(blue_first, MEAN_BGR, (1.0, 1.0, 1.0))))

    def crops(self, padding: float, size: int) -> Tensor:
        """Return the faces ``[n, 3, size, size]``, RGB in [0, 1]; the whole square if there is none.

        The box is widened by ``padding`` times its own width and height on every side, then by :data:`MARGINS`, and kept inside
        of the picture.
        """
        boxes = self.faces[:, :4]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        outwards = boxes.new_tensor([-1, -1, 1, 1])
        wider = boxes + outwards * (padding * sides + boxes.new_tensor(MARGINS))
        whole = boxes.new_tensor([0, 0, SIDE, SIDE])
        return cut_out(self.square, wider.clamp(0, SIDE).where(boxes.isfinite(), whole), size)


@dataclass(frozen=True)
class PublishedNetwork:
    """One published network: where its weights are, what it looks at, and what its outputs mean.

    Attributes:
        entry: name of the weights in the zoo.
        files: usual names of the file, the published program's first.
        make: makes the network for a file of a given name.
        outputs: ``(network, views) -> [n, ...]`` what the network says.
        values: ``(outputs of n pictures, outputs of the reference [1, ...], network) -> [n, len(attributes)]``.
        columns: every attribute that a network of this kind can have.
        needs_face: whether a picture without a face has no value.
        having: which of the columns a network has, in the order of its values; all of them when None.
    """

    entry: str
    files: tuple[str, ...]
    make: Callable[[str], nn.Module]
    outputs: Callable[[nn.Module, Views], Tensor]
    values: Callable[[Tensor, Tensor, nn.Module], Tensor]
    columns: tuple[Attribute, ...]
    needs_face: bool = True
    having: Callable[[nn.Module], tuple[Attribute, ...]] | None = None

    def attributes(self, network: nn.Module) -> tuple[Attribute, ...]:
        """Return the columns for a network."""
        return self.columns if self.having is None else self.having(network)


def fairface_values(outputs: Tensor, reference: Tensor, network: FairFace) -> Tensor:
    """Return age, gender, race, and the probability of each race ``[n, 3 + races]`` from logits ``[n, 18]``.

    Age is the mean class of nine, 0 (0-2 years) to 1 (70 and more); gender the probability of female. Races have no order, so
    ``race`` is how far the distribution is from the reference's: half the sum of the absolute differences, 0 (the same) to 1.
    """
    races, first = outputs[:, : network.races].softmax(1), reference[:, : network.races].softmax(1)
    columns = [expected(outputs[:, 9:18]), outputs[:, 7:9].softmax(1)[:, 1], (races - first).abs().sum(1) / 2]
    return torch.cat([torch.stack(columns, 1), races], 1)


def fairface_of(file: str) -> FairFace:
    """Return a FairFace for a file: four races where its name says so (``4race``, ``multi_4``), else seven.

    Both kinds have 18 outputs, and nothing inside of the files tells them apart.
    """
    return FairFace(4 if re.search(r"4_?race|multi_4", file) else 7)


def fairface_attributes(races: Iterable[str]) -> tuple[Attribute, ...]:
    """Return the columns of :func:`fairface_values` for a network of some races."""
    return (
        Attribute("age"),
        Attribute("gender"),
        Attribute("race", relative=True),
        *(Attribute(f"race_{race}") for race in races),
    )


def _aligned(network: nn.Module, views: Views) -> Tensor:
    """The fixed crop of aligned faces that ArcFace is given, whatever a detector finds."""
    return network(adaptive_avg_pool2d(views.square[:, :, 35:223, 32:220] * 2 - 1, 112))


MEASURES: dict[str, PublishedNetwork] = {
    "face": PublishedNetwork(
        entry="sfd",
        files=("s3fd-619a316812.pth", "s3fd.pth"),
        make=lambda file: S3FD(),
        outputs=lambda network, views: views.faces,
        values=lambda faces, reference, network: (faces[:, 2:4] - faces[:, :2]) / SIDE,
        columns=(Attribute("face_width"), Attribute("face_height")),
    ),
    "identity": PublishedNetwork(
        entry="arcface",
        files=("model_ir_se50.pth",),
        make=lambda file: ArcFace(),
        outputs=_aligned,
        values=lambda faces, reference, network: cosine_similarity(faces, reference)[:, None],
        columns=(Attribute("identity", relative=True),),
        needs_face=False,
    ),
    "fairface": PublishedNetwork(
        entry="fairface",
        files=(
            "fairface_alldata_4race_20191111.pt",
            "res34_fair_align_multi_4_20190809.pt",
            "res34_fair_align_multi_7_20190809.pt",
            "fairface_alldata_20191111.pt",
        ),
        make=fairface_of,
        outputs=lambda network, views: network(normalised(views.crops(0.25, 224))),
        values=lambda outputs, reference, network: fairface_values(outputs, reference, cast(FairFace, network)),
        columns=fairface_attributes(dict.fromkeys(race for races in RACES.values() for race in races)),
        having=lambda network: fairface_attributes(RACES[cast(FairFace, network).races]),
    ),
    "pose": PublishedNetwork(
        entry="hopenet",
        files=("hopenet_alpha2.pkl", "hopenet_robust_alpha1.pkl", "hopenet_alpha1.pkl"),
        make=lambda file: Hopenet(),
        outputs=lambda network, views: network(normalised(views.crops(0, 224))),
        values=lambda outputs, reference, network: degrees(outputs) * (math.pi / 180),
        columns=(
            Attribute("yaw", -1.1, 1.1, "radians"),
            Attribute("pitch", -0.5, 0.5, "radians"),
            Attribute("roll", -0.3, 0.3, "radians"),
        ),
    ),
    "au": PublishedNetwork(
        entry="fan-au",
        files=("disfa_adaptation_f0.pth",),
        make=lambda file: FanAU(),
        outputs=lambda network, views: network(views.crops(0, SIDE)).amax((2, 3)),
        values=lambda outputs, reference, network: outputs,
        columns=tuple(Attribute(name, 0, 5) for name in ACTION_UNITS),
    ),
    "celeba": PublishedNetwork(
        entry="celeba-attributes",
        files=("eval_predictor.pth.tar",),
        make=lambda file: CelebA5(),
        outputs=lambda network, views: network(normalised(shorter_side(views.pictures, 224))),
        values=lambda outputs, reference, network: expected(outputs),
        columns=tuple(Attribute(name) for name in GRADED),
        needs_face=False,
    ),
}
"""The published networks, by what they measure."""

ALL = "published"
"""Name of all of them together."""


def measure_of() -> dict[str, str]:
    """Return every single attribute, and the measure that it belongs to."""
    return {attribute.name: name for name, measure in MEASURES.items() for attribute in measure.columns}


def published_names() -> tuple[str, ...]:
    """Return all that :func:`published_reader` understands."""
    return tuple(dict.fromkeys((ALL, *MEASURES, *measure_of())))


class PublishedAttributes(AttributeReader):
    """Reads the attributes of some published networks; a picture without a face has NaN where one is needed."""

    def __init__(self, networks: dict[str, nn.Module], columns: Sequence[str] = (), detector: S3FD | None = None) -> None:
        """Make the reader; :func:`published_reader` does it from files.

        Args:
            networks: frozen networks by the name of their measure, all on one device.
            columns: names of the attributes to return; all of the networks' when empty.
            detector: finds faces for the networks that need one; ``networks["face"]`` when None.

        Raises:
            SemanifoldError: if an attribute is none of the networks'.
        """
        self.networks = networks
        self.detector = cast("S3FD | None", detector or networks.get("face"))
        every = [attribute for name, network in networks.items() for attribute in MEASURES[name].attributes(network)]
        names = [attribute.name for attribute in every]
        for name in columns:
            if name not in names:
                raise SemanifoldError(f"The loaded networks do not read {name!r}: {near_names(name, names)}")
        self.order = [names.index(name) for name in columns] or list(range(len(every)))
        self.attributes = tuple(every[index] for index in self.order)

    @torch.no_grad()
    def read(self, images: Tensor, reference: Tensor) -> Tensor:
        """See :meth:`AttributeReader.read`; returned float32 on the device of the pictures."""
        device = next(next(iter(self.networks.values())).parameters()).device
        views = Views(reference.to(device), self.detector)
        first = {name: self._outputs(name, views) for name, network in self.networks.items() if _relative(name, network)}
        chunks = [self._values(Views(chunk.to(device), self.detector), first) for chunk in images.split(CHUNK)]
        return torch.cat(chunks)[:, self.order].to(images.device)

    def _outputs(self, name: str, views: Views) -> Tensor:
        outputs = MEASURES[name].outputs(self.networks[name], views)
        if not MEASURES[name].needs_face:
            return outputs
        seen = views.faces[:, 4].isfinite()
        return outputs.where(seen.view(-1, *[1] * (outputs.ndim - 1)), torch.nan)

    def _values(self, views: Views, first: dict[str, Tensor]) -> Tensor:
        columns = []
        for name, network in self.networks.items():
            outputs = self._outputs(name, views)
            columns.append(MEASURES[name].values(outputs, first.get(name, outputs[:1]), network))
        return torch.cat(columns, 1)


def _relative(name: str, network: nn.Module) -> bool:
    return any(attribute.relative for attribute in MEASURES[name].attributes(network))


def published_reader(
    names: str | Iterable[str],
    folder: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
) -> PublishedAttributes:
    """Return a reader of published networks of faces, with the weights that WarpedGANSpace (arXiv:2109.13357) uses.

    | name | attributes | network |
    |---|---|---|
    | ``face`` | face_width, face_height as shares of the picture | S3FD |
    | ``identity`` | cosine to the reference picture | ArcFace IR-SE50 |
    | ``fairface`` | age, gender, race, race_white, ... | FairFace |
    | ``pose`` | yaw, pitch, roll in radians | Hopenet |
    | ``au`` | au_12_Lip_Corner_Puller and eleven others, 0..5 | FAN-AU |
    | ``celeba`` | celeba_bangs, _eyeglasses, _beard, _smiling, _age | Talk-to-Edit's ResNet-50 |

    All but ``identity`` and ``celeba`` look at the surest face and have no value (NaN) if there is none.

    Args:
        names: the names above, single attributes such as ``"yaw"``, or ``"published"`` for everything.
        folder: where the files of weights are looked for, itself and one level below; the zoo's when None.
        device: where the networks shall lie; pictures are brought there.

    Raises:
        SemanifoldError: for an unknown name, a missing file (saying how to get it), or one that is not what it should be.
    """
    asked = [names] if isinstance(names, str) else list(names)
    for name in asked:
        if name not in published_names():
            raise SemanifoldError(f"There is no published attribute {name!r}: {near_names(name, published_names())}")
    asked = [part for name in asked for part in (MEASURES if name == ALL else [name])]
    measures = measure_of()
    networks = {measure: _load(measure, folder) for measure in dict.fromkeys(measures.get(name, name) for name in asked)}
    columns: list[str] = []
    for name in asked:
        single = name in measures
        columns += [name] if single else [attribute.name for attribute in MEASURES[name].attributes(networks[name])]
    detector = None
    if "face" not in networks and any(MEASURES[name].needs_face for name in networks):
        detector = cast(S3FD, _load("face", folder).to(device))
    moved = {name: network.to(device) for name, network in networks.items()}
    return PublishedAttributes(moved, tuple(dict.fromkeys(columns)), detector)


def _load(name: str, folder: str | os.PathLike[str] | None) -> nn.Module:
    measure = MEASURES[name]
    path: Path = find_checkpoint(measure.entry, measure.files, folder)
    return loaded(lambda: measure.make(path.name), path)
