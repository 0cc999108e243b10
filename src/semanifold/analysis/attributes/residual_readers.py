"""The published readers of faces that are residual networks with other last layers: FairFace, Hopenet, and CelebA-5."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from semanifold.analysis.attributes.resnet import Block, Bottleneck, Trunk

RACES = {
    4: ("white", "black", "asian", "indian"),
    7: ("white", "black", "latino", "east_asian", "southeast_asian", "indian", "middle_eastern"),
}
"""The classes of FairFace's two kinds of checkpoints, in the order of their outputs."""

AGES = ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+")

GRADED = {
    "celeba_bangs": "classifier06Bangs",
    "celeba_eyeglasses": "classifier16Eyeglasses",
    "celeba_beard": "classifier25No_Beard",
    "celeba_smiling": "classifier32Smiling",
    "celeba_age": "classifier40Young",
}
"""Attributes of CelebA-5 and their heads. A higher grade is more of it, also where the head is called No_Beard or Young."""

GRADES = 6
BINS = 66
DEGREES = 3.0


class FairFace(Trunk):
    """Age, gender and race of a face (Karkkainen & Joo 2021, arXiv:1908.04913): ResNet-34 with 18 outputs.

    Outputs 0..6 are race, 7 and 8 male and female, 9..17 the :data:`AGES`. A checkpoint of the four-race kind has 18 outputs too,
    but only 0..3 were trained.

    Attributes:
        races: what race outputs the checkpoint was trained for, a key of :data:`RACES`.
    """

    def __init__(self, races: int = 4) -> None:
        super().__init__(Block, (3, 4, 6, 3))
        self.races = races
        self.fc = nn.Linear(self.width, 18)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[n, 18]`` of RGB faces ``[n, 3, 224, 224]``, normalised as for ImageNet."""
        return self.fc(self.features(images))


class Hopenet(Trunk):
    """Yaw, pitch and roll of a head (Ruiz et al. 2018, arXiv:1710.00925): ResNet-50 with 66 bins of 3 degrees an angle."""

    def __init__(self) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3))
        self.fc_yaw, self.fc_pitch, self.fc_roll = (nn.Linear(self.width, BINS) for _ in range(3))
        self.fc_finetune = nn.Linear(self.width + 3, 3)  # is in the published file; nothing uses it

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[n, 3, 66]`` (yaw, pitch, roll) of RGB faces ``[n, 3, 224, 224]``, normalised as for ImageNet."""
        x = self.features(images)
        return torch.stack([self.fc_yaw(x), self.fc_pitch(x), self.fc_roll(x)], 1)


class Dense(nn.Module):
    """A dense layer, batch normalisation, ReLU."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.fc, self.bn = nn.Linear(before, after), nn.BatchNorm1d(after)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[n, after]``."""
        return self.bn(self.fc(x)).relu()


class CelebA5(Trunk):
    """Six grades of bangs, eyeglasses, beard, smile and age (Talk-to-Edit, Jiang et al. 2021, arXiv:2109.04425): ResNet-50."""

    def __init__(self) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3))
        self.stem = Dense(self.width, 512)
        for head in GRADED.values():
            self.add_module(head, nn.Sequential(Dense(512, 256), nn.Linear(256, GRADES)))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[n, 5, 6]`` of RGB pictures ``[n, 3, h, w]``, normalised as for ImageNet."""
        x = self.stem(self.features(images))
        return torch.stack([self.get_submodule(head)(x) for head in GRADED.values()], 1)


def degrees(logits: Tensor) -> Tensor:
    """Return Hopenet's angles ``[n, 3]`` in degrees: ``3 sum_i i p_i - 99``, p the softmax of logits ``[n, 3, 66]``."""
    return expected(logits) * (BINS - 1) * DEGREES - 99


def expected(logits: Tensor) -> Tensor:
    """Return the mean class ``sum_i i p_i / (C - 1)`` in [0, 1] of logits ``[..., C]`` of ordered classes: a soft argmax."""
    classes = torch.linspace(0, 1, logits.shape[-1], device=logits.device, dtype=logits.dtype)
    return (logits.softmax(-1) * classes).sum(-1)
