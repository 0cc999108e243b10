"""What storage writes, and the digests by which it tells things apart."""

import hashlib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from semanifold.core.errors import SemanifoldError
from semanifold.storage.arrays import open_arrays, write_numpy, write_torch
from semanifold.storage.digests import digest, file_digest, files_digest
from semanifold.storage.files import append_text, making_folder
from semanifold.storage.pictures import picture_size, write_picture
from semanifold.storage.records import read_json, write_json
from semanifold.storage.tensors import read_format, read_tensors, write_tensors


def test_a_digest_is_the_sha256_of_all_parts() -> None:
    weights = {"b": torch.ones(2, dtype=torch.float64), "a": torch.arange(6).reshape(2, 3).T}
    values = [np.arange(6, dtype=np.float32).reshape(2, 3).T.tobytes(), np.ones(2, np.float32).tobytes()]
    whole = b"".join(["ä".encode(), b"x", b"a(3, 2)", values[0], b"b(2,)", values[1], np.ones(2, np.float32).tobytes()])
    found = digest("ä", b"x", None, weights, torch.ones(2), digits=64)
    assert found == hashlib.sha256(whole).hexdigest()
    assert digest(torch.ones(2), double=True) == hashlib.sha256(np.ones(2).tobytes()).hexdigest()[:16]
    assert digest("a\udc80") == digest("a?"), "names of files may be no UTF-8"


def test_digests_of_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    before = files_digest([tmp_path / "a"])
    (tmp_path / "a").write_bytes(b"abd")
    assert files_digest([tmp_path / "a"]) != before == hashlib.sha256(b"a 3 abc").hexdigest()[:16]
    with pytest.raises(SemanifoldError, match="There is no mask"):
        file_digest(tmp_path / "b", "mask")


class Header(msgspec.Struct):
    size: int


def test_a_format_is_read_with_header_and_checksum(tmp_path: Path) -> None:
    path, before = tmp_path / "a.safetensors", tmp_path / "before"
    for size in (1, 2):
        header = {"format": "test-1", "size": size}
        write_tensors(path, {"x": torch.full((3,), float(size))}, header, crc=True, previous=before)
    assert read_tensors(path).header.keys() == {"format", "size", "crc32"}
    for file, size in ((path, 2), (before, 1)):
        held, tensors = read_format(file, "test-1", Header, "thing", "draw it again")
        assert (held.size, float(tensors["x"][0])) == (size, size)
    with pytest.raises(SemanifoldError, match=r"of the format 'test-1', no thing that this version reads; draw it again\.$"):
        read_format(path, "test-2", Header, "thing", "draw it again")
    with pytest.raises(SemanifoldError, match=r"There is no thing .*; draw it again\.$"):
        read_format(tmp_path / "none", "test-1", Header, "thing", "draw it again")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"\1")
    with pytest.raises(SemanifoldError, match=r"bytes have changed; draw it again\.$"):
        read_format(path, "test-1", Header, "thing", "draw it again")
    write_tensors(path, {}, {"format": "test-1", "size": "2"})
    with pytest.raises(SemanifoldError, match=r"'size'; draw it again\.$"):
        read_format(path, "test-1", Header, "thing", "draw it again")


def test_a_folder_appears_with_all_its_files_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with making_folder(tmp_path / "a") as part:
            (part / "x").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with making_folder(tmp_path / "a") as part:
        (part / "x").write_text("whole")
        assert not (tmp_path / "a").exists()
    assert [p.name for p in tmp_path.rglob("*")] == ["a", "x"]


def test_arrays_texts_and_pictures_come_back(tmp_path: Path) -> None:
    write_numpy(tmp_path / "a.npy", np.arange(3.0))
    write_numpy(tmp_path / "a.npz", {"w": np.arange(3.0)})
    write_torch(tmp_path / "a.pt", {"w": torch.arange(3.0)})
    for name in ("a.npy", "a.npz", "a.pt"):
        arrays = open_arrays(tmp_path / name)
        assert [value.tolist() for value in arrays.tensors(arrays.leaves.values())] == [[0, 1, 2]]
    write_json(tmp_path / "a.json", {"a": [1, None]})
    append_text(tmp_path / "a.json", "  ")
    assert read_json(tmp_path / "a.json", dict) == {"a": [1, None]}
    grey = Image.new("L", (20, 10), 200)
    for quality, form in ((None, "PNG"), (60, "JPEG")):
        write_picture(grey, tmp_path / "a", jpeg=quality)
        assert picture_size(tmp_path / "a") == (20, 10)
        assert Image.open(tmp_path / "a").format == form
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "a.json", "a.npy", "a.npz", "a.pt"]
