"""Reconstructor: the network that says from two pictures which path leads from one to the other, and how far."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semanifold.core.errors import SemanifoldError, near_names
from semanifold.core.extras import missing_package
from semanifold.core.shapes import Pictures
from semanifold.storage.arrays import write_torch
from semanifold.storage.checkpoints import materialise
from semanifold.storage.containers import read
from semanifold.storage.inert import TensorRecord, UnreadableError

LARGEST = 4096
"""Height and width of the pictures that a reconstructor looks at: more is a typo."""


class Reconstructor(nn.Module, ABC):
    """``(picture, shifted picture) -> (which path, how far)`` (Voynov & Babenko 2020, arXiv:2002.03754, section 3).

    The two pictures are laid on top of one another, 2c channels. The names of the weights are those of WarpedGANSpace
    (arXiv:2109.13357), whose ``reconstructor.pt`` is read and written.

    Attributes:
        kind: what settings and files call this network.
        least: height and width of the smallest pictures that it can look at.
        paths: K, the number of paths it tells apart.
        channels: c, colours of one picture.
        size: height and width that pictures are brought to first; None leaves them as they are.
        path_indices: from features to K scores.
        shift_magnitudes: from features to one number.
    """

    kind: ClassVar[str]
    least: ClassVar[int] = 1
    paths: int
    channels: int
    size: int | None
    path_indices: nn.Module
    shift_magnitudes: nn.Module

    @property
    @abstractmethod
    def stem(self) -> nn.Conv2d:
        """The first convolution, ``[f, 2c, k, k]``."""

    @abstractmethod
    def features(self, pair: Tensor) -> Tensor:
        """Return the features ``[n, f]`` of pairs of pictures ``[n, 2c, h, w]``."""

    def forward(self, first: Pictures, second: Pictures) -> tuple[Tensor, Tensor]:
        """Name the paths between pictures.

        Args:
            first: ``[n, c, h, w]`` unshifted pictures.
            second: ``[n, c, h, w]`` shifted ones.

        Returns:
            ``[n, K]`` scores whose softmax is the probability of each path, and ``[n]`` signed magnitudes.
        """
        if first.shape[1] != self.channels:
            raise SemanifoldError(
                f"This reconstructor looks at pictures of {self.channels} channels, but these have {first.shape[1]}; "
                "it was made for another generator."
            )
        # the pair as one picture of 2c channels, from which one set of features answers both questions
        features = self.features(resized(torch.cat([first, second], 1), self.size))
        return self.path_indices(features), self.shift_magnitudes(features)[:, 0]  # [n, K], [n]


def resized(pictures: Tensor, size: int | None) -> Tensor:
    """Return pictures of height and width ``size``: area averages when that is smaller, bilinear when larger."""
    height, width = pictures.shape[-2:]
    if size is None or size == height == width:
        return pictures
    if size <= min(height, width):
        return F.adaptive_avg_pool2d(pictures, size)
    return F.interpolate(pictures, size=(size, size), mode="bilinear", align_corners=False)


class LeNet(Reconstructor):
    """Three convolutions of 5 x 5 and two small heads; for small pictures, of at least 32 pixels."""

    kind: ClassVar[str] = "lenet"
    least: ClassVar[int] = 32

    def __init__(self, paths: int, channels: int, size: int | None = None) -> None:
        """Make the network with PyTorch's random weights; arguments as the attributes."""
        super().__init__()
        self.paths, self.channels, self.size = paths, channels, size
        self.feature_extractor = nn.Sequential(
            nn.Conv2d(2 * channels, 6, 5),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 120, 5),
            nn.BatchNorm2d(120),
            nn.ReLU(),
        )
        self.path_indices = self._head(paths)
        self.shift_magnitudes = self._head(1)

    @property
    def stem(self) -> nn.Conv2d:
        """See :attr:`Reconstructor.stem`."""
        return cast("nn.Conv2d", self.feature_extractor[0])

    @staticmethod
    def _head(outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(120, 84), nn.BatchNorm1d(84), nn.ReLU(), nn.Linear(84, outputs))

    def features(self, pair: Tensor) -> Tensor:
        """See :meth:`Reconstructor.features`; f = 120."""
        _check_size(self, pair.shape[-2:])
        return self.feature_extractor(pair).mean((-2, -1))


