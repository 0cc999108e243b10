"""What ``semanifold edit`` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from PIL import Image, ImageDraw

from semanifold.app.actions.base import beyond, code_for, existing, facts_of, fitting, load, read_mask, worked, working_space
from semanifold.app.actions.discover import blank, search
from semanifold.app.actions.edits import mask_of
from semanifold.app.actions.photograph_parts import Inverted, inverted, numbered, of_face, places_in
from semanifold.app.actions.results import EDIT, FRAMES, film_moments, find_edit, save_films, write_frames
from semanifold.app.actions.seen import remark_nothing, what_changed
from semanifold.app.answers import Answer, Caller, ignored, typed
from semanifold.app.commands.base import FilmOptions, Output, StartOptions
from semanifold.app.commands.discover import Discover, Search
from semanifold.app.commands.photographs import BOTH, FIRST, SEARCH, STILL, PhotoEdit
from semanifold.core.errors import SemanifoldError, shown
from semanifold.core.plain import Json, JsonObject
from semanifold.core.progress import Progress
from semanifold.core.shapes import EditTimes
from semanifold.edits import Edit, load_edit, save_edit
from semanifold.edits.films import EditedPicture
from semanifold.edits.tracing import on_code
from semanifold.generators.base import Generator
from semanifold.images import media
from semanifold.images.motion import Motion, motion_between
from semanifold.images.photographs import read_photograph
from semanifold.images.placements import Inlay, Placement
from semanifold.inversion.noise import used_maps
from semanifold.storage.credentials import check_certificate
from semanifold.storage.marks import CODES, COMPOSITE
from semanifold.storage.runs import Run

PARTS = "parts.png"
LARGEST_FILM = 1080
"""Longer side of a film in pixels, if nobody says it."""
KEPT = 1 << 28
"""Bytes of frames that are kept, for films show each several times."""
REMEMBERED = 256
"""Motions that are kept of a part, .3 MB each."""
FINER = 4
"""Outlines are drawn so many times as large, so that their edges are smooth."""
CLOSE = 1.3
"""A close-up shows so many times the edited part."""


@dataclass(frozen=True, eq=False)
class Part:
    """A part of the photograph, and what becomes of it.

    Attributes:
        place: where it lies.
        subject: the generator, perhaps with tuned weights; the code; the edit, and its mask.
        frames: the generator's pictures, in their order.
        reach: what the ``t`` of the edit was multiplied by.
    """

    place: Placement
    subject: EditedPicture
    frames: media.FrameFolder
    reach: float

    @cached_property
    def mask(self) -> torch.Tensor | None:
        """The mask at the size of the generator's pictures."""
        mask = self.subject.mask
        return None if mask is None else mask.at(*self.subject.generator.picture_shape[1:])

    @cached_property
    def plain(self) -> torch.Tensor:
        """The unedited picture, rounded as the frames are, so that no change is none."""
        return media.from_uint8(media.to_uint8(self.subject.picture)[0])

    @cached_property
    def motion(self) -> Callable[[int], Motion]:
        """What moves up to a frame; remembered, for films show each frame several times."""
        return lru_cache(REMEMBERED)(lambda index: motion_between(self.plain, media.from_uint8(self.frames[index])))

    def inlay(self, photograph: Image.Image, scale: float = 1.0) -> Inlay:
        """Return what puts the edited part into the photograph, or into one that was resized by a factor."""
        return Inlay(np.asarray(photograph), self.place.scaled(scale), self.plain, self.mask)


