"""Generators from files, addresses and names: :func:`load_generator`, :func:`convert`, :func:`save_generator`.

No code from any file runs (see :mod:`~semanifold.storage.unpickling`), except for ``file.py:name``, the user's own.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError

from semanifold.core.errors import SemanifoldError, first_line, near_names, of_type, shown
from semanifold.core.world import bundled, worlds
from semanifold.generators.architectures import ARCHITECTURES, FORMAT, generator_of, identify, other_network, row_of
from semanifold.generators.base import Generator
from semanifold.generators.states import Say, silent
from semanifold.generators.wrapped import Wrapped, check_steady
from semanifold.storage import zoo
from semanifold.storage.arrays import write_torch
from semanifold.storage.checkpoints import Networks, networks_in, read_header
from semanifold.storage.containers import Contents, read
from semanifold.storage.fetching import fetch, is_url
from semanifold.storage.files import check_new_file
from semanifold.storage.inert import UnreadableError
from semanifold.storage.own_files import from_own_file
from semanifold.storage.tensors import write_tensors

Layout = Literal["semanifold", "rosinality", "nvidia"]
"""How the tensors of a file are called."""

EXPECTED = (
    f"weights of {', '.join(row.kind for row in ARCHITECTURES)} are expected (.pt, .pth, .pkl or .safetensors), "
    "or any generator by way of semanifold.wrap"
)


def _bundled(name: str) -> Generator:
    """Return a generator that comes with the package; one that makes pictures of label maps has those of all seeds."""
    world = bundled()[name]
    file = world.generators[name]
    if file is None:
        return world.formula(name)
    if not file.exists():
        raise SemanifoldError(
            f"The weights of the generator '{name}' are not in this installation; use 'analytic', or install again."
        )
    generator = load_file(file, name=name)
    return generator.with_inputs(world.maps()) if generator.takes_inputs else generator


UNKNOWN = "unknown"
"""The licence of weights that nothing is known of."""


def load_generator(
    path_or_name: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    sha256: str | None = None,
    inputs: str | os.PathLike[str] | None = None,
    say: Say = silent,
) -> Generator:
    """Return a frozen generator of a file, an address or a bundled name. Sizes and conditioning are read from the file.

    Args:
        path_or_name: one of

            - the name of one that comes with the package: ``"faces"``, ``"analytic"`` or ``"facemaps"``;
            - a name of the zoo (``semanifold zoo list``) whose file has been fetched;
            - a file: rosinality ``.pt``, also inside of pSp's and e4e's; NVIDIA ``.pkl`` of stylegan2-ada-pytorch, of stylegan3's
              StyleGAN2 or of the TensorFlow StyleGAN2; genforce's StyleGAN2 ``.pth``; BigGAN-PyTorch's ``G_ema.pth``,
              ``generator.pt`` of an SN-GAN, ``.pth`` of a Progressive GAN, ``latest_net_G.pth`` of pix2pixHD; a checkpoint of a
              training, a whole module or a state dict of one of these (``.pt``, ``.pth``, ``.safetensors``), whatever else is in
              it; our own ``.safetensors``;
            - ``https://...#sha256=HEX``, downloaded once into the cache folder and verified;
            - ``file.py:name``, your own generator (see :func:`semanifold.generators.wrapped.wrap`). This runs the file.
        device: where it shall lie.
        dtype: precision of its weights.
        sha256: SHA-256 that the file must have; needed for an address that does not carry it.
        inputs: folder of label maps, or of photos, that the seeds of a generator of pictures number, in the order of their names;
            ``"facemaps"`` for the endless maps of that bundled generator, for one of its kind.
        say: gets a sentence about whatever the file lacks and was drawn, and about what was left out.

    Raises:
        SemanifoldError: saying what the file is, what was expected, and what to do. No code from a file ever runs.
    """
    of_type(
        path_or_name,
        (str, os.PathLike),
        "A generator is the name of one, a file or an address; semanifold.wrap takes a module or a function",
    )
    text = os.fspath(path_or_name)
    own = re.fullmatch(r"(?P<file>.+\.py):(?P<name>[A-Za-z_]\w*)", text)
    if sha256 and (text in bundled() or own):
        raise SemanifoldError(f"A SHA-256 belongs to a file or an address, not to {shown(text, 200)!r}; leave it out.")
    if text in bundled():
        generator = _bundled(text)
    elif is_url(text):
        generator = _from_address(text, sha256, say)
    elif own:
        generator = _of_user(Path(own["file"]), own["name"])
    elif not os.path.exists(text) and text in zoo.table():
        generator = load_file(zoo.located_file(text), sha256=sha256, name=text, say=say)
    elif text.endswith(".py"):
        raise SemanifoldError(f"{shown(text, 200)} is Python code; say which generator in it: {shown(text, 200)}:NAME.")
    else:
        zoo.check_name(text)
        generator = load_file(text, sha256=sha256, say=say)
    if inputs is not None:
        named = bundled().get(os.fspath(inputs))
        if named is not None and generator.takes_inputs and not os.path.exists(inputs):
            generator = generator.with_inputs(named.maps())
        else:
            generator = generator.with_folder(inputs, say=say)
    try:
        if torch.device(device).type == "meta":
            raise RuntimeError("it holds no numbers")
        return generator.to(device=device, dtype=dtype)
    except (RuntimeError, AssertionError, TypeError, ValueError) as error:
        where, kind = shown(str(device)), shown(str(dtype))
        raise SemanifoldError(
            f"{generator.name} cannot be moved to {where} as {kind}: {shown(first_line(error), 200)}."
        ) from error


def load_file(
    path: str | os.PathLike[str], *, sha256: str | None = None, name: str | None = None, say: Say = silent
) -> Generator:
    """Return the generator of a file of weights, float32 on the CPU; see :func:`load_generator`."""
    return from_contents(path, _verified(path, sha256), name=name, say=say)


def from_contents(path: str | os.PathLike[str], contents: Contents, *, name: str | None = None, say: Say = silent) -> Generator:
    """Return the generator of a file that has been read already."""
    file = shown(os.fspath(path), 200)
    if contents.tree is None:
        raise SemanifoldError(f"{file} {contents.problem}; {EXPECTED}.")
    try:
        networks, header = networks_in(contents.tree), read_header(contents)
        if not networks.values:
            raise SemanifoldError(f"It holds {_what(contents.tree)}; {EXPECTED}.")
        network = identify(networks, header)
        if network is None:
            raise SemanifoldError(_refusal(networks))
        words = {key: shown(str(header.get(key, fallback)), 200) for key, fallback in _words(path).items()}
        words |= {"name": name} if name else {}
        generator = generator_of(network, contents, Path(path).parent, words, lambda words: say(f"{file}: {words}."))
        if generator.licence == UNKNOWN:
            generator.licence = zoo.licence_of(path, contents.sha256) or UNKNOWN
        if zoo.restricted(generator.licence):
            may = "may be" if generator.licence.startswith("not stated") else "are"
            say(f"The weights of {shown(generator.name, 100)} {may} for non-commercial use: {shown(generator.licence, 100)}.")
        if (world := worlds().get(str(header.get("world")))) is not None:
            generator.world = world  # its weights were made of some that show it
        return generator
    except SemanifoldError as error:
        raise SemanifoldError(f"{file}: {shown(str(error), 400)}") from error
    except UnreadableError as error:
        raise SemanifoldError(f"{file} ({contents.format}) {shown(str(error), 200)}; get a fresh copy.") from error
    except (RuntimeError, TypeError, ValueError, OverflowError, MemoryError) as error:
        raise SemanifoldError(f"{file} ({contents.format}) is damaged: {shown(str(error))}; get a fresh copy.") from error


def _refusal(networks: Networks) -> str:
    if other := other_network(networks.values, anywhere=True):
        return f"It holds {other}, which semanifold does not load yet as a generator; {EXPECTED}."
    names = ", ".join(shown(key, 40) for key in list(networks.values)[:3])
    return f"It holds {len(networks.values)} tensors of an unknown network ({names}, ...); {EXPECTED}."


def _what(tree: object) -> str:
    if isinstance(tree, dict):
        keys = ", ".join(shown(str(key), 20) for key in list(tree)[:6])
        return f"a dictionary without a generator (its keys: {keys})" if keys else "an empty dictionary"
    return "a single tensor or value, such as a direction, and no generator"


def _words(path: str | os.PathLike[str]) -> dict[str, str]:
    return {"name": Path(path).stem, "source": os.fspath(path), "licence": UNKNOWN}


def _verified(path: str | os.PathLike[str], sha256: str | None) -> Contents:
    contents = read(path)
    if sha256 and contents.sha256 != sha256.lower():
        raise SemanifoldError(
            f"{shown(os.fspath(path), 200)} has the SHA-256 {contents.sha256}, but {shown(sha256.lower())} was expected: it is "
            "damaged or another file."
        )
    return contents


def _from_address(address: str, sha256: str | None, say: Say) -> Generator:
    path, digest = fetch(address, sha256)
    try:
        contents = _verified(path, digest)
    except SemanifoldError:
        path.unlink(missing_ok=True)  # the cached copy was changed; the next call downloads it again
        raise
    generator = from_contents(path, contents, say=say)
    generator.source = address
    return generator


def _of_user(file: Path, name: str) -> Generator:
    """Run the user's own file and take a generator from it."""

    def called(thing: Any) -> Any:
        return thing() if callable(thing) and not isinstance(thing, torch.nn.Module) else thing

    made = from_own_file(file, name, "a generator made by semanifold.wrap", called)
    if not isinstance(made, Generator):
        what = "a torch module of the class" if isinstance(made, torch.nn.Module) else "of the type"
        raise SemanifoldError(
            f"{file}:{name} is {what} {type(made).__name__}, not a generator of semanifold; write "
            f"{name} = semanifold.wrap(module, latent_shape), or a function without arguments that returns this."
        )
    if not isinstance(made, Wrapped):  # which has been checked already
        check_steady(made)
    return made


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    half: bool = False,
    layout: Layout | None = None,
    overwrite: bool = False,
    sha256: str | None = None,
    say: Say = silent,
) -> Generator:
    """Write any file that :func:`load_generator` reads as our safetensors, and return the generator of the new file.

    Args:
        source: file, address or name of the weights.
        target: the new file, ``.safetensors``, or ``.pt`` for other programs.
        half: store 16-bit floats, half the size; the pictures are then no longer exactly the same.
        layout: see :func:`save_generator`.
        overwrite: whether ``target`` may be replaced.
        sha256: SHA-256 that the source must have.
        say: gets a sentence about whatever the source lacks and was drawn, and about what was left out.

    Raises:
        SemanifoldError: if the source cannot be read or the target cannot be written; nothing half-written remains.
    """
    _check_target(Path(target), overwrite, layout)
    text = os.fspath(source)
    path, digest = fetch(text, sha256) if is_url(text) else (weights_file(text), sha256)
    contents = _verified(path, digest)
    generator = from_contents(path, contents, say=say)
    if not read_header(contents):
        generator.source = text
    original = shown(str(read_header(contents).get("original_sha256", contents.sha256)))
    save_generator(generator, target, half=half, layout=layout, overwrite=overwrite, original_sha256=original, say=say)
    return load_file(target)