class ResNet(Reconstructor):
    """A ResNet-18 (He et al. 2016, arXiv:1512.03385) whose first convolution takes both pictures; never pretrained."""

    kind: ClassVar[str] = "resnet"

    def __init__(self, paths: int, channels: int, size: int | None = None) -> None:
        """Make the network with torchvision's random weights; arguments as the attributes."""
        super().__init__()
        try:
            from torchvision.models import resnet18  # noqa: PLC0415  (slow to import)
        except ImportError as error:
            raise missing_package("The resnet reconstructor", "torchvision", "train", "take a lenet") from error
        self.paths, self.channels, self.size = paths, channels, size
        self.features_extractor = resnet18(weights=None)
        stem = nn.Conv2d(2 * channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        self.features_extractor.conv1 = stem
        self.features_extractor.fc.requires_grad_(False)  # files hold it, nothing uses it
        self.path_indices = nn.Linear(512, paths)
        self.shift_magnitudes = nn.Linear(512, 1)

    @property
    def stem(self) -> nn.Conv2d:
        """See :attr:`Reconstructor.stem`."""
        return self.features_extractor.conv1

    def features(self, pair: Tensor) -> Tensor:
        """See :meth:`Reconstructor.features`; f = 512, what the pooling layer gives."""
        net = self.features_extractor
        x = net.maxpool(net.relu(net.bn1(net.conv1(pair))))
        return net.layer4(net.layer3(net.layer2(net.layer1(x)))).mean((-2, -1))


KINDS: dict[str, type[LeNet] | type[ResNet]] = {leaf.kind: leaf for leaf in (LeNet, ResNet)}


def make_reconstructor(
    kind: str, paths: int, channels: int, *, size: int | None = None, seed: int = 0, differences: bool = False
) -> Reconstructor:
    """Make a reconstructor with random weights.

    Args:
        kind: ``"lenet"`` or ``"resnet"`` (any case, so that the names of WarpedGANSpace work).
        paths: K.
        channels: colours of one picture.
        size: height and width that pictures are brought to first.
        seed: of the weights; the global random state stays as it is.
        differences: begin with a first convolution that sees the second picture minus the first, for a faster start; the
            published networks begin with independent weights for both.

    Raises:
        SemanifoldError: for an unknown kind, or sizes that make no sense.
    """
    if kind.lower() not in KINDS:
        raise SemanifoldError(f"There is no reconstructor {kind!r}: {near_names(kind.lower(), KINDS)}")
    if paths < 1 or channels < 1:
        raise SemanifoldError(f"A reconstructor needs at least 1 path and 1 channel, but got {paths} and {channels}.")
    if size is not None and not 32 <= size <= LARGEST:
        raise SemanifoldError(
            f"A reconstructor looks at pictures of at least 32 pixels and at most {LARGEST}, but got the size {size}."
        )
    # PyTorch's and torchvision's layers draw their weights from the global generator of the CPU as they are made
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs, which nothing restores
        made = KINDS[kind.lower()](paths, channels, size)
    if differences:
        with torch.no_grad():
            # w (second - first): equal pictures give 0, so that differences are what is seen from the first step on
            made.stem.weight[:, :channels] = -made.stem.weight[:, channels:]
    return made


def read_reconstructor(source: str | os.PathLike[str] | Mapping[str, object], *, size: int | None = None) -> Reconstructor:
    """Return the reconstructor of a ``reconstructor.pt``, ours or that of WarpedGANSpace; nothing in the file is run.

    Args:
        source: the file, or a state dict that has been read already. Kind, K and channels are those of its weights.
        size: height and width that pictures are brought to first, which the file does not say.

    Raises:
        SemanifoldError: if the file is missing, damaged or holds anything else.
    """
    where = "The state dict" if isinstance(source, Mapping) else str(source)
    state = plain_tensors(source, where)
    # what the file holds is told by the names of its weights; sizes follow from their shapes
    names = next((names for names in KEYS if names[1] in state and names[2] in state), None)
    if names is None or state[names[1]].ndim != 4 or state[names[2]].ndim != 2:
        raise SemanifoldError(f"{where} holds no reconstructor; a reconstructor.pt with LeNet or ResNet-18 weights is expected.")
    kind, stem, head = names
    made = make_reconstructor(kind, len(state[head]), state[stem].shape[1] // 2, size=size)
    try:
        made.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise SemanifoldError(f"{where} does not fit a {kind} reconstructor: {reason}; get a fresh copy.") from error
    return made


def plain_tensors(source: str | os.PathLike[str] | Mapping[str, object], where: str) -> dict[str, Tensor]:
    """Return the tensors of a state dict that lies in a file, or in what :func:`~semanifold.storage.containers.read` made of one.

    Raises:
        SemanifoldError: if the file is missing, damaged or holds no such thing.
    """
    if not isinstance(source, Mapping):
        contents = read(source)
        if not isinstance(contents.tree, Mapping):
            raise SemanifoldError(f"{where} {contents.problem or 'holds no state dict'}; a reconstructor.pt is expected.")
        source = contents.tree
    try:
        tensors = {k: v for k, v in source.items() if isinstance(v, Tensor | TensorRecord)}
        return {key: materialise(value).clone() for key, value in tensors.items()}
    except UnreadableError as error:
        raise SemanifoldError(f"{where} {error}; get a fresh copy.") from error


KEYS = (
    ("lenet", "feature_extractor.0.weight", "path_indices.3.weight"),
    ("resnet", "features_extractor.conv1.weight", "path_indices.weight"),
)
"""Kind, the first weight and the last weight of its path head."""


def save_reconstructor(reconstructor: Reconstructor, path: str | os.PathLike[str]) -> None:
    """Write the state dict as WarpedGANSpace does (``models/reconstructor.pt``), whole or not at all."""
    write_torch(path, {k: v.detach().cpu().contiguous() for k, v in reconstructor.state_dict().items()})


def check_fits(reconstructor: Reconstructor, paths: int, picture: tuple[int, int, int]) -> None:
    """Refuse a reconstructor for another number of paths or other pictures ``(c, h, w)``.

    Raises:
        SemanifoldError: naming both sizes.
    """
    if (reconstructor.paths, reconstructor.channels) != (paths, picture[0]):
        raise SemanifoldError(
            f"The reconstructor tells {reconstructor.paths} paths apart in pictures of {reconstructor.channels} channels, but "
            f"there are {paths} paths and pictures of {picture[0]} channels; give the one that was trained with these paths."
        )
    if reconstructor.size is None:
        _check_size(reconstructor, picture[1:])


def _check_size(reconstructor: Reconstructor, sides: Sequence[int]) -> None:
    if min(sides) < reconstructor.least:
        raise SemanifoldError(
            f"A {type(reconstructor).__name__} reconstructor needs pictures of at least {reconstructor.least} pixels, but these "
            f"have {min(sides)}; give reconstructor_size={reconstructor.least}, or take a resnet."
        )
