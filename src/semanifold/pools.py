"""Pools: codes that paths are walked from, drawn once, named by their content, and kept in a file."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from semanifold.errors import SemanifoldError
from semanifold.exchange import READERS, read_codes
from semanifold.generators.base import Generator
from semanifold.generators.checkpoints import materialise
from semanifold.generators.containers import read
from semanifold.generators.inert import TensorRecord, UnreadableError
from semanifold.latents import Latents
from semanifold.storage.files import replacing
from semanifold.storage.records import read_settings

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

    @property
    def names(self) -> tuple[str, ...]:
        """One name a code, of sixteen hexadecimal digits: SHA-256 of its space, float32 values and label."""
        labels = self.codes.labels
        return tuple(
            _digest(self.codes.space, self.codes.values[i], None if labels is None else labels[i]) for i in range(len(self.codes))
        )

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits that name the whole pool: SHA-256 of space, values and labels."""
        return _digest(self.codes.space, self.codes.values, self.codes.labels)

    def codes_for(self, generator: Generator, space: str) -> Latents:
        """Return the codes in a space of a generator, on its device.

        Raises:
            SemanifoldError: if they were drawn for another generator, have another shape, or there is no way into the space.
        """
        what = f"The pool {self.source}" if self.source else "The pool"
        if self.fingerprint not in ("unknown", generator.fingerprint):
            raise SemanifoldError(
                f"{what} holds codes of {self.generator} ({self.fingerprint}), but the generator is {generator.name} "
                f"({generator.fingerprint}); draw a new pool with semanifold sample, or choose that --generator."
            )
        codes = self.codes.to(generator.device, generator.dtype)
        if codes.space not in generator.spaces:
            spaces = ", ".join(generator.spaces)
            raise SemanifoldError(f"{what} holds codes in {codes.space}, but {generator.name} has only the spaces {spaces}.")
        if tuple(codes.values.shape[1:]) != tuple(generator.spaces[codes.space]):
            raise SemanifoldError(
                f"{what} holds codes of {self.generator} of shape {tuple(codes.values.shape[1:])}, but those of {generator.name} "
                f"in {codes.space} have {tuple(generator.spaces[codes.space])}; draw a pool for this generator."
            )
        try:
            return generator.convert(codes, space)
        except SemanifoldError as error:
            raise SemanifoldError(
                f"{what} holds codes in {codes.space}, but codes in {space} are needed: {str(error).rstrip('.')}; draw a pool in "
                f"a space that leads there."
            ) from error


