"""In words: what has changed between two pictures of one of the bundled faces, read by the attribute network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, cosine_similarity

from semanifold.core.errors import SemanifoldError
from semanifold.core.shapes import EachCode, Frames, Reference
from semanifold.worlds.faces.attribute_network import attribute_network
from semanifold.worlds.faces.factors import FACTORS, REGIONS, factor_index
from semanifold.worlds.faces.renderer import render

__all__ = ["CHANGES", "Change", "describe_change", "describe_usual_change"]

CERTAIN = 2.0
"""A change counts from this many times the reader's error on: 1 in 100 readings of a factor that stayed is wrong by that much."""
LEAST = 0.05
"""A change of less than this share of the factor's range is not worth a word."""
USUAL_LEAST = 0.2
"""A mean change over faces of less than this share is no name for what does it: hair that takes another colour than any of the
reader's faces is read as light that grows cooler by .15, while what has a name changes by .3 to 1.5."""
RESEMBLES, ROUGHLY = 0.5, 3
"""Inside of a region words count from this mean cosine on between the change that is seen and what the renderer makes of them, in
pictures of :data:`DRAWN` pixels, blurred over so many. One factor that changes in renders has .97 and more; of twelve directions
in weights for mouths and eyes four have .68 to .71, the others, most of them crooked mouths and single eyes, .19 to .40."""
SEEN, COVERED, NEARBY = 0.35, 0.45, 5
"""A pixel bears a factor out if it changes at least :data:`SEEN` times as much as the renderer makes of it, mean squares over so
many pixels nearby; a factor counts if a share of at least :data:`COVERED` of what the renderer changes is borne out. Named paths
of the bundled faces have .88 and more of it, joint axes of them .57; noses, jaws, fringes and heads that stay, and are read
otherwise beside a mouth that changes, .04 to .72, most of them below .4."""
DRAWN = 64
"""Side of the pictures that are compared."""
NEAREST = "no attribute names this change; nearest: "
"""What comes before words that do not resemble what is seen."""
SHARE = 0.25
"""A change that is smaller than this share of the largest one is left out."""
BOTH = 0.5
"""A change the other way is named as well if it is at least this share of the larger one."""
READABLE = (-0.5, 1.5)
"""What the reader may make of a picture; a factor at the end of its range can still be seen to go on."""
FAR = 0.35
"""A head whose yaw is so far from the middle of its range is turned to its end, or farther than the reader has ever seen."""
SEEN_AT_THE_END = ("skin_tone", "hair_tone", "hair_volume", "yaw", "light_warmth", "background_hue", "background_tone")
"""What is read as well where a head turns to the end of its range. All others are misread there by up to their whole range."""
PALE = 0.05
"""A background whose channels differ by less than this share of white has no hue: those of the renderer by .08 and more."""
CORNER = 8
"""Its colour is that of the upper corners, an eighth of a picture wide."""
BATCH = 64
_LIDS, _SHUT = factor_index("eye_opening"), 0.15
_YAW, _HUE, _TONE = (factor_index(name) for name in ("yaw", "background_hue", "background_tone"))
_BEHIND_LIDS = [factor_index(name) for name in ("iris_hue", "gaze_x", "gaze_y")]


@dataclass(frozen=True)
class Change:
    """How people speak about the change of a factor.

    Args:
        what: the part of the picture, such as ``"the mouth"``.
        more: what it does as the factor rises, such as ``"opens"``.
        less: what it does as the factor falls.
        error: root mean square error of the attribute network on held-out renders, as a share of the range.
    """

    what: str
    more: str
    less: str
    error: float

    @property
    def either(self) -> str:
        """Both ways in words, first that of a factor that rises: ``"the mouth opens / closes"``."""
        return f"{self.what} {self.more} / {self.less}"


