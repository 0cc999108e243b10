"""``semanifold edit``: from a photograph to the same photograph, edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

from semanifold.app.answers import Answer
from semanifold.app.commands import early, places
from semanifold.app.commands.arguments import FILM, GENERATOR, MAIN, PLACE, START, flat, option
from semanifold.app.commands.base import Command, FilmOptions, Model, Output, onto_others
from semanifold.app.commands.invert import CODE, check_part, check_photo, corners, corners_text
from semanifold.core.errors import SemanifoldError, whole_number
from semanifold.inversion.settings import MOST_STEPS
from semanifold.storage.files import is_file

INVERSION, SEARCH = "inversion", "search"
STILL, BOTH, FILM_FILE = "edited.png", "before_after.png", "film.mp4"
FIRST = (BOTH, FILM_FILE, STILL)
"""What to open first."""


@dataclass(frozen=True, kw_only=True)
class PhotoEdit(Command):
    """Change a photograph: find the face and its code, edit that, and put what changed back into the photograph.

    With a generator of faces the largest face is taken, with others the middle of the photograph. Only pixels inside of the mask
    change; all pixels outside of it stay as they are, bit for bit.

    Attributes:
        photo: picture file.
        mask: where the photograph may change, as for discover; if no edit is named, a change inside of it is searched for.
        edit: an edit that was found: run folder, edit.safetensors file, or one path of a set, such as faces:smile.
        path: number or name of the path, if the edit is a set of paths.
        strength: how large the change is; of an edit, how many times as far it goes.
        face: which faces, 1 for the largest; 0 looks for none and takes the middle.
        all_faces: edit all faces of the photograph.
        crop: left,top,right,bottom of the part of the photograph to take, as fractions of it.
        tune_noise: also find the noise maps of the layers, for generators that have any, in so many steps (100 is usual).
        tune: also change the weights of the generator a little, in so many steps (100 is usual), until its picture is nearer.
        inversion: folder of a finished invert of this photograph; its code, part and tuned weights are used.
        model: Which generator makes the pictures.
        film: What the film looks like.
        output: Where the results go.
    """

    does: ClassVar[str] = "semanifold.app.actions.photographs:edit_photo"
    photo: Annotated[Path, option("PHOTO")] = field(kw_only=False)
    mask: Annotated[str | None, option("MASK", group=MAIN)] = None
    edit: Annotated[Path | None, option("RUN", group=MAIN)] = None
    path: Annotated[str | None, option("N|NAME", group=MAIN)] = None
    strength: Annotated[float, option("X", group=MAIN)] = 1.0
    face: Annotated[tuple[int, ...], option("N ...", group=MAIN)] = (1,)
    all_faces: Annotated[bool, option(group=MAIN)] = False
    crop: Annotated[tuple[float, float, float, float] | None, option("L,T,R,B", group=MAIN, read=corners, write=corners_text)] = (
        None
    )
    tune_noise: Annotated[int, option("STEPS", group=START)] = 0
    tune: Annotated[int, option("STEPS", group=START)] = 0
    inversion: Annotated[Path | None, option("RUN", group=START)] = None
    model: Annotated[Model, flat(GENERATOR)] = field(default_factory=Model)
    film: Annotated[FilmOptions, flat(FILM)] = field(default_factory=FilmOptions)
    output: Annotated[Output, flat(PLACE)] = field(default_factory=Output)

    def __post_init__(self) -> None:
        """Call the same edit the same."""
        places.name_once(self)

    @classmethod
    def parsed_as(cls, words: Sequence[str]) -> type[Command]:
        """See :meth:`Command.parsed_as`; ``--face 1`` beside ``--all-faces`` is seen in the words alone, for 1 is the default."""
        typed = [word.partition("=")[0] for word in words]
        options = typed[: typed.index("--")] if "--" in typed else typed
        if "--all-faces" in options and "--face" in options:
            raise SemanifoldError("Give --face or --all-faces.")
        return cls

    @property
    def folder(self) -> Path:
        """The run folder."""
        what = [word for word in (self.edit and self.edit.name, self.path, self.mask) if word]
        which = ["all"] if self.all_faces else [] if self.face == (1,) else ["face", *map(str, self.face)]
        crop = [] if self.crop is None else ["crop", corners_text(self.crop)]
        return self.output.folder("edit", self.model.word, self.photo.stem, *which, *crop, *what)

    @property
    def inputs(self) -> list[Path]:
        """The files that decide the result."""
        edits = [] if self.edit is None else [self.edit]
        codes = None if self.inversion is None else self.inversion / CODE
        return [self.photo, *early.inputs(masks=[self.mask] if self.mask else [], codes=codes, edits=edits)]

    @property
    def then(self) -> tuple[object, ...]:
        """The words of the command to type next: the same edit at another strength, with no search.

        For several faces: the edit that was given, on all of them; or what was found for the first face, on that. An edit that
        was given at a strength of its own has been tried; other faces have not.
        """
        if self.edit is not None and self.strength != 1:
            return onto_others(self.folder, self.model.generator)
        words = ("edit", self.photo, *self.model.words)
        strength = ("--strength", "-1" if self.strength == 0.5 else "0.5")
        again = f"{self.folder}-{'backwards' if self.strength == 0.5 else 'half'}"
        several = ("--all-faces",) if self.all_faces else ("--face", *self.face) if len(self.face) > 1 else ()
        if several and self.edit is not None:
            path = () if self.path is None else ("--path", self.path)
            return (*words, "--edit", self.edit, *path, *several, *strength, "--out", again)
        edit = self.folder / SEARCH if several else self.folder
        return (*words, "--edit", edit, "--inversion", self.inversion or self.folder / INVERSION, *strength, "--out", again)

    def settled(self) -> Answer | None:
        """See :meth:`Command.settled`."""
        check_photo(self.photo)
        if self.mask is None and self.edit is None:
            raise SemanifoldError("Say what to change: --mask mouth searches for a change there, --edit faces:smile takes one.")
        if self.path is not None and self.edit is None:
            raise SemanifoldError("--path names a path of a set of paths; name the set by --edit.")
        if not 0 < abs(self.strength) <= 10 or (self.edit is None and self.strength < 0):
            raise SemanifoldError(f"strength is above 0 and at most 10, or below 0 for an edit, but it is {self.strength:g}.")
        for name in ("tune_noise", "tune"):
            whole_number(getattr(self, name), 0, MOST_STEPS, f"{name.replace('_', '-')}, the number of steps,")
        if not self.face:
            raise SemanifoldError("--face takes the number of a face, 1 for the largest; or give --all-faces.")
        if self.all_faces and self.face != (1,):
            raise SemanifoldError("Give --face or --all-faces.")
        check_part(self.crop, [1] if self.all_faces else [face for face in self.face if self.face != (1,)])
        if len(set(self.face)) < len(self.face) or (0 in self.face and len(self.face) > 1):
            raise SemanifoldError("Each face is named once, and 0, for none, alone.")
        if self.inversion is not None:
            if self.crop is not None or self.tune or self.tune_noise or self.all_faces or self.face != (1,):
                raise SemanifoldError("An inversion has its own part of the photograph and its own weights; leave those options.")
            if not is_file(self.inversion / CODE):
                inner = self.inversion / INVERSION
                where = f"{inner} does" if is_file(inner / CODE) else "give the folder of a finished semanifold invert"
                raise SemanifoldError(f"{self.inversion} holds no {CODE}; {where}.")
        early.check_masks([self.mask] if self.mask else [], self.model.generator)
        if self.edit is not None:
            places.described(self.edit, self.path)
        return early.finished(self, "edit", self.folder, self.inputs, FIRST, self.then)
