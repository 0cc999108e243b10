import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from semanifold.core.errors import SemanifoldError
from semanifold.storage.tensors import read_header, read_tensors, write_tensors


def test_tensors_and_header_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"x": torch.arange(6.0).reshape(2, 3).T}, {"format": "test-1", "names": {"1": "ä"}})
    found = read_tensors(path)
    assert found.header == {"format": "test-1", "names": {"1": "ä"}} == read_header(path)
    assert torch.equal(found.tensors["x"], torch.arange(6.0).reshape(2, 3).T)


def test_a_file_of_another_program_has_no_header(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(2)}, tmp_path / "a.safetensors")
    assert read_header(tmp_path / "a.safetensors") == {}
    assert read_tensors(tmp_path / "a.safetensors").tensors.keys() == {"x"}


def written(path: Path, header: str, data: bytes = b"") -> Path:
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + data)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "{",
        '{"__metadata__": 3}',
        '{"__metadata__": {"semanifold": 3}}',
        json.dumps({"__metadata__": {"semanifold": "[]"}}),
        json.dumps({"__metadata__": {"semanifold": "[" * 99999}}),
        "[" * 99999,
    ],
)
def test_damaged_headers(tmp_path: Path, header: str) -> None:
    path = written(tmp_path / "a.safetensors", header)
    for read in (read_header, read_tensors):
        with pytest.raises(SemanifoldError, match=r"a\.safetensors"):
            read(path)


@pytest.mark.parametrize("data", [b"", b"1234567", struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 3) + b"{}"])
def test_cut_short(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(SemanifoldError, match="no safetensors file, or is cut short"):
        read_header(tmp_path / "a.safetensors")


def test_a_tensor_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}})
    with pytest.raises(SemanifoldError, match="damaged"):
        read_tensors(written(tmp_path / "a.safetensors", header, b"1234"))


def test_null_metadata_is_none(tmp_path: Path) -> None:
    assert read_header(written(tmp_path / "a.safetensors", '{"__metadata__": null}')) == {}


def test_tensors_that_share_memory_are_written_apart(tmp_path: Path) -> None:
    both = torch.arange(6.0)
    write_tensors(tmp_path / "x.safetensors", {"a": both, "b": both, "c": both[2:]}, {})
    held = read_tensors(tmp_path / "x.safetensors").tensors
    assert torch.equal(held["a"], both)
    assert torch.equal(held["b"], both)
    assert torch.equal(held["c"], both[2:])


def test_files_of_far_too_many_tensors_are_refused_by_their_header(tmp_path: Path) -> None:
    header = json.dumps({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_001)}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(SemanifoldError, match="20,001 tensors, more than are ever needed"):
        read_tensors(tmp_path / "x.safetensors")
