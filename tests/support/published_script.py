"""What WarpedGANSpace's attribute script computes, its defects included, by our networks and our resizing.

The library reads attributes properly instead; this is here to compare with the numbers of the published script.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from support.formula_networks import network, paths
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cosine_similarity

from semanifold.analysis.attributes.fan_au import ACTION_UNITS
from semanifold.analysis.attributes.residual_readers import GRADED, degrees
from semanifold.analysis.attributes.s3fd import best_faces
from semanifold.analysis.attributes.sampling import normalised, shorter_side

WHOLE = [0.0, 0.0, 256.0, 256.0]


def crop(box: list[float], padding: float, height: int, width: int) -> tuple[int, int, int, int]:
    """First row, end row, first column and end column: the coordinates are multiplied, and x and y exchanged."""
    x1, y1 = (max(int((1 - padding) * v) - 50, 0) for v in box[:2])
    x2, y2 = int((1 + padding) * box[2]) + 50, int((1 + padding) * box[3]) + 30
    return x1, min(x2, height), y1, min(y2, width)


def score(logits: Tensor) -> Tensor:
    """``(argmax + max) / C``."""
    best, index = logits.softmax(-1).max(-1)
    return (index + best.double()) / logits.shape[-1]


def within(frames: Tensor) -> Tensor:
    """Scale by the minimum and maximum of all frames together."""
    return (frames - frames.min()) / (frames.max() - frames.min())


@cache
def parts(path: int, antialias: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the best face of every frame of a path of the fixture, and what comes up on the way but for CelebA's network."""
    frames = paths()[path]
    square = shorter_side(frames, 256, antialias)
    faces = best_faces(network("face")(square))
    found = faces[:, 4].isfinite()
    boxes = [box[:4].tolist() if ok else WHOLE for box, ok in zip(faces, found, strict=True)]
    rects = {p: [crop(box, p, 256, 256) for box in boxes] for p in (0.25, 0.0)}

    def crops(padding: float, size: int) -> Tensor:
        rows = zip(square, rects[padding], strict=True)
        return torch.cat([shorter_side(one[None, :, a:b, c:d], size, antialias) for one, (a, b, c, d) in rows])

    race, pose = normalised(crops(0.25, 224) / 255), normalised(crops(0.0, 224) / 255)
    units = crops(0.0, 256)
    return faces, {
        "detector_input_every32": square[:, :, ::32, ::32],
        "top_face": faces.nan_to_num(0),
        "crop_fairface": torch.tensor(rects[0.25]),
        "crop_pose_au": torch.tensor(rects[0.0]),
        "fairface_input_every16": race[:, :, ::16, ::16],
        "hopenet_input_every16": pose[:, :, ::16, ::16],
        "au_input_every16": units[:, :, ::16, ::16],
        "embeddings": network("identity")(adaptive_avg_pool2d(square[:, :, 35:223, 32:220] / 255 * 2 - 1, 112)),
        "fairface_logits": network("fairface")(race),
        "hopenet_logits": network("pose")(pose),
        "au_intensities": network("au")(within(units)).amax((2, 3)),
    }


def attributes(path: int, *, stylegan2: bool, antialias: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the 26 attributes ``[T]`` of the frames ``[T, 3, h, w]`` (RGB, 0..255) of a path, and what comes up on the way."""
    frames = paths()[path]
    faces, raw = parts(path, antialias)
    graded = normalised(shorter_side(frames / 255 * 2 - 1 if stylegan2 else within(frames), 224, antialias))
    raw = raw | {"celeba_input_every16": graded[:, :, ::16, ::16], "celeba_logits": network("celeba")(graded)}
    embeddings = raw["embeddings"]
    sides = ((faces[:, 2:4] - faces[:, :2]) / 256).nan_to_num(256)
    outputs, angles = raw["fairface_logits"], degrees(raw["hopenet_logits"]).double() * math.pi / 180
    values = {"face_width": sides[:, 0], "face_height": sides[:, 1]}
    values["identity"] = cosine_similarity(embeddings[len(frames) // 2][None], embeddings, eps=1e-6)
    values |= {"race": score(outputs[:, :7]), "age": score(outputs[:, 9:18]), "gender": outputs[:, 7:9].softmax(1)[:, 1]}
    values |= dict(zip(("yaw", "pitch", "roll"), angles.unbind(1), strict=True))
    values |= dict(zip(ACTION_UNITS, raw["au_intensities"].unbind(1), strict=True))
    values |= dict(zip(GRADED, score(raw["celeba_logits"]).unbind(1), strict=True))
    return values, raw
