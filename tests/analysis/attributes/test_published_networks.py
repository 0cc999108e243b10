"""Reading with the published networks: crops, missing faces, batches, names and files."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from semanifold.analysis.attributes.checkpoints import find_checkpoint, loaded
from semanifold.analysis.attributes.fan_au import FanAU
from semanifold.analysis.attributes.published import (
    MEASURES,
    PublishedAttributes,
    Views,
    fairface_of,
    measure_of,
    published_names,
    published_reader,
)
from semanifold.analysis.attributes.residual_readers import RACES, FairFace
from semanifold.analysis.attributes.s3fd import MEAN_BGR, S3FD, best_faces
from semanifold.analysis.attributes.sampling import cut_out
from semanifold.core.errors import SemanifoldError
from semanifold.storage import zoo


class Finder(nn.Module):
    """Finds one face of 64 pixels in the middle of every picture that is bright enough."""

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        bright = (images.mean((1, 2, 3)) > 0).float()
        scores = torch.zeros(len(images), 2, 8, 8)
        scores[:, 1] = -9
        scores[:, 1, 4, 4] = 18 * bright - 9
        offsets = torch.zeros(len(images), 4, 8, 8)
        return [(torch.zeros(len(images), 2, 0, 0), torch.zeros(len(images), 4, 0, 0))] * 2 + [(scores, offsets)]


FINDER = cast(S3FD, Finder())


def grey(level: float, size: int = 64) -> Tensor:
    return torch.full((1, 3, size, size), float(level))


@cache
def small_au() -> FanAU:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return FanAU().eval().requires_grad_(False)


def test_the_middle_cell_is_found() -> None:
    faces = best_faces(FINDER(torch.cat([grey(1), grey(-1)])))
    assert torch.allclose(faces[0, :4], torch.tensor([40.0, 40, 104, 104]))  # a cell of 16 pixels, its box of 64
    assert faces[0, 4] > 0.99
    assert faces[1].isnan().all()


def test_crops_widen_the_box_and_keep_x_and_y_apart() -> None:
    """The box is 40..104 both ways; below it takes in less than elsewhere, and padding is a share of the box."""
    columns = torch.linspace(-1, 1, 256).expand(1, 3, 256, 256)
    rows = columns.mT
    views = Views(torch.cat([columns * 0.1 + 0.5, rows * 0.1 + 0.5]), FINDER)
    for padding in (0.0, 0.25):
        pad = 64 * padding
        box = torch.tensor([[0.0, 0.0, 104 + pad + 50, 104 + pad + 30]] * 2)
        assert torch.allclose(views.crops(padding, 32), cut_out(views.square, box, 32), atol=1e-6)
    assert torch.allclose(
        views.crops(0, 32)[0].mT, cut_out(views.square, torch.tensor([[0.0, 0, 134, 154]] * 2), 32)[1], atol=1e-4
    )


def test_the_detector_sees_blue_first_less_its_mean() -> None:
    seen = []

    class Spy(Finder):
        def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
            seen.append(images)
            return super().forward(images)

    red = torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(1, 3, 40, 40)
    assert Views(red, cast(S3FD, Spy())).faces.shape == (1, 5)
    assert torch.allclose(seen[0][0, :, 0, 0], torch.tensor([0.0, 0, 255]) - torch.tensor(MEAN_BGR))


def test_without_a_face_there_is_no_value() -> None:
    reader = PublishedAttributes({"au": small_au()}, (), FINDER)
    images = torch.cat([grey(1), grey(-1), grey(0.9)])
    values = reader.read(images, images[:1])
    assert values.shape == (3, 12)
    assert values.isfinite().all(1).tolist() == [True, False, True]
    assert [a.name for a in reader.attributes][6] == "au_12_Lip_Corner_Puller"
    assert all((a.low, a.high) == (0, 5) for a in reader.attributes)
    assert not values.requires_grad


def test_race_has_no_value_where_the_reference_has_no_face() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = FairFace(4).eval().requires_grad_(False)
    reader = PublishedAttributes({"fairface": made}, ("race", "gender"), FINDER)
    image = grey(1)
    assert reader.read(image, image).isfinite().all()
    assert reader.read(image, image)[0, 0] == 0
    assert reader.read(image, grey(-1)).isfinite().tolist() == [[False, True]]


def test_every_name_belongs_to_a_network() -> None:
    for name, measure in MEASURES.items():
        for races in RACES if name == "fairface" else (0,):
            with torch.device("meta"):
                made = FairFace(races) if races else nn.Identity()
            assert all(measure_of()[attribute.name] == name for attribute in measure.attributes(made))
    assert len(set(published_names())) == len(published_names())


def test_four_and_seven_races_by_the_name_of_the_file() -> None:
    with torch.device("meta"):
        names = [fairface_of(file).races for file in MEASURES["fairface"].files]
    assert names == [4, 4, 7, 7]


def write(path: Path, state: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    torch.save(state, path)
    return path


def test_files_in_a_folder_or_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path / "cache"))
    state = small_au().state_dict()
    (tmp_path / "weights").mkdir()
    with pytest.raises(SemanifoldError, match="semanifold zoo fetch fan-au"):
        published_reader("au", tmp_path / "weights")
    with pytest.raises(SemanifoldError, match="semanifold zoo fetch fan-au"):
        published_reader("au_26_Jaw_Drop")
    with pytest.raises(SemanifoldError, match="no folder"):
        published_reader("au", tmp_path / "elsewhere")
    path = write(tmp_path / "weights" / "au_detector" / "disfa_adaptation_f0.pth", {"state_dict": state, "epoch": 3})
    assert find_checkpoint("fan-au", MEASURES["au"].files, tmp_path / "weights") == path
    with pytest.raises(SemanifoldError, match="semanifold zoo fetch sfd"):  # the units need a face
        published_reader("au", tmp_path / "weights")


def test_a_reader_of_a_file(tmp_path: Path) -> None:
    """A detector that sees a face everywhere at 32-pixel cells: the first box, of four cells, is half of 256 pixels wide."""
    with torch.device("meta"):
        layout = S3FD().state_dict()
    state = {key: torch.zeros(value.shape, dtype=torch.float16) for key, value in layout.items()}
    state["fc7_mbox_conf.bias"] = torch.tensor([0, 3], dtype=torch.float16)
    write(tmp_path / "s3fd-619a316812.pth", state)
    images = grey(0.2, 48).repeat(2, 1, 1, 1)
    reader = published_reader(["face_height", "face"], tmp_path)
    assert [a.name for a in reader.attributes] == ["face_height", "face_width"]
    values = reader.read(images, images[:1])
    assert values.dtype == torch.float32
    assert torch.allclose(values, torch.full((2, 2), 0.5))


def test_files_of_the_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder comes first; what it lacks is taken from the zoo."""
    monkeypatch.setattr(zoo, "here", lambda entry: entry == "fan-au")
    monkeypatch.setattr(zoo, "located_file", lambda entry: Path("zoo") / entry)
    files = MEASURES["au"].files
    assert find_checkpoint("fan-au", files) == find_checkpoint("fan-au", files, tmp_path) == Path("zoo/fan-au")
    write(tmp_path / files[0], {})
    assert find_checkpoint("fan-au", files, tmp_path) == tmp_path / files[0]
    assert all(measure.entry in zoo.table() for measure in MEASURES.values())
    for measure in MEASURES.values():
        assert zoo.table()[measure.entry].members == measure.files[:1]


