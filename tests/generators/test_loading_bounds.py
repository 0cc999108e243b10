"""Small files that claim much, and texts that no file can be called: one sentence, soon, without filling the memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import resource
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from support.checkpoint_files import write_nvidia
from support.dialects import ada, made, pictures, rosinality

from semanifold.core.errors import SemanifoldError
from semanifold.generators.biggan.layout import BESIDE, read_arguments
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import convert, load_generator, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.storage import zoo
from semanifold.storage.checkpoints import MOST_LETTERS
from semanifold.storage.fetching import MARK, download
from semanifold.storage.files import PART
from semanifold.storage.malice import malicious

GENERATOR = made()
STATE, MEAN = rosinality(GENERATOR)
MEMORY, SECONDS = 300 << 20, 15


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    """PyTorch imports much at its first use of some operators; the limits below are not about that."""
    pictures(GENERATOR)


@contextmanager
def bounded() -> Iterator[None]:
    """Fail after too long, or if the process has grown by too much."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.perf_counter() - start < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


def refused(path: Path, words: str) -> None:
    """Load, convert and inspect a file that cannot be used."""
    with bounded():
        for use in (load_generator, lambda path: convert(path, path.with_name("new.safetensors"))):
            with pytest.raises(SemanifoldError, match=words) as raised:
                use(path)
            assert len(str(raised.value)) < 700
            assert str(raised.value).isprintable()
        assert not inspect_file(path).usable
        assert not path.with_name("new.safetensors").exists()


def doubling(levels: int = 40) -> list:
    """A list that would have 2 to the 40 entries if anybody went through all of it."""
    made: list = []
    for _ in range(levels):
        made = [made, made]
    return made