def weights_file(text: str) -> Path:
    """Return the file of a bundled name, of a name of the zoo, or of a path."""
    if os.path.exists(text):
        return Path(text)
    if text in bundled():
        file = bundled()[text].generators[text]
        if file is None:
            raise SemanifoldError(f"The generator {text} has no weights; it is a formula.")
        return file
    return zoo.located_file(text) if text in zoo.table() else Path(text)


def save_generator(
    generator: Generator,
    path: str | os.PathLike[str],
    *,
    half: bool = False,
    layout: Layout | None = None,
    overwrite: bool = False,
    original_sha256: str = "",
    say: Say = silent,
) -> None:
    """Write a generator as safetensors; its header holds the configuration, name, source and licence.

    Args:
        generator: the generator.
        path: the new file, ``.safetensors``, or ``.pt`` for other programs.
        half: store 16-bit floats, half the size; they are loaded as float32.
        layout: how the tensors are called: ``"semanifold"``, the only one that holds the configuration and the default for
            ``.safetensors``; of a StyleGAN2 also ``"rosinality"``, the ``.pt`` of rosinality/stylegan2-pytorch and the default
            for ``.pt``, or ``"nvidia"``, the state dict of stylegan2-ada-pytorch.
        overwrite: whether the file may be replaced.
        original_sha256: SHA-256 of the file that the weights are from.
        say: gets what the other program needs to be told.

    Raises:
        SemanifoldError: if the weights are not finite or the file cannot be written; nothing half-written remains.
    """
    of_type(path, (str, os.PathLike), "The target is the name of a file")
    of_type(layout, (type(None), str), "A layout is a name")
    of_type(overwrite, bool, "overwrite is True or False")
    if not callable(say):
        raise SemanifoldError("say is a function of one text, such as print.")
    path = Path(path)
    row = row_of(generator)
    if row is None:
        kinds = ", ".join(row.kind for row in ARCHITECTURES)
        raise SemanifoldError(f"{type(generator).__name__} cannot be saved as safetensors; these generators can: {kinds}.")
    layout = _check_target(path, overwrite, layout)

    def remark(words: str) -> None:
        say(f"{shown(str(path), 200)}: {words}.")

    if layout == "semanifold":
        state, beside = {key: value.detach().cpu() for key, value in generator.state_dict().items()}, {}
    elif layout in row.writers:
        state, beside = row.writers[layout](generator, remark)
    else:
        able = " or ".join(row.kind for row in ARCHITECTURES if layout in row.writers)
        raise SemanifoldError(f"{generator.name} is a {row.kind}; only a {able} can be written in the layout {layout}.")
    state = {key: value.half() if half else value for key, value in state.items()}
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise SemanifoldError(
                f"{key} holds NaN, infinite{' or (for 16 bits) too large' if half else ''} values; it was not saved."
            )
    header = {
        "format": FORMAT,
        "architecture": row.name,
        "config": dataclasses.asdict(generator.config),
        "name": generator.name,
        "source": generator.source,
        "licence": generator.licence,
        "world": generator.world.name if generator.world is not None else "",
        "original_sha256": original_sha256,
    }
    try:
        if path.suffix != ".safetensors":
            write_torch(path, {"g_ema": state, **beside} if beside else state)
        else:
            write_tensors(path, state, header if layout == "semanifold" else None)
    except (OSError, ValueError, SafetensorError) as error:
        why = shown(first_line(error))
        raise SemanifoldError(f"{shown(str(path), 200)} cannot be written: {why}; choose another name or folder.") from error


def _check_target(path: Path, overwrite: bool, layout: Layout | None) -> Layout:
    """Refuse a file that cannot be written in this layout, and return the layout."""
    name = shown(str(path), 200)
    if layout is not None and layout not in get_args(Layout):
        raise SemanifoldError(f"There is no layout {shown(str(layout), 40)!r}: {near_names(str(layout), get_args(Layout))}")
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise SemanifoldError(f"The target {name} must end in .safetensors, or in .pt for other programs.")
    chosen: Layout = layout or ("semanifold" if path.suffix == ".safetensors" else "rosinality")
    if chosen == ("rosinality" if path.suffix == ".safetensors" else "semanifold"):
        end = ".pt" if chosen == "rosinality" else ".safetensors"
        raise SemanifoldError(f"The layout {chosen} is written to files that end in {end}, but the target is {name}.")
    check_new_file(path, overwrite=overwrite)
    return chosen
