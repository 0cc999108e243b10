"""What a person would say of an edit: which factors change, and whether it stays in its mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from semanifold.app.actions.results import EditedPicture
from semanifold.app.answers import Caller
from semanifold.core.latents import Latents
from semanifold.core.shapes import EditTimes, Frames
from semanifold.generators.base import Generator
from semanifold.images.media import evenly
from semanifold.worlds.faces.changes import describe_change, describe_usual_change
from semanifold.worlds.faces.world import FACES

if TYPE_CHECKING:
    from semanifold.inversion.checkpoints import InversionNumbers
    from semanifold.inversion.measures import Consistency
    from semanifold.inversion.noise import NoiseNumbers
    from semanifold.inversion.tuning import TuningNumbers

MOST_LEAK = 0.1
"""Outside/inside ratio of mean squares from which an edit is said to leak."""
LOOKED_AT = 9
FAR = 1.7
"""From how many times the usual distance on an inverted code does something else under edits.

Drawn faces have up to 1.2 where they are placed well, and 2.4 where they are not (docs/measured-photographs.md).
"""

BACK = 30
"""From how many dB on a picture whose edit was undone is the one of before."""
NEAR = 0.25
"""Up to which share of an edit its undoing misses the code of before by little."""
SAME = 0.5
"""Up to which share of an edit its undoing may miss the code of before: nearer to that code than to the edited one."""


def shows_faces(generator: Generator) -> bool:
    """Whether a generator's pictures are those whose factors the bundled network reads."""
    return generator.world is FACES


def leak(ratio: float) -> bool:
    """Whether an edit with this outside/inside ratio leaks so that a person sees it."""
    return not ratio <= MOST_LEAK


def what_changed(subject: EditedPicture, t: EditTimes) -> str:
    """Return what changes, in words, if the generator's pictures can be read; else an empty text.

    A film that runs both ways from the unedited picture is described one way at a time, as its filmstrip is labelled.
    """
    if not shows_faces(subject.generator):
        return ""
    chosen = t[torch.tensor(evenly(len(t), LOOKED_AT))]
    frames = torch.cat(list(subject.pictures(chosen)))
    if t.ndim > 1 or not float(t.min()) < 0 < float(t.max()):
        along = None if t.ndim > 1 or subject.edit.loops else chosen.abs().cpu()
        return describe_change(frames, subject.picture, along=along)
    ways = [(f"towards {float(end):+.2g} ", chosen * end > 0) for end in (t.max(), t.min())]
    words = [(way, describe_change(frames[part], subject.picture, along=chosen[part].abs().cpu())) for way, part in ways]
    return ", ".join(way + change for way, change in words if change)


@torch.no_grad()
def remark_nothing(subject: EditedPicture, caller: Caller) -> None:
    """Say so if an edit of weights meets nothing of a code: one of w+ has the layers of the mapping network behind it."""
    edit, generator = subject.edit, subject.generator
    if edit.moves_codes or subject.start.space == generator.first_space:
        return
    end = max(edit.info.usable, key=abs) or 1.0
    if torch.equal(edit.images(generator, subject.start, end), subject.picture):
        caller.remark(
            f"{edit.info.name or 'The edit'} changes nothing here: it moves {edit.what_moves}, which make no picture of a code "
            f"of {subject.start.space}; it needs codes of {generator.first_space}, such as those of seeds=."
        )


def changes_between(generator: Generator, after: Frames, before: Frames, most: int = 3, region: str = "") -> str:
    """Return what is different on average in pictures ``[n, c, h, w]`` from others, in words; empty if it cannot be read."""
    return describe_usual_change(after, before, most=most, region=region) if shows_faces(generator) else ""


def fitting_words(name: str, numbers: NoiseNumbers | TuningNumbers) -> str:
    """Return in words what has come of fitting noise maps or weights."""
    near = f"{nearness(numbers['psnr'])} ({numbers['psnr']:.1f} dB after {numbers['steps']} steps"
    if "others" in numbers:
        return f"Tuned weights make {near}; pictures of other codes are {numbers['others']:.1f} dB from what they were)."
    random = numbers["structure"] / max(numbers["usual_structure"], 1e-12)
    structure = f"neighbours tell {random:.2g} times as much as in random maps"
    return f"Fitted noise makes {near}, {numbers['before']:.1f} dB before; {structure})."


def described(numbers: InversionNumbers, seconds: float, generator: Generator, code: Latents, *, inside: bool = False) -> str:
    """Return in words how good an inversion is, perhaps one that counts what is inside of a mask only."""
    where = " inside of the mask" if inside else ""
    far = numbers["nature"] ** 0.5
    took = f"{numbers['steps']} steps, {numbers['evaluations']} pictures, {seconds:.1f} s"
    usual = (
        "Its code is an unusual one, where edits may do something else" if far > FAR else "Its code is a usual one, fit for edits"
    )
    return (
        f"The generator {generator.name} makes {nearness(numbers['psnr'])}{where} ({numbers['psnr']:.1f} dB; {took}). "
        f"{usual} ({code.space}, {far:.2f} times as far from the mean as others)."
    )


def consistency_words(kept: Consistency) -> str:
    """Return in words what is left of a picture that was edited, inverted again, and whose edit was undone."""
    back, same = kept.psnr >= BACK, kept.code < SAME
    picture = "the picture comes back" if back else "the picture does not come back"
    which = "is nearer to the one of before than to that of the edit" if same else "is another one"
    which = "comes back" if kept.code < NEAR else which
    code = f"{'and' if same == back else 'but'} its code {which}"
    return (
        f"Check: edited, inverted again and the edit undone, {picture} ({kept.psnr:.1f} dB; edited it was {kept.edited:.1f} dB "
        f"away), {code} (off by {kept.code:.0%} of the edit)."
    )


def nearness(psnr: float) -> str:
    """Return in words how near a picture is to a photograph, by the dB between them."""
    words = (
        (40, "a picture that can hardly be told from the photograph"),
        (30, "a picture close to the photograph"),
        (20, "a picture like the photograph, with differences that one sees"),
    )
    return next((word for least, word in words if psnr >= least), "a picture that is not like the photograph")
