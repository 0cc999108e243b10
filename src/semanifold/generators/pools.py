"""Pools: codes that paths are walked from, drawn once, named by their content, and kept in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from semanifold.core.errors import SemanifoldError, of_type, shown
from semanifold.core.latents import LABELS, Latents, condition_tensors, conditions_in
from semanifold.generators.base import Generator, origin
from semanifold.generators.exchange import read_codes
from semanifold.storage.arrays import open_arrays
from semanifold.storage.digests import digest
from semanifold.storage.files import is_file, is_folder
from semanifold.storage.readings import Remark, silent
from semanifold.storage.records import read_settings, settle
from semanifold.storage.tensors import read_format, read_header, write_tensors

POOL = "pool.safetensors"
FORMAT = "semanifold-pool-1"
PUBLISHED = "latent_code.pt"
"""What WarpedGANSpace calls the file of one code, in a folder named after its hash."""


@dataclass(frozen=True)
class Pool:
    """Codes that belong together, and what they were drawn from.

    Attributes:
        codes: n codes, on the CPU.
        generator: name of the generator that they were drawn for.
        fingerprint: fingerprint of its weights; ``"unknown"`` for pools of other programs.
        seeds: the seed of every code; empty where it is not known.
        source: where the pool was read from; empty for one that was just drawn.
    """

    codes: Latents
    generator: str = "unknown"
    fingerprint: str = "unknown"
    seeds: tuple[int, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse what no file could give back."""
        settle(self, but=("codes",))
        for name in ("generator", "fingerprint"):
            object.__setattr__(self, name, shown(getattr(self, name), 200))
        of_type(self.codes, Latents, "A pool holds the Latents of a generator")
        if wrong := next((words for bad, words in _faults(self.codes.values, self.seeds) if bad), None):
            raise SemanifoldError(f"This is no pool of codes: {wrong}.")

    @property
    def names(self) -> tuple[str, ...]:
        """One name per code, of sixteen hexadecimal digits: SHA-256 of its space, float32 values and conditions."""
        return tuple(_digest_of(self.codes.values[i], self.codes[i].conditions, self.codes.space) for i in range(len(self.codes)))

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that name the whole pool: SHA-256 of space, values and conditions."""
        return _digest_of(self.codes.values, self.codes.conditions, self.codes.space)

    def codes_for(self, generator: Generator, space: str) -> Latents:
        """Return the codes in a space of a generator, on its device.

        Raises:
            SemanifoldError: if they were drawn for another generator, have another shape, or there is no way into the space.
        """
        what = f"The pool {self.source}" if self.source else "The pool"
        if self.fingerprint not in ("unknown", generator.fingerprint):
            raise SemanifoldError(
                f"{what} holds codes of {origin(self.generator)} ({self.fingerprint}), but the generator is {generator.name} "
                f"({generator.fingerprint}); draw a new pool with semanifold sample, or choose that generator=."
            )
        codes = self.codes.to(generator.device, generator.dtype)
        if codes.space not in generator.spaces:
            spaces = ", ".join(generator.spaces)
            raise SemanifoldError(f"{what} holds codes in {codes.space}, but {generator.name} has only the spaces {spaces}.")
        if tuple(codes.values.shape[1:]) != generator.spaces[codes.space].shape:
            raise SemanifoldError(
                f"{what} holds codes of shape {tuple(codes.values.shape[1:])}, but those of {generator.name} "
                f"in {codes.space} have {generator.spaces[codes.space].shape}; draw a pool for this generator."
            )
        try:
            return generator.convert(codes, space)
        except SemanifoldError as error:
            raise SemanifoldError(
                f"{what} holds codes in {codes.space}, but codes in {space} are needed: {str(error).rstrip('.')}; draw a pool in "
                f"a space that leads there."
            ) from error


def pool_of(codes: Latents, generator: Generator, seeds: tuple[int, ...] = ()) -> Pool:
    """Return codes of a generator as a pool."""
    return Pool(codes.to("cpu", torch.float32), generator.name, generator.fingerprint, tuple(seeds))


class _Header(msgspec.Struct):
    """What the header of a pool file says."""

    space: str
    generator: str
    fingerprint: str
    seeds: list[int]
    hash: str


def save_pool(pool: Pool, path: str | os.PathLike[str]) -> None:
    """Write a pool as safetensors with a JSON header, to a temporary name first."""
    header = {"format": FORMAT, "space": pool.codes.space, "generator": pool.generator, "fingerprint": pool.fingerprint}
    header |= {"seeds": list(pool.seeds), "hash": pool.hash}
    write_tensors(path, {"values": pool.codes.values} | condition_tensors(pool.codes), header)


def _digest_of(values: Tensor, conditions: Mapping[str, Tensor], space: str) -> str:
    others = {name: value for name, value in conditions.items() if name != LABELS}
    return digest({space: values}, conditions.get(LABELS), others)


def read_pool(path: str | os.PathLike[str], generator: Generator, space: str | None = None, *, remark: Remark = silent) -> Pool:
    """Read a pool: a run folder of ``semanifold sample``, a pool file, a pool of WarpedGANSpace, or a file of codes.

    Args:
        path: a folder that holds ``pool.safetensors``, or such a file; a folder of WarpedGANSpace's, with one
            ``<hash>/latent_code.pt`` per code; or a file that :func:`~semanifold.generators.exchange.read_codes` reads.
        generator: what the codes are for.
        space: space of the codes in a plain file; needed only where their shape leaves it open.
        remark: is given the sentence that says how the codes of a plain file were read.

    Raises:
        SemanifoldError: if there is no such pool, or it is damaged or half-written.
    """
    path = Path(path)
    if is_folder(path):
        if is_file(path / POOL):
            return _read_file(path / POOL)
        if list(path.glob(f"*/{PUBLISHED}")):
            return _read_published(path, generator)
        raise SemanifoldError(
            f"{shown(str(path), 200)} holds no {POOL} and no <hash>/{PUBLISHED}: it is no pool, or one that is half-written; run "
            "the same semanifold sample again, or give seeds=."
        )
    if not os.path.lexists(path):
        raise SemanifoldError(f"There is no pool {shown(str(path), 200)}; make one with semanifold sample, or give seeds=.")
    if is_pool(path):
        return _read_file(path)
    codes = read_codes(path, generator, space, remark=remark)
    return Pool(codes.to("cpu", torch.float32), generator.name, source=shown(str(path), 200))


def is_pool(path: Path) -> bool:
    """Whether a file is a pool that semanifold wrote."""
    try:
        return read_header(path).get("format") == FORMAT
    except SemanifoldError:  # no safetensors file, or a damaged one, which its reader refuses
        return False


def _read_file(path: Path) -> Pool:
    name = shown(str(path), 200)
    header, tensors = read_format(path, FORMAT, _Header, "pool", "draw it again with semanifold sample")
    values = tensors.get("values")
    wrong = next((words for bad, words in _faults(values, header.seeds) if bad), None)
    conditions: dict[str, Tensor] = {}
    if values is not None and wrong is None:
        try:
            conditions = conditions_in(tensors, len(values))
        except SemanifoldError as error:
            wrong = str(error)
    if values is None or wrong is not None:
        raise SemanifoldError(f"The pool {name} is damaged: {wrong}; draw it again with semanifold sample.")
    space, made_for, fingerprint = (shown(word, 200) for word in (header.space, header.generator, header.fingerprint))
    pool = Pool(Latents(values, space, conditions), made_for, fingerprint, tuple(header.seeds), name)
    if pool.hash != header.hash:
        raise SemanifoldError(f"The pool {name} is damaged: its codes are not those of its hash; draw it again.")
    return pool


def _faults(values: Tensor | None, seeds: Sequence[int]) -> list[tuple[bool, str]]:
    """Return what may be wrong with the tensors of a pool, and whether it is."""
    if values is None or values.ndim < 2 or 0 in values.shape or not values.is_floating_point():
        return [(True, "it holds no codes [n, ...] under the name values")]
    count = len(values)
    return [
        (not torch.isfinite(values).all(), "its codes hold NaN or infinite values"),
        (len(seeds) not in (0, count), f"it names {len(seeds)} seeds for {count} codes"),
        (any(abs(seed) >= 1 << 64 for seed in seeds), "its seeds are no seeds"),
    ]


def _read_published(folder: Path, generator: Generator) -> Pool:
    """Read a pool of WarpedGANSpace: codes of the first space; classes of BigGAN are given to the codes in turn."""
    name = shown(str(folder), 200)
    parts: list[Tensor] = []
    for place in sorted(p for p in folder.iterdir() if p.is_dir()):
        file = place / PUBLISHED
        if not file.is_file():
            raise SemanifoldError(f"The pool {name} is half-written: there is no {file}; remove the folder {place}.")
        parts.append(_published_code(file).reshape(1, -1))
    if len({part.shape for part in parts}) > 1:
        raise SemanifoldError(f"The pool {name} holds codes of different sizes: {sorted({p.shape[1] for p in parts})}.")
    settings = read_settings(folder / "args.json")
    codes = Latents(torch.cat(parts), generator.first_space)
    classes = settings.get("biggan_target_classes") or []
    if generator.classes and classes:
        numbers = [k for k in classes if type(k) is int and 0 <= k < generator.classes] if isinstance(classes, list) else []
        if not isinstance(classes, list) or len(numbers) < len(classes):
            raise SemanifoldError(f"The args.json of {name} names classes that {generator.name} does not have; mend it.")
        labels = [generator.sample([0], labels=numbers[i % len(numbers)]).labels for i in range(len(codes))]
        codes = replace(codes, conditions={LABELS: torch.cat([label for label in labels if label is not None]).cpu()})
    return Pool(codes, shown(str(settings.get("gan_type", "unknown"))), source=name)


def _published_code(file: Path) -> Tensor:
    try:
        arrays = open_arrays(file, "code of a pool")
        leaves = list(arrays.leaves.values())
        if len(leaves) != 1 or not leaves[0].dtype.is_floating_point or 0 in leaves[0].shape:
            raise SemanifoldError("it does not hold a tensor of floating-point numbers")
        value = arrays.tensors(leaves)[0].float()
        if not torch.isfinite(value).all():
            raise SemanifoldError("it holds NaN or infinite values")
    except SemanifoldError as error:
        words = f"The code {file} of a pool is damaged: {str(error).rstrip('.')}"
        raise SemanifoldError(f"{words}; remove its folder, or draw the pool again.") from error
    return value