def _digest(space: str, values: Tensor, labels: Tensor | None) -> str:
    digest = hashlib.sha256(f"{space}{tuple(values.shape)}".encode())
    for part in (values, labels):
        if part is not None:
            digest.update(part.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def pool_of(codes: Latents, generator: Generator, seeds: tuple[int, ...] = ()) -> Pool:
    """Return codes of a generator as a pool."""
    return Pool(codes.to("cpu", torch.float32), generator.name, generator.fingerprint, tuple(seeds))


def save_pool(pool: Pool, path: str | os.PathLike[str]) -> None:
    """Write a pool as safetensors with a JSON header, to a temporary name first."""
    header = {"format": FORMAT, "space": pool.codes.space, "generator": pool.generator, "fingerprint": pool.fingerprint}
    header |= {"seeds": list(pool.seeds), "hash": pool.hash}
    tensors = {"values": pool.codes.values.contiguous()}
    if pool.codes.labels is not None:
        tensors["labels"] = pool.codes.labels.contiguous()
    with replacing(path) as part:
        save_file(tensors, part, metadata={"semanifold": json.dumps(header)})


def read_pool(path: str | os.PathLike[str], generator: Generator, space: str | None = None) -> Pool:
    """Read a pool: a run folder of ``semanifold sample``, a pool file, a pool of WarpedGANSpace, or a file of codes.

    Args:
        path: a folder that holds ``pool.safetensors``, or such a file; a folder of WarpedGANSpace's, with one
            ``<hash>/latent_code.pt`` a code; or a file that :func:`~semanifold.exchange.read_codes` reads.
        generator: what the codes are for.
        space: space of the codes in a plain file; needed only where their shape leaves it open.

    Raises:
        SemanifoldError: if there is no such pool, or it is damaged or half-written.
    """
    path = Path(path)
    if path.is_dir():
        if (path / POOL).is_file():
            return _read_file(path / POOL)
        if list(path.glob(f"*/{PUBLISHED}")):
            return _read_published(path, generator)
        raise SemanifoldError(
            f"{path} holds no {POOL} and no <hash>/{PUBLISHED}: it is no pool, or one that is half-written; run the same "
            "semanifold sample again, or give --seeds."
        )
    if not path.exists():
        raise SemanifoldError(f"There is no pool {path}; make one with semanifold sample, or give --seeds.")
    if path.suffix == ".safetensors" and _header(path):
        return _read_file(path)
    if path.suffix not in READERS:
        raise SemanifoldError(f"{path} is no pool: a folder of semanifold sample or a file of codes ({', '.join(READERS)}) is.")
    codes = read_codes(path, generator, space)
    return Pool(codes.to("cpu", torch.float32), generator.name, source=str(path))


def _header(path: Path) -> dict[str, Any]:
    """Return the header of a pool file; empty for another file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("semanifold", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise SemanifoldError(f"The pool {path} is damaged: {error}; draw it again with semanifold sample.") from error
    return header if isinstance(header, dict) and header.get("format") == FORMAT else {}


def _read_file(path: Path) -> Pool:
    header = _header(path)
    if not header:
        raise SemanifoldError(
            f"{path} is not a pool that this version of semanifold reads; draw it again with semanifold sample."
        )
    with safe_open(path, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    try:
        codes = Latents(tensors["values"], str(header["space"]), tensors.get("labels"))
        seeds = tuple(int(seed) for seed in header["seeds"])
        pool = Pool(codes, str(header["generator"]), str(header["fingerprint"]), seeds, str(path))
        sound = pool.hash == header["hash"]
    except (KeyError, TypeError, ValueError) as error:
        raise SemanifoldError(f"The pool {path} is damaged: {error!r}; draw it again with semanifold sample.") from error
    if not sound:
        raise SemanifoldError(f"The pool {path} is damaged: its codes are not those of its hash; draw it again.")
    return pool


def _read_published(folder: Path, generator: Generator) -> Pool:
    """Read a pool of WarpedGANSpace: codes of the first space; classes of BigGAN are given to the codes in turn."""
    places = sorted(p for p in folder.iterdir() if p.is_dir())
    parts: list[Tensor] = []
    for place in places:
        file = place / PUBLISHED
        if not file.is_file():
            raise SemanifoldError(f"The pool {folder} is half-written: there is no {file}; remove the folder {place}.")
        parts.append(_published_code(file).reshape(1, -1))
    if len({part.shape for part in parts}) > 1:
        raise SemanifoldError(f"The pool {folder} holds codes of different sizes: {sorted({p.shape[1] for p in parts})}.")
    settings = read_settings(folder / "args.json")
    codes = Latents(torch.cat(parts), next(iter(generator.spaces)))
    classes = settings.get("biggan_target_classes") or []
    if generator.classes and classes:
        each = [generator.sample([0], labels=int(classes[i % len(classes)])).labels for i in range(len(codes))]
        codes = replace(codes, labels=torch.cat([label for label in each if label is not None]).cpu())
    return Pool(codes, str(settings.get("gan_type", "unknown")), source=str(folder))


def _published_code(file: Path) -> Tensor:
    contents = read(file)
    held = contents.tree
    problem = contents.problem
    if not problem and not (isinstance(held, Tensor | TensorRecord) and held.dtype.is_floating_point):
        problem = "does not hold a tensor of floating-point numbers"
    if not problem:
        try:
            value = materialise(held)
            if torch.isfinite(value).all():
                return value.detach().float()
            problem = "holds NaN or infinite values"
        except UnreadableError as error:
            problem = f"cannot be read ({error})"
    raise SemanifoldError(f"The code {file} of a pool is damaged: it {problem}; remove its folder, or draw the pool again.")