def test_doubling_lists(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    write_nvidia(path, ada(GENERATOR), clamp=doubling())  # type: ignore[arg-type]
    refused(path, "conv_clamp is 'something else', where a positive number is expected")
    write_nvidia(path, ada(GENERATOR), mapping={"z_dim": doubling()})
    refused(path, "width of z")
    for tree, words in [({"G_ema": doubling()}, "G_ema"), (doubling(), "single")]:
        path.write_bytes(pickle.dumps(tree))
        refused(path, words)
    # where a type, an order of bytes or an order of axes is expected
    stack = b"\x80\x04]q\x000" + b"h\x00h\x00\x86q\x000" * 40

    def name(module: str, kind: str) -> bytes:
        return f"c{module}\n{kind}\n".encode()

    kind = name("numpy", "dtype") + b"(X\x02\x00\x00\x00f4tR"
    for data in (
        name("numpy", "dtype") + b"(h\x00tR.",
        kind + b"(K\x03h\x00NNNtb.",
        name("numpy.core.numeric", "_frombuffer") + b"(C\x04\0\0\0\0" + kind + b"(K\x01th\x00tR.",
        name("numpy.core.multiarray", "scalar") + b"(" + kind + b"h\x00tR.",
    ):
        path.write_bytes(stack + data)
        refused(path, ".")
    torch.save({"g_ema": STATE, "latent_avg": MEAN, "args": doubling(), "more": {"deep": doubling(200)}}, tmp_path / "x.pt")
    with bounded():
        assert torch.equal(pictures(load_generator(tmp_path / "x.pt")), pictures(GENERATOR))  # type: ignore[arg-type]


def test_many_views_of_one_storage(tmp_path: Path) -> None:
    numbers = torch.zeros(1 << 18)
    views = {f"v{i}.weight": numbers[i % 7 : i % 7 + (1 << 18) - 7] for i in range(2000)}
    torch.save({"g_ema": STATE | views}, tmp_path / "x.pt")
    assert (tmp_path / "x.pt").stat().st_size < 3e6
    refused(tmp_path / "x.pt", "claims 2,097,.* bytes of arrays in a file of 1,")
    # tiny views of a large storage cost nothing, and neither do those that belong to no generator
    views = {f"v{i}": numbers[i : i + 1] for i in range(1000)}
    other = {"d": {f"v{i}.weight": numbers[i:-9] for i in range(1000)}}
    torch.save({"g_ema": STATE | views, "latent_avg": MEAN, **other}, tmp_path / "x.pt")
    with bounded():
        assert torch.equal(pictures(load_generator(tmp_path / "x.pt")), pictures(GENERATOR))  # type: ignore[arg-type]


def test_one_storage_that_is_read_many_times(tmp_path: Path) -> None:
    """A pickle may point again and again to the bytes of a tensor, which are a file of its own."""
    inner = io.BytesIO()
    torch.save(torch.zeros(1 << 18).untyped_storage(), inner, _use_new_zipfile_serialization=False)
    numbers = b"B" + struct.pack("<I", len(inner.getvalue())) + inner.getvalue() + b"q\x000"
    load = b"ctorch.storage\n_load_from_bytes\nq\x010"
    (tmp_path / "x.pkl").write_bytes(b"\x80\x02" + numbers + load + b"](" + b"h\x01h\x00\x85R" * 8000 + b"e.")
    refused(tmp_path / "x.pkl", "far more instructions|single tensor")


def test_names_without_end(tmp_path: Path) -> None:
    """Every level names the next one at length; the names of all together would fill the memory."""
    tree: dict = {"x" * 60: torch.zeros(1)}
    for i in range(1, 200):
        tree = {f"{i}" * 50 + f"{j}": tree for j in range(20)}
    torch.save(tree, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", ".")
    numbers = torch.zeros(1)
    torch.save({f"{i:0300}": numbers for i in range(MOST_LETTERS // 300 + 1)}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "far more instructions or entries")


def test_pictures_that_no_tensor_of_the_file_vouches_for(tmp_path: Path) -> None:
    """The file has no noise maps; twenty doublings would make maps of four million pixels squared."""
    small = StyleGAN2(StyleGAN2Config(64, 1, 1, (1,) * 5, mapping_layers=1))
    state = {key: value for key, value in rosinality(small)[0].items() if "noises" not in key}
    for i in range(4, 20):
        for old, new in (
            (f"convs.{6}.", f"convs.{2 * i}."),
            ("convs.7.", f"convs.{2 * i + 1}."),
            ("to_rgbs.3.", f"to_rgbs.{i}."),
        ):
            state |= {new + key.removeprefix(old): value for key, value in state.items() if key.startswith(old)}
    torch.save(state, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "21 resolutions, but pictures have 4096 pixels at most")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ([], "not an object"),
        ({"__metadata__": None}, "empty dictionary"),
        ({"__metadata__": {"semanifold": 3}}, "not an object"),
        ({"__metadata__": {"semanifold": "[]"}}, "not an object"),
        ({"__metadata__": {"semanifold": '{"format": 3}'}}, "dictionary|format"),
        ('{"a":' * 100_000, "64 levels"),
        ('{"a": ' + "9" * 5000 + "}", "damaged"),
    ],
)
def test_headers_of_safetensors(header: object, words: str, tmp_path: Path) -> None:
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    refused(tmp_path / "x.safetensors", words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 1 << 20, "channels": [1] * 19}, "does not belong|has shape|lack"),
        ({"mapping_width": 2**40}, "mapping_width is"),
        ({"channels": [10**9, 4]}, "channels is 1000000000"),
        ({"colours": 10**400}, "damaged"),
        ({"z_dim": 4.5}, "z_dim"),
        ({"joint_norm": "yes"}, "joint_norm"),
        ({"mapping_lr": -1.0}, "mapping_lr is -1"),
        ({"mapping_lr": 0}, "mapping_lr is 0"),
        ({"mapping_lr": 1e-300}, "mapping_lr is 1e-300"),
        ({"channels": [[4], [4]]}, "channels"),
    ],
)
def test_configurations_of_our_own_files(changes: dict, words: str, tmp_path: Path) -> None:
    small = StyleGAN2(StyleGAN2Config(8, 4, 4, (4, 4), mapping_layers=2))
    config = {"size": 8, "z_dim": 4, "w_dim": 4, "channels": [4, 4], "mapping_layers": 2} | changes
    header = {"format": "semanifold-generator-1", "config": config}
    (tmp_path / "x.safetensors").write_bytes(save(dict(small.state_dict()), metadata={"semanifold": json.dumps(header)}))
    refused(tmp_path / "x.safetensors", words)


