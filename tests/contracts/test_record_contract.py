"""What every record keeps to that is written to a file: what can be made can be written, and read again as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.instances import made

import semanifold as sm
from semanifold.analysis.attributes.base import Attribute
from semanifold.core.errors import SemanifoldError
from semanifold.edits import EditInfo, Lattice, load_edit, save_edit
from semanifold.generators.pools import Pool, read_pool, save_pool
from semanifold.paths.base import PathSetInfo
from semanifold.paths.files import load_paths, save_paths
from semanifold.paths.linear import LinearPaths
from semanifold.storage.records import read_json, write_json

UNCHANGED: tuple[Any, ...] = (
    *(None, True, 3, -1, 2.5, float("inf"), 10**400, np.float64(0.5), np.int64(2), torch.tensor(1.0), b"bytes", "", "word"),
    *(("a", "b"), ["a"], (0, 1), (1, 0), (0.0, np.float32(2.5)), (0, float("nan")), np.arange(2), {"a", "b"}, object()),
    *({}, {0: "smile"}, {np.int64(1): "smile"}, {2: "no such path"}, {"0": 1}, {"low": (0.0, -1.0), "high": (1.0, 1)}),
    *(np.True_, np.str_("word"), range(1, 3), np.array([-1.0, 1.0])),
    *({"low": (0.0,)}, {"a": 0.5}, {"a": np.float64(0.5)}, {"a": None}, {0: ("a", "b")}),
)
"""Values for any field."""
ESCAPED = ("\ud800", "two\nlines", "x" * 300, {0: "two\nlines"}, {0: "x" * 300}, "x" * 100_001)
"""Texts that are made fit to be printed or refused at once, and not by the file."""


def edit(file: Path, **changes: Any) -> tuple[object, object]:
    edit = Lattice(torch.eye(4)[2:] - torch.eye(4)[2], (torch.tensor([0.0, 1.0]),), EditInfo(**changes))
    save_edit(edit, file)
    return edit.info, load_edit(file).info


def paths(file: Path, **changes: Any) -> tuple[object, object]:
    paths = LinearPaths.from_vectors(torch.eye(4)[:2], PathSetInfo(**changes))
    save_paths(paths, file)
    return paths.info, load_paths(file).info


def pool(file: Path, **changes: Any) -> tuple[object, object]:
    given: dict[str, Any] = {"codes": sm.Latents(torch.ones(2, 4), "z")} | changes
    pool = Pool(**given)
    save_pool(pool, file)
    again = read_pool(file, made("function"))
    before, after = ((p.names, p.generator, p.fingerprint, p.seeds) for p in (pool, again))
    return before, after


def attribute(file: Path, **changes: Any) -> tuple[object, object]:
    given: dict[str, Any] = {"name": "yaw"} | changes
    attribute = Attribute(**given)
    write_json(file, asdict(attribute))
    return attribute, read_json(file, Attribute)


RECORDS: dict[Callable[..., tuple[object, object]], type] = {edit: EditInfo, paths: PathSetInfo, pool: Pool, attribute: Attribute}


@pytest.mark.parametrize(("written", "field"), [(f, field.name) for f, kind in RECORDS.items() for field in fields(kind)])
def test_what_can_be_made_can_be_written_and_read(written: Callable[..., Any], field: str, tmp_path: Path) -> None:
    taken = 0
    for value in (*UNCHANGED, *ESCAPED):
        file = tmp_path / "record.safetensors"
        refusal, before, after = "", None, None
        try:
            before, after = written(file, **{field: value})
        except SemanifoldError as error:
            refusal = str(error)
        if refusal:
            assert not file.exists(), f"{value!r} was written, and refused when it was read: {refusal}"
            assert "\n" not in refusal
            continue
        taken += 1
        assert before == after, f"{value!r} is read as another"
        file.unlink()
    assert taken or field == "codes", "no value at all was taken"


def test_values_of_numpy_and_ranges_become_those_of_python() -> None:
    info = EditInfo(name=np.str_("smile"), layers=range(2), usable=np.array([-1.0, 1.0]))  # pyright: ignore[reportArgumentType]
    assert (type(info.name), info.layers, info.usable) == (str, (0, 1), (-1.0, 1.0))
    assert Attribute("x", relative=np.True_).relative is True  # pyright: ignore[reportArgumentType]
    assert Pool(sm.Latents(torch.ones(2, 4), "z"), seeds=range(1, 3)).seeds == (1, 2)  # pyright: ignore[reportArgumentType]


def test_a_mask_that_no_file_holds_is_refused_and_not_cut() -> None:
    with pytest.raises(SemanifoldError, match="at most 100,000 letters, but this one has 100,001"):
        EditInfo(mask="x" * 100_001)


@pytest.mark.parametrize(
    "codes",
    [torch.ones(0, 4), torch.ones(2, 0), torch.ones(2), torch.full((2, 4), torch.nan), torch.ones(2, 4, dtype=torch.int64)],
)
def test_a_pool_of_what_are_no_codes_is_refused(codes: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(SemanifoldError, match="no pool of codes"):
        pool(tmp_path / "pool.safetensors", codes=sm.Latents(codes, "z"))


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_an_attribute_without_a_range_is_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(SemanifoldError, match="'flat' needs a short name and a finite range, the smaller end first"):
        Attribute("flat", *ends)