CHANGES: dict[str, Change] = {
    "skin_tone": Change("the skin", "darkens", "grows paler", 0.022),
    "face_width": Change("the face", "widens", "narrows", 0.035),
    "jaw": Change("the jaw", "grows square", "grows pointed", 0.043),
    "hair_tone": Change("the hair", "lightens", "darkens", 0.022),
    "hair_length": Change("the hair", "grows longer", "grows shorter", 0.037),
    "hair_volume": Change("the hair", "gains volume", "loses volume", 0.022),
    "fringe": Change("the fringe", "grows fuller", "recedes", 0.037),
    "eye_size": Change("the eyes", "grow larger", "grow smaller", 0.047),
    "eye_opening": Change("the eyes", "open", "close", 0.045),
    "iris_hue": Change("the irises", "turn bluer", "turn browner", 0.094),
    "gaze_x": Change("the gaze", "moves right", "moves left", 0.090),
    "gaze_y": Change("the gaze", "rises", "drops", 0.084),
    "eye_spacing": Change("the eyes", "move apart", "move together", 0.043),
    "brow_height": Change("the brows", "rise", "sink", 0.046),
    "brow_tilt": Change("the brows", "look more worried", "look angrier", 0.068),
    "brow_thickness": Change("the brows", "grow thicker", "grow thinner", 0.060),
    "nose_length": Change("the nose", "lengthens", "shortens", 0.043),
    "nose_width": Change("the nose", "widens", "narrows", 0.067),
    "mouth_width": Change("the mouth", "widens", "narrows", 0.056),
    "smile": Change("the smile", "grows", "fades", 0.052),
    "mouth_opening": Change("the mouth", "opens", "closes", 0.034),
    "lip_fullness": Change("the lips", "grow fuller", "grow thinner", 0.076),
    "lip_colour": Change("the lips", "redden", "lose colour", 0.065),
    "yaw": Change("the head", "turns right", "turns left", 0.018),
    "pitch": Change("the head", "rises", "bows", 0.024),
    "light_side": Change("the light", "moves right", "moves left", 0.027),
    "light_warmth": Change("the light", "grows warmer", "grows cooler", 0.024),
    "background_hue": Change("the background", "turns redder", "turns bluer", 0.020),
    "background_tone": Change("the background", "lightens", "darkens", 0.018),
}
"""By factor, in the order of :data:`~semanifold.worlds.faces.factors.FACTORS`; left and right are those of the picture. Errors
follow from the table of R² in ``docs/faces.md``: sqrt((1 - R²) / 12), since factors are uniform in [0, 1]."""
LEAST_TURN = CERTAIN * CHANGES["yaw"].error
"""A head that is read as turned by less than this share of the range stays as it was."""
_MISREAD = torch.tensor([factor.name not in SEEN_AT_THE_END for factor in FACTORS])


def describe_change(frames: Frames, reference: Reference, most: int = 3, region: str = "", along: EachCode | None = None) -> str:
    """Say what changes in a sequence of pictures of one of the bundled faces, the plainest change first.

    The plainest is the largest as a multiple of the error with which the network reads the factor: what is read best is what
    moves most of the picture, so that a head that turns comes before lips and brows that are read differently as it turns.
    Pictures in which it turns to or from the end of its range tell nothing of eyes and mouth, which are misread there: a mouth
    that seems to close would be the turn alone. Beside them, pictures in which it seems to turn the other way count as turned on.

    Every factor counts where it is farthest from the reference, and only if that is farther than the attribute network errs
    (:data:`CERTAIN`) and not small beside the largest change (:data:`SHARE`). Gaze and colour of the eyes do not count while the
    lids are shut, nor does the hue of a background that is black or grey. A factor that does not
    count at the end of the way, or in some of the pictures if they have no order, changes by "at least" so much.
    The network knows the bundled world only; pictures of any other generator get words that mean nothing.

    Args:
        frames: ``[n, 3, h, w]`` in [-1, 1], not clamped, of any size.
        reference: ``[1, 3, h, w]``, the unedited picture.
        most: how many factors to name, at most.
        region: name those of this region of the face only, where no others can change; all if it is no region.
        along: ``[n]`` how far each frame is on one way from the unedited picture, such as ``abs(t)``, if they lie on one: once a
            head has turned beyond the end of its range it stays turned.

    Returns:
        Such as ``"the mouth opens (+30 % of its range), the smile grows (+12 %)"``; empty when nothing is certain to change.

    Raises:
        SemanifoldError: if the pictures have no three channels, or there is no frame or not one reference.
    """
    if frames.ndim != 4 or not len(frames) or frames.shape[1] != 3 or reference.shape[:2] != (1, 3):
        raise SemanifoldError(
            f"Pictures [n, 3, h, w] and one reference [1, 3, h, w] are expected, but these are {list(frames.shape)} and "
            f"{list(reference.shape)}."
        )
    read = _reading(frames, reference)
    hidden = _turned_on(read.change, read.hidden, along)
    more = hidden.any(0) if along is None else hidden[along.argmax()].clone()
    # A head that is read as turned less at the end of the way, or the other way, is beyond the end of its range.
    change = torch.where(hidden, 0.0, read.change)
    turn = change[:, _YAW].abs()
    more[_YAW] = along is not None and bool(turn[along.argmax()] < turn.max() - LEAST_TURN)
    farthest = change.abs().argmax(0)  # [F] the frame in which each factor is farthest
    for i in _certain(change.abs().amax(0), LEAST):
        at = farthest[i]
        if _borne_out(i, read.start, change[at, i][None], read.difference[at][None]) < COVERED:
            change[:, i] = 0
    return _words(change, most, region, more=more)