class Photographs:
    """The frames of the film: the photograph with all parts as they are then; made when they are asked for, and kept."""

    def __init__(self, photograph: Image.Image, parts: Sequence[Part], scale: float, tell: Progress = ignored) -> None:
        """Prepare the parts once for all frames; tell how many were made."""
        self.made, self.tell = set[int](), tell
        self.plain = np.asarray(photograph)
        self.parts = [(part.inlay(photograph, scale), part) for part in parts]
        plain, placed = self.plain, self.parts  # without self in it, what is kept goes with self
        self.frame = lru_cache(max(1, KEPT // plain.nbytes))(lambda index: together(plain, placed, [index] * len(placed)))

    def __len__(self) -> int:
        return len(self.parts[0][1].frames)

    def __getitem__(self, index: int) -> media.Frame:
        self.made.add(index)
        self.tell({"step": len(self.made), "steps": len(self)})
        return self.frame(index)

    def at(self, indices: Sequence[int]) -> media.Frame:
        """Return the photograph with each part as its own frame has it."""
        return together(self.plain, self.parts, indices)


def together(photograph: media.Frame, parts: Sequence[tuple[Inlay, Part]], indices: Sequence[int]) -> media.Frame:
    """Return a photograph with each part as its own frame has it."""
    for (inlay, part), index in zip(parts, indices, strict=True):
        photograph = inlay.onto(media.from_uint8(part.frames[index]), photograph, part.motion(index))
    return photograph


def edit_photo(command: PhotoEdit, caller: Caller) -> Answer:
    """Find the faces, their codes and the edit, and write the photograph with it."""
    check_certificate()  # what is missing is said before a face is looked for
    generator = load(command.model, caller)
    if command.tune_noise:
        used_maps(generator, generator.example(0, working_space(generator, None)))
    edit = None
    if command.edit is not None:
        edit = find_edit(command.edit, command.path, generator=generator, remark=caller.remark)
        (edit,) = fitting(generator, [edit], caller)
    photograph = read_photograph(command.photo, remark=caller.remark)
    places = places_in(command, photograph, generator, caller)
    ready = None if command.inversion is None else inverted(command, generator, places[0], None, 0, caller)
    if edit is not None:
        check_space(edit, generator, ready)

    def work(run: Run) -> Answer:
        parts: list[Part] = []
        said: list[str] = []
        for order, place in enumerate(places):
            part = ready or inverted(
                command, generator, place, of_face(command, edit, generator, photograph, place), order, caller
            )
            said += part.answer.said if part.answer.fresh else ()  # of an edit that goes on: finished, but not what was asked for
            if part.answer.interrupted:
                return Answer(said=tuple(said), interrupted=True)
            subject, answer = edited(command, part, edit, order, run, caller)
            said += answer.said if answer.fresh else ()
            if answer.interrupted:
                return Answer(said=tuple(said), interrupted=True)
            parts.append(filmed(command, part.place, subject, order, run, caller))
        facts = write(command, photograph, parts, run, caller)
        return Answer(said=(*said, *sentences(parts, facts)), facts=facts)

    answer = worked(command, caller, "edit", command.folder, facts_of(generator), work, inputs=command.inputs)
    then = () if answer.interrupted else typed(*command.then)
    return replace(answer, files=existing(command.folder, *FIRST), next=then)


def check_space(edit: Edit, generator: Generator, part: Inverted | None) -> None:
    """Refuse an edit of codes that the code of the photograph cannot become, before that is searched for."""
    code = generator.convert(generator.sample([0]), working_space(generator, None)) if part is None else part.code
    try:
        code_for(edit, generator, code)
    except SemanifoldError as error:
        space = shown(edit.space(generator), 20)
        raise SemanifoldError(
            f"The edit moves codes of {space}, which one of {code.space} cannot become; invert the photograph with "
            f'semanifold invert and space="{space}", and give that by inversion=.'
        ) from error


# ------------------------------------------------------------------------------------------------------------------ the edit


def edited(
    command: PhotoEdit, part: Inverted, edit: Edit | None, order: int, run: Run, caller: Caller
) -> tuple[EditedPicture, Answer]:
    """Return the edit on a code: the one that was named, or one that is searched for inside of the mask."""
    generator = part.generator
    if edit is not None:
        code = code_for(edit, generator, part.code)
        own = on_code(edit, code)
        mask = (
            mask_of(edit, generator, code, caller) if command.mask is None else read_mask(command.mask, generator, code, caller)
        )
        subject = EditedPicture(generator, code, own, mask)
        remark_nothing(subject, caller)
        return subject, Answer()
    assert command.mask is not None
    folder = command.folder / numbered(SEARCH, order)
    request = Discover(
        mask=command.mask,
        model=command.model,
        start=StartOptions(latents=part.file),
        search=Search(strength=command.strength),
        film=replace(command.film, umap=False),
        output=Output(out=folder, overwrite=command.output.overwrite),
    )
    mask = read_mask(command.mask, generator, part.code, caller)
    answer = search(request, generator, part.code, mask, caller)
    if answer.interrupted:
        return EditedPicture(generator, part.code, blank(part.code)), answer
    own = load_edit(folder / EDIT)
    return EditedPicture(generator, generator.convert(part.code, own.space(generator)), own, mask), answer


def filmed(command: PhotoEdit, place: Placement, subject: EditedPicture, order: int, run: Run, caller: Caller) -> Part:
    """Write the edit and the generator's pictures of a part, and return them."""
    subject, reach = subject.farther(command.strength if command.edit is not None else 1.0)
    save_edit(as_far(subject.edit, abs(reach)), run.path(numbered(EDIT, order)))
    t = film_moments(subject.edit, command.film)
    if subject.edit.dimensions == 1:
        beyond(caller, subject.edit, *(reach * float(end) for end in (t.min(), t.max())))
    return Part(place, subject, write_frames(run.path(numbered(FRAMES, order)), subject, reach * t, caller), reach)


def as_far(edit: Edit, reach: float) -> Edit:
    """Return an edit that goes as far as it is shown, where that is less far than it could: others show it as far, too."""
    if reach >= 1:
        return edit
    low, high = edit.info.usable
    return edit.with_info(usable=(reach * low, reach * high))


# ------------------------------------------------------------------------------------------------------- to the photograph


def write(command: PhotoEdit, photograph: Image.Image, parts: Sequence[Part], run: Run, caller: Caller) -> JsonObject:
    """Write the film, the still and the comparison; return their numbers."""
    media.save_png(outlined(photograph, [part.place for part in parts]), run.path(PARTS), source=None)
    longest = max(photograph.size)
    scale = min(1.0, (command.film.size or LARGEST_FILM) / longest)
    size = (max(1, round(photograph.width * scale)), max(1, round(photograph.height * scale)))
    small = photograph if size == photograph.size else photograph.resize(size, Image.Resampling.LANCZOS)
    loops = all(part.subject.edit.loops for part in parts)
    # a small photograph is enlarged as any small picture is; a large one is shown at its size
    film = command.film if max(size) <= media.VIEWABLE else replace(command.film, size=command.film.size or max(size))
    with caller.watching("the photograph's film") as line:
        frames = Photographs(small, parts, size[0] / photograph.width, line)
        save_films(run, frames, film, ping_pong=not loops, source=COMPOSITE)
    whole = Photographs(photograph, parts, 1.0)
    farthest = [farthest_frame(part, film_moments(part.subject.edit, command.film)) for part in parts]
    still = whole.at(farthest)
    media.save_png(still, run.path(STILL), source=COMPOSITE)
    media.save_png(before_after(photograph, still, parts), run.path(BOTH), source=COMPOSITE)
    changed = (still != whole.plain).any(-1)
    facts = {"changed": float(changed.mean()), "parts": [[list(corner) for corner in part.place.quad] for part in parts]}
    run.note(photograph=facts, digital_source_type=CODES + COMPOSITE)
    return facts


def farthest_frame(part: Part, t: EditTimes) -> int:
    """Return the frame of a part whose picture differs most from the unedited one, on the way that the edit is named for.

    Of an edit that goes both ways that is ``t >= 0``: a smile is a smile on every face, even where its fading changes more.
    """
    ways = np.ones(len(t), dtype=bool) if part.subject.edit.dimensions > 1 else np.asarray(t.cpu()) >= 0
    changes = [float((media.from_uint8(part.frames[i]) - part.plain).square().mean()) for i in range(len(part.frames))]
    return int(np.argmax(np.where(ways, changes, -1.0)))


def before_after(photograph: Image.Image, still: media.Frame, parts: Sequence[Part]) -> Image.Image:
    """Return the photograph before and after, whole, and each part from near."""
    after = Image.fromarray(still)
    rows = [media.contact_sheet([np.asarray(photograph), still], ["before", "after"], columns=2, size=480)]
    for part in parts:
        if max(part.place.size) < 0.7 * max(photograph.size):
            box = near(part.place, photograph)
            pair = [np.asarray(photograph.crop(box)), np.asarray(after.crop(box))]
            rows.append(media.contact_sheet(pair, columns=2, size=480))
    return media.stack_rows(rows, [""] * len(rows))


def near(place: Placement, photograph: Image.Image) -> tuple[int, int, int, int]:
    """Return the box of a close-up."""
    left, top, right, bottom = place.corners
    x, y, half_x, half_y = (left + right) / 2, (top + bottom) / 2, CLOSE * (right - left) / 2, CLOSE * (bottom - top) / 2
    return (
        max(0, round(x - half_x)),
        max(0, round(y - half_y)),
        min(photograph.width, round(x + half_x)),
        min(photograph.height, round(y + half_y)),
    )


def outlined(photograph: Image.Image, places: Sequence[Placement]) -> Image.Image:
    """Return the photograph with the parts outlined and numbered."""
    picture = media.enlarge(photograph, min(max(*photograph.size, media.VIEWABLE), LARGEST_FILM)).copy()
    fine = [FINER * side for side in picture.size]
    drawn = Image.new("L", fine)
    draw = ImageDraw.Draw(drawn)
    line = FINER * max(1, round(max(picture.size) / 300))
    for number, place in enumerate(places, 1):
        corners = place.scaled(fine[0] / photograph.width).quad
        draw.line([*corners, *corners[:2]], fill=255, width=line, joint="curve")
        draw.text(corners[0], str(number), fill=255, font=media.font(12 * line))
    picture.paste(media.ACCENT, mask=drawn.resize(picture.size, Image.Resampling.BOX))
    return picture


def sentences(parts: Sequence[Part], facts: Mapping[str, Json]) -> list[str]:
    """Return in words what changed in the photograph."""
    seen = [what_changed(part.subject, part.reach * film_moments(part.subject.edit, FilmOptions(), frames=9)) for part in parts]
    if len(parts) > 1:
        seen = [f"part {number}: {word}" for number, word in enumerate(seen, 1) if word]
    words = "; ".join(word for word in seen if word)
    whole = all(part.subject.mask is None for part in parts)
    how = "all others stay exactly as they are"
    if whole:
        how = "most by next to nothing; with a mask= all pixels outside of it stay as they are"
    said = f"{words}." if words else ""
    said = f"{said[0].upper()}{said[1:]} " if said else ""
    return [f"{said}{facts['changed']:.1%} of the photograph's pixels change, {how}."]