class Reader(nn.Module):
    """A small network with every kind of tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.l = nn.Conv2d(3, 12, 1)


def small_reader() -> Reader:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Reader()


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("old", [True, False])
def test_weights_come_out_as_they_went_in(tmp_path: Path, wrapped: bool, old: bool) -> None:
    """Bare or under a key, from DataParallel, in PyTorch's old format, and without counters."""
    state = small_reader().state_dict()
    given = {f"module.{k}": v for k, v in state.items() if not k.endswith("num_batches_tracked")} if wrapped else dict(state)
    path = tmp_path / "au.pth"
    torch.save({"state_dict": given, "epoch": 3} if wrapped else given, path, _use_new_zipfile_serialization=not old)
    found = loaded(Reader, path)
    assert all(torch.equal(value, state[key]) for key, value in found.state_dict().items())
    assert not found.training
    assert not any(p.requires_grad for p in found.parameters())


def test_files_that_are_something_else(tmp_path: Path) -> None:
    state = small_reader().state_dict()
    bad = state | {"l.bias": torch.full((12,), torch.nan)}
    cases = [
        ({k: v for k, v in state.items() if not k.startswith("l.")}, "is no Reader: it lacks l.weight, l.bias"),
        (state | {"fc.weight": torch.zeros(3)}, "it holds fc.weight, which it does not have"),
        (state | {"l.weight": torch.zeros(5, 3, 1, 1)}, r"l.weight has shape \(5, 3, 1, 1\), but \(12, 3, 1, 1\)"),
        (bad, "l.bias hold NaN"),
        ({"words": "none"}, "it lacks norm.weight"),
        ([1, 2], "it lacks norm.weight"),
    ]
    for index, (content, words) in enumerate(cases):
        with pytest.raises(SemanifoldError, match=words) as raised:
            loaded(Reader, write(tmp_path / f"{index}.pth", content))
        assert "\n" not in str(raised.value)
    (tmp_path / "page.pth").write_text("<html>404</html>")
    with pytest.raises(SemanifoldError, match="a web page"):
        loaded(Reader, tmp_path / "page.pth")


def test_no_code_of_a_file_runs(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (str(tmp_path / "ran"),))

    with pytest.raises(SemanifoldError, match="nothing was run"):
        loaded(Reader, write(tmp_path / "trap.pth", {"state_dict": Trap()}))
    assert not (tmp_path / "ran").exists()


def test_unknown_names() -> None:
    with pytest.raises(SemanifoldError, match="did you mean 'pitch'"):
        published_reader("pich")
    with pytest.raises(SemanifoldError, match="do not read 'yaw'"):
        PublishedAttributes({"au": small_au()}, ("yaw",), FINDER)