def describe_usual_change(after: Frames, before: Frames, most: int = 3, region: str = "") -> str:
    """Say what changes on average from some pictures ``before`` to as many ``after`` them; as :func:`describe_change`.

    One face may be read differently from all others: its hair may hide what an edit does to it. Less than :data:`USUAL_LEAST` of
    a factor's range is not said, for nothing tells it from what the reader makes of a change that it has never seen. Words of
    a region are only the nearest ones if the renderer, told to change what they say, changes the pictures otherwise.
    """
    if after.shape != before.shape or after.shape[1:2] != (3,) or not len(after):
        raise SemanifoldError(
            f"As many pictures [n, 3, h, w] after a change as before are expected, but these are {list(after.shape)} and "
            f"{list(before.shape)}."
        )
    read = _reading(after, before)
    change = torch.where(read.hidden, 0.0, read.change)
    for i in _certain(change.mean(0).abs(), USUAL_LEAST):
        if _borne_out(i, read.start, change[:, i], read.difference).mean() < COVERED:
            change[:, i] = 0
    words = _words(change.mean(0, keepdim=True), most, region, USUAL_LEAST)
    return NEAREST + words if words and region in REGIONS and _resemblance(read, region) < RESEMBLES else words


class _Reading(NamedTuple):
    """How pictures ``[n]`` differ from as many others, or from one.

    Attributes:
        change: ``[n, F]`` of all factors.
        hidden: ``[n, F]`` which of them cannot be seen.
        start: ``[n or 1, F]`` factors of the others.
        difference: ``[n, 3, 64, 64]`` of the pictures.
    """

    change: Tensor
    hidden: Tensor
    start: Tensor
    difference: Tensor