def test_damaged_archives(tmp_path: Path) -> None:
    """Entries are views of the archive, so that everything which ``zipfile`` would check is checked here."""
    path = tmp_path / "x.pt"
    torch.save({"g_ema": STATE, "latent_avg": MEAN}, path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = next(info for info in archive.infolist() if info.filename.endswith("data/0"))
    start = info.header_offset
    for at, new in ((start, b"XX"), (start + 26, b"\xff\xff"), (start + 30 + len(info.filename) + 40, b"\xff\xff\xff\xff")):
        path.write_bytes(data[:at] + new + data[at + len(new) :])
        refused(path, "damaged at its entry")


NAMES = [
    "a" * 300,
    "a" * 300 + ".pt",
    "x/" * 3000 + "x.pt",
    "a\0b",
    "a\0b.pt",
    "\x1b[31mred.pt",
    "\u202egnp.pt",
    "a" * 300 + ".py:g",
]


@pytest.mark.parametrize("name", [*NAMES, "a\0.py:g", "https://" + "a" * 5000, "", "\udcff.pt"])
def test_texts_that_no_file_is_called(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uses: list[Callable[[], object]] = [lambda: load_generator(name), lambda: convert(name, "x.safetensors")]
    for use in uses:
        with pytest.raises(SemanifoldError) as raised:
            use()
        assert len(str(raised.value)) < 700
        assert str(raised.value).isprintable()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [*(f"{name}.safetensors" for name in NAMES[:1] + NAMES[2:5]), "no\x1b/x.safetensors"])
def test_targets_that_no_file_is_called(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for use in (lambda: convert("faces", name), lambda: save_generator(GENERATOR, name)):
        with pytest.raises(SemanifoldError) as raised:
            use()
        assert str(raised.value).isprintable()
    assert not list(tmp_path.iterdir())


def test_pipes_beside_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / BESIDE)
    assert read_arguments(tmp_path) == {}
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(SemanifoldError, match="exists already"):
        save_generator(GENERATOR, tmp_path / "x.safetensors")


@pytest.mark.parametrize("record", ["[]", "{}", '{"address": 1}', "[" * 10**5, '{"files": ' + "9" * 5000, "\xff", "null"])
def test_records_of_the_zoo(record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path))
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "ada-ffhq.json").write_bytes(record.encode("latin-1"))
    for use in (zoo.located, zoo.recorded, zoo.here):
        with pytest.raises(SemanifoldError, match=r"ada-ffhq.json.*delete it and fetch ada-ffhq again"):
            use("ada-ffhq")


def test_what_is_left_of_a_download(tmp_path: Path) -> None:
    """A damaged mark is no mark, and a part that is a link leads nowhere."""
    path, victim = tmp_path / "x.bin", tmp_path / "victim"
    victim.write_text("mine")
    part = path.with_name(path.name + PART)
    part.symlink_to(victim)
    part.with_name(part.name + MARK).write_text("a\r\nHost: elsewhere")
    with pytest.raises(SemanifoldError, match="could not be downloaded"):
        download("http://127.0.0.1:9/x.bin", path)
    assert victim.read_text() == "mine"


def test_the_zoo_says_what_loads_without_pytorch() -> None:
    loads = {name for name, row in zoo.table().items() if row.loads}
    assert {"ada-ffhq", "stylegan2-ffhq-256x256", "stylegan2-ffhq-config-f", "biggan-128", "rosinality-ffhq"} <= loads
    assert not [name for name in loads if re.search("config-[a-d]$", name) or name.startswith("warped")]
    code = (
        "import sys, semanifold.storage.zoo as zoo; zoo.matching(['ffhq']); zoo.here('ada-ffhq'); print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


ATTACKS = """
os.system nt.system posix.popen subprocess.Popen builtins.eval builtins.__import__ __builtin__.execfile importlib.import_module
runpy.run_path pty.spawn shutil.rmtree socket.socket sys.exit ctypes.CDLL pickle.loads _pickle.loads marshal.loads
code.InteractiveInterpreter webbrowser.open torch.hub.load operator.attrgetter numpy.load commands.getoutput
types.FunctionType multiprocessing.util.spawnv_passfds
"""
HONEST = """
builtins.set builtins.complex collections.Counter pathlib.PosixPath datetime.datetime torch.bfloat16 models.Generator
code.models.Generator numpy.random._pickle.__generator_ctor functools.partial torch.serialization._get_layout
__main__.Generator _codecs.encode training.networks.Generator http.HTTPStatus
"""


def test_names_that_only_an_attack_uses(tmp_path: Path) -> None:
    pairs = [tuple(name.rpartition(".")[::2]) for name in ATTACKS.split()]
    for module, name in [*pairs, ("collections", "OrderedDict.__init__.__globals__"), ("builtins", "str.format")]:
        assert malicious(module, name)
        (tmp_path / "x.pkl").write_bytes(f"\x80\x02c{module}\n{name}\n.".encode("latin-1"))
        refused(tmp_path / "x.pkl", "may be malicious")
    for name in HONEST.split():
        assert not malicious(*name.rpartition(".")[::2]), name
