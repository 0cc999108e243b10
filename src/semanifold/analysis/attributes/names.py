"""What the command line calls attributes: ``faces,pose,pose.onnx,clip:a cat|an animal,mine.py:blue``."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from semanifold.analysis.attributes.base import AttributeReader
from semanifold.analysis.attributes.clip_texts import DEFAULT_MODEL, ClipAttributes, Prompts
from semanifold.analysis.attributes.faces import FacesAttributes
from semanifold.analysis.attributes.functions import CombinedAttributes, user_reader
from semanifold.analysis.attributes.onnx_descriptions import DESCRIPTIONS
from semanifold.analysis.attributes.onnx_files import onnx_reader
from semanifold.analysis.attributes.published import MEASURES, published_names, published_reader
from semanifold.core.errors import SemanifoldError, shown
from semanifold.worlds.faces.factors import factor_names

FACES = "faces"
CLIP = "clip"

Device = torch.device | str


def attribute_reader(text: str, folder: str | os.PathLike[str] | None = None, device: Device = "cpu") -> AttributeReader:
    """Return one reader of all the attributes that a text names, with commas between them.

    What shares a network or a detector is read together, so its columns stand together.

    Args:
        text: one or several of

            - ``faces``, all factors of the bundled faces, or ``faces:smile``, one of them;
            - ``published``, all published networks, or a name of
              :func:`~semanifold.analysis.attributes.published.published_reader` such as ``pose`` or ``age``;
            - ``file.onnx`` with its description ``file.json`` beside it, see
              :func:`~semanifold.analysis.attributes.onnx_files.onnx_reader`;
            - ``clip:PROMPT|AGAINST`` without commas, see :class:`~semanifold.analysis.attributes.clip_texts.ClipAttributes`;
            - ``file.py:name``, your own function of pictures or reader. This runs the file.
        folder: where the weights of published networks are looked for, and in its folder ``clip`` those of CLIP; the zoo's, and
            ``transformers``' own folder, when None.
        device: where networks shall lie.

    Raises:
        SemanifoldError: for an unknown name, a missing file (saying how to get it), or two attributes of the same name.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise SemanifoldError(
            f"An attribute is missing in {shown(text)!r}; give names with single commas between them, such as faces,pose."
        )
    groups: dict[str, list[str]] = {}
    for part in dict.fromkeys(parts):
        groups.setdefault(_kind(part), []).append(part)
    makers: dict[str, Callable[[Sequence[str]], AttributeReader]] = {
        FACES: lambda names: FacesAttributes([] if FACES in names else [name.partition(":")[2] for name in names], device),
        "published": partial(_published, folder=folder, device=device),
        CLIP: partial(_clip, folder=folder, device=device),
        "file": lambda names: CombinedAttributes([_of_file(name) for name in names]),
    }
    readers = [makers[kind](names) for kind, names in groups.items()]
    return readers[0] if len(readers) == 1 else CombinedAttributes(readers)


def _kind(part: str) -> str:
    """Say which kind of reader a name belongs to."""
    if part == FACES or part.startswith(f"{FACES}:"):
        return FACES
    if part in published_names():
        return "published"
    if part.startswith(f"{CLIP}:"):
        return CLIP
    if Path(part).suffix in (".onnx", *DESCRIPTIONS) or _own(part):
        return "file"
    every = [*published_names(), FACES, *(f"{FACES}:{name}" for name in factor_names())]
    near = [f"{FACES}:{part}"] if part in factor_names() else difflib.get_close_matches(part[:200], every, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, near))}? There" if near else "there"
    raise SemanifoldError(
        f"There is no attribute {shown(part)!r}: {hint} are: {FACES}, {FACES}:FACTOR, published, {', '.join(MEASURES)}, any "
        "single attribute of these, FILE.onnx, clip:PROMPT|AGAINST, FILE.py:NAME."
    )


def _own(part: str) -> re.Match[str] | None:
    return re.fullmatch(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)", part)


def _of_file(part: str) -> AttributeReader:
    own = _own(part)
    return user_reader(Path(own["file"]), own["name"]) if own else onnx_reader(part)


def _published(names: Sequence[str], folder: str | os.PathLike[str] | None, device: Device) -> AttributeReader:
    try:
        return published_reader(names, folder, device)
    except SemanifoldError as error:
        if same := [f"{FACES}:{name}" for name in names if name in factor_names()]:
            raise SemanifoldError(f"{error} On pictures like the bundled faces, give {','.join(same)}.") from error
        raise


def _clip(names: Sequence[str], folder: str | os.PathLike[str] | None, device: Device) -> AttributeReader:
    beside = Path(folder) / CLIP if folder is not None else None
    model = beside if beside is not None and beside.is_dir() else DEFAULT_MODEL
    return ClipAttributes([Prompts.parse(name.removeprefix(f"{CLIP}:")) for name in names], model, device)