def _resemblance(read: _Reading, region: str) -> float:
    """Return the mean cosine between changes of pictures, and what the renderer makes of what is read of a region of them."""
    there = torch.tensor([factor.region == region for factor in FACTORS])
    start, end = read.start.clamp(0, 1), (read.start + read.change).clamp(0, 1)
    drawn = render(torch.where(there, end, start), DRAWN) - render(start, DRAWN)
    both = (read.difference, drawn)
    seen, drawn = (avg_pool2d(change, ROUGHLY, 1, ROUGHLY // 2).flatten(1) for change in both)
    return float(cosine_similarity(seen, drawn).mean())


def _certain(largest: Tensor, smallest: float) -> list[int]:
    """Return the factors whose largest change ``[F]`` is not small, and farther than the network errs."""
    errors = torch.tensor([CHANGES[factor.name].error for factor in FACTORS])
    return (largest >= (CERTAIN * errors).clamp(min=smallest)).nonzero().flatten().tolist()


def _borne_out(factor: int, start: Tensor, change: Tensor, difference: Tensor) -> EachCode:
    """Return which share of what the renderer changes with a factor the pictures bear out, ``[n]``.

    The network reads a nose that stays as a narrower one if the mouth below it opens farther than it has ever seen.

    Args:
        factor: its index.
        start: ``[n, F]`` or ``[1, F]`` factors of the pictures before the change.
        change: ``[n]`` of the factor.
        difference: ``[n, 3, 64, 64]`` of the pictures.
    """
    first = start.clamp(0, 1).expand(len(change), -1).clone()
    last = first.clone()
    last[:, factor] = (first[:, factor] + change).clamp(0, 1)
    first[:, factor] = (last[:, factor] - change).clamp(0, 1)  # a factor that is at its end already can be drawn to come there
    drawn, seen = (
        avg_pool2d(part.square().mean(1, keepdim=True), NEARBY, 1, NEARBY // 2).flatten(1)
        for part in (render(last, DRAWN) - render(first, DRAWN), difference)
    )
    whole = drawn.sum(1)
    return torch.where(whole > 0, (drawn * (seen >= SEEN * drawn)).sum(1) / whole.clamp(min=1e-12), 1.0)


def _reading(frames: Tensor, reference: Tensor) -> _Reading:
    """Return what is read of pictures and of the others, and what of it cannot be seen."""
    read, start = _read(frames), _read(reference)
    change = read - start
    # as the pictures of the renderer differ: at its size, on the CPU
    difference = adaptive_avg_pool2d((frames.clamp(-1, 1) - reference.clamp(-1, 1)).float().cpu(), DRAWN)
    hidden = torch.zeros_like(change, dtype=torch.bool)
    hidden[:, _BEHIND_LIDS] = (torch.minimum(read, start)[:, _LIDS] < _SHUT)[:, None]
    hidden[:, _HUE] = ~(_coloured(frames, read) & _coloured(reference, start))
    farthest = torch.maximum((read - 0.5).abs(), (start - 0.5).abs())[:, _YAW]
    far = (change[:, _YAW].abs() >= LEAST_TURN) & (farthest >= FAR)
    if far.any():
        far[far.clone()] = _borne_out(_YAW, start.expand_as(read)[far], change[far, _YAW], difference[far]) >= COVERED
    return _Reading(change, hidden | (far[:, None] & _MISREAD), start, difference)


def _turned_on(change: Tensor, hidden: Tensor, along: Tensor | None) -> Tensor:
    """Return what cannot be seen ``[n, F]`` of a sequence of pictures, which know of one another how far a head turns.

    Beyond the end of its range a head is read as turned less far again, or to the other side. Of pictures in order all that come
    after the first one beyond are turned as well, in whatever way they are read.
    """
    turn = change[:, _YAW]
    far = (hidden | ~_MISREAD).all(1)  # all that is misread is hidden where a head is turned far
    if not far.any():
        return hidden
    sides, later = turn[far].sign().unique(), torch.zeros_like(far)
    if along is not None:
        first = torch.where(far, along, torch.inf).argmin()
        sides, later = turn[first].sign()[None], along >= along[first]
    back = (turn.sign() != sides[0]) & (len(sides) == 1)
    far = far | later | (back & (turn.abs() >= LEAST_TURN))
    hidden = hidden | (far[:, None] & _MISREAD)
    hidden[:, _YAW] |= back
    return hidden


def _coloured(images: Tensor, read: Tensor) -> Tensor:
    """Return which pictures ``[n]`` have a background whose hue can be seen: one that is neither black nor grey."""
    height, width = (max(1, size // CORNER) for size in images.shape[-2:])
    corners = torch.stack([images[..., :height, :width], images[..., :height, -width:]]).float().clamp(-1, 1)
    colours = corners.mean((-2, -1)).cpu() / 2
    lively = (colours.amax(-1) - colours.amin(-1)).amax(0) >= PALE
    return lively & (read[:, _TONE] >= -CERTAIN * CHANGES["background_tone"].error)


def _words(change: Tensor, most: int, region: str, smallest: float = LEAST, more: Tensor | None = None) -> str:
    """Return changes ``[n, F]`` in words, "at least" so large of factors ``[F]`` of which there may be ``more`` than is seen."""
    errors = torch.tensor([CHANGES[factor.name].error for factor in FACTORS])
    least = (CERTAIN * errors).clamp(min=smallest)
    rise, fall = change.amax(0).clamp(min=0), change.amin(0).clamp(max=0)
    largest = torch.maximum(rise, -fall)
    if region in REGIONS:
        largest = largest * torch.tensor([factor.region == region for factor in FACTORS])
    least = torch.maximum(least, SHARE * largest.max())
    columns = [i for i in (largest / errors).argsort(descending=True).tolist() if largest[i] >= least[i]][:most]
    words = []
    for i in columns:
        seen = max(float(least[i]), BOTH * float(largest[i]))
        sides = [value for value in sorted((float(rise[i]), float(fall[i])), key=abs, reverse=True) if abs(value) >= seen]
        least_seen = more is not None and bool(more[i])
        words.append(_phrase(CHANGES[FACTORS[i].name], sides, first=not words, more=least_seen))
    return ", ".join(words)


@torch.no_grad()
def _read(images: Tensor) -> Tensor:
    """Return the factors ``[n, F]`` of pictures on the CPU, nominally in [0, 1]: beyond, a mouth that gapes goes on opening."""
    network = attribute_network(str(images.device))
    return torch.cat([network(part.float().clamp(-1, 1)).clamp(*READABLE).cpu() for part in images.split(BATCH)])


def _phrase(change: Change, sides: list[float], *, first: bool, more: bool) -> str:
    """Return ``"the mouth opens (+30 %)"``, or for two sides ``"the mouth opens and closes (+30 %, -20 %)"``.

    Args:
        change: the words.
        sides: how far it changes to one side, or to both.
        first: whether to say of what that is a share.
        more: whether it may be more than that.
    """
    verbs = " and ".join(change.more if value > 0 else change.less for value in sides)
    numbers = ", ".join(f"{'at least ' if more else ''}{100 * value:+.0f} %" for value in sides)
    of = f" of {'their' if change.what.endswith('s') else 'its'} range" if first else ""
    return f"{change.what} {verbs} ({numbers}{of})"
