"""Files of plain arrays: read by what they hold, whatever they are called; hostile ones cost nothing and get one sentence."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from semanifold.app.inspecting import inspect
from semanifold.core.errors import SemanifoldError
from semanifold.storage.arrays import open_arrays


def npy(shape: str, kind: object = "<f4", data: bytes = b"") -> bytes:
    """A .npy file that claims a shape and a type."""
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def test_a_file_is_read_by_what_it_holds_whatever_it_is_called(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "a.npy", values)
    np.savez_compressed(tmp_path / "a.npz", x=values)
    torch.save(torch.from_numpy(values), tmp_path / "a.pt")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"x": values}))
    save_file({"x": torch.from_numpy(values)}, tmp_path / "a.safetensors")
    for source in list(tmp_path.iterdir()):
        for name in ("b.NPY", "b.pth", "b.npz", "b", "b.txt"):
            shutil.copy(source, tmp_path / name)
            arrays = open_arrays(tmp_path / name)
            assert torch.equal(arrays.tensors(arrays.leaves.values())[0], torch.from_numpy(values)), (source, name)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "<i8", "|u1", "|b1"])
def test_numbers_are_those_of_numpy(tmp_path: Path, kind: str, order: str) -> None:
    values = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype=kind, order=order)  # type: ignore[call-overload]
    np.save(tmp_path / "a.npy", values)
    arrays = open_arrays(tmp_path / "a.npy")
    found = arrays.tensors(arrays.leaves.values())[0]
    assert np.array_equal(found.numpy(), values)
    assert found.numpy().dtype == values.dtype.newbyteorder("=")


def test_dictionaries_in_numpy_files_and_inside_of_one_another(tmp_path: Path) -> None:
    np.save(tmp_path / "named.npy", np.array({"smile": np.ones(4), "more": {"age": np.zeros((2, 4))}}))
    assert {place: tuple(v.shape) for place, v in open_arrays(tmp_path / "named.npy").leaves.items()} == {
        ("smile",): (4,),
        ("more", "age"): (2, 4),
    }
    np.save(tmp_path / "list.npy", np.array([np.ones(3), {"x": torch.ones(2).numpy()}], dtype=object))
    assert list(open_arrays(tmp_path / "list.npy").leaves) == [(0,), (1, "x")]
    np.savez(tmp_path / "both.npz", a=np.ones(2), b=np.array({"c": np.ones(3)}, dtype=object))
    assert list(open_arrays(tmp_path / "both.npz").leaves) == [("a",), ("b", "c")]


class Trap:
    def __reduce__(self) -> tuple:
        return (Path("trap-was-run").touch, ())


def hostile(folder: Path) -> list[Path]:
    """Files that claim what they do not hold, or ask for what no array needs."""
    texts = {
        "2^40": npy(f"({2**40},)"),
        "10^30": npy(f"({10**30},)"),
        "zero after all": npy(f"({2**47}, {2**47}, 0)"),
        "negative": npy("(-1,)"),
        "brackets": npy("(" * 3000),
        "not numbers": npy("(1.5,)"),
        "short": npy("(2,)", data=bytes(7)),
        "long": npy("(2,)", data=bytes(9)),
        "wide": npy("(2,)", "S999999999"),
        "times": npy("(2,)", "<m8", bytes(16)),
        "half a header": b"\x93NUMPY\x01\x00\xff\xff{",
        "no version": b"\x93NUMPY\x09\x07",
        "code": npy("(1,)", "|O", b"cposix\nsystem\n."),
        "not utf-8": npy("(2,)", "\xff\xfe"),
    }
    for name, data in texts.items():
        (folder / f"{name}.npy").write_bytes(data)
    np.save(folder / "float128.npy", np.zeros(3, np.longdouble))
    np.save(folder / "structured.npy", np.zeros(3, [("a", "f4"), ("b", "f8")]))
    np.save(folder / "complex.npy", np.zeros(3, complex))
    np.save(folder / "trap.npy", np.array([Trap()], dtype=object))
    np.savez(folder / "trap.npz", w=np.array([Trap()], dtype=object))
    np.savez(folder / "whole.npz", w=np.zeros((1, 8, 4)))
    whole = (folder / "whole.npz").read_bytes()
    (folder / "whole.npz").unlink()
    (folder / "cut.npz").write_bytes(whole[:-30])
    (folder / "broken inside.npz").write_bytes(whole[:100] + b"x" * 40 + whole[140:])
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("w.npy", "w") as file:
        file.write(npy("(75000000,)"))
        for _ in range(30):
            file.write(bytes(10_000_000))
    with zipfile.ZipFile(folder / "bzip2.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("w.npy", npy("(1000,)", data=bytes(4000)))
    return sorted(folder.iterdir())


def test_hostile_files_get_one_sentence_and_take_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in hostile(tmp_path):
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        with pytest.raises(SemanifoldError) as raised:
            open_arrays(path)
        words = str(inspect(path))
        assert time.process_time() - start < 5, path
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, path
        assert str(raised.value).isprintable(), path
        assert len(str(raised.value)) < 500, path
        assert words.replace("\n", "").isprintable(), path
    assert not (tmp_path / "trap-was-run").exists()


def test_views_of_one_storage_are_summed_before_any_is_made(tmp_path: Path) -> None:
    storage = torch.ones(250_000)
    torch.save([storage[i % 7 :] for i in range(8000)], tmp_path / "views.pt")
    arrays = open_arrays(tmp_path / "views.pt")
    assert len(arrays.leaves) == 8000
    with pytest.raises(SemanifoldError, match="claims 7,999,9"):
        arrays.tensors(arrays.leaves.values())
    assert len(arrays.tensors(list(arrays.leaves.values())[:3])) == 3


def test_places_that_are_no_files_of_arrays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place, words in ((tmp_path / "pipe", "pipe"), (tmp_path, "folder"), ("x" * 300, "too long"), ("a\0b", "a.x00b")):
        with pytest.raises(SemanifoldError, match=words):
            open_arrays(place)


def test_contents_that_go_round_in_a_ring_end(tmp_path: Path) -> None:
    ring: dict = {"a": np.ones(3)}
    ring["self"] = ring
    wide: list = [np.ones(2)]
    for _ in range(40):
        wide = [wide, wide]
    for name, value in (("ring", ring), ("wide", wide)):
        (tmp_path / name).write_bytes(pickle.dumps(value))
        start = time.process_time()
        assert len(open_arrays(tmp_path / name).leaves) <= 10
        assert time.process_time() - start < 5
