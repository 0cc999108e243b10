"""The zoo: its table, its downloads from a server next door, what it refuses to unpack, and its command."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.generators.loading import load_file, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.storage import zoo

SMALL = StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(4, 4), mapping_layers=2)


class Server(http.server.ThreadingHTTPServer):
    """Serves files by path; can cut an answer short, name versions and answer with a web page."""

    files: dict[str, bytes]
    asked: list[str]
    cut: int | None = None
    tag = ""
    kind = "application/octet-stream"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        data = self.server.files.get(self.path.partition("?")[0].lstrip("/"))
        if data is None:
            self.send_error(404)
            return
        same = self.headers.get("If-Range", self.server.tag) == self.server.tag
        start = int(re.sub(r"\D", "", wanted)) if wanted and same else 0
        if start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", self.server.kind)
        self.send_header("Content-Length", str(len(data) - start))
        if self.server.tag:
            self.send_header("ETag", self.server.tag)
        self.end_headers()
        self.wfile.write(data[start : self.server.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path / "cache"))
    made = Server(("127.0.0.1", 0), Handler)
    made.files, made.asked = {}, []
    threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def archive(*members: tuple[str, bytes] | tarfile.TarInfo, mode: str = "w") -> bytes:
    """A tar archive of files, and of headers as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def add(
    server: Server, monkeypatch: pytest.MonkeyPatch, data: bytes, name: str = "mine", pinned: bool = True, **facts: object
) -> zoo.Entry:
    """Put a file behind the server and into the table."""
    file = f"{name}.tar" if facts.get("members") else f"{name}.bin"
    server.files[file] = data
    row = zoo.Entry(
        name,
        "generator",
        "a test",
        f"http://127.0.0.1:{server.server_port}/{file}?dl=1",
        hashlib.sha256(data).hexdigest() if pinned else None,
        "none",
        "arXiv:0000.00000",
    )
    row = replace(row, **facts)  # pyright: ignore[reportArgumentType]
    entries = {**zoo.table(), name: row}
    monkeypatch.setattr(zoo, "table", lambda: entries)
    return row


def left(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "zoo"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_the_table_is_sound() -> None:
    table = zoo.table()
    assert len(table) == 124
    assert len({row.address for row in table.values()}) == len(table)
    for row in table.values():
        assert re.fullmatch(r"[a-z0-9-]+", row.name)
        assert row.address.startswith("https://")
        assert row.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", row.sha256)
        assert row.kind in {"generator", "path set", "weight edits", "attribute network", "metric network"}
        assert row.licence
        assert row.about
        assert re.fullmatch(r"arXiv:\d{4}\.\d{5}(, arXiv:\d{4}\.\d{5})*", row.paper)
        assert bool(row.members) == (".tar" in row.address)
        assert not row.note or row.kind == "generator"
        assert row.by_hand is None or row.sha256 is None
    for name in ("stylegan-xl-ffhq256", "stylegan-t", "r3gan-ffhq-256", "stylegan-human-v2-1024"):
        assert zoo.restricted(table[name].licence)
        assert table[name].loads or table[name].note


def test_what_lies_on_a_page_for_people_is_not_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, words in [
        ("stylegan-human-v2-512", r"https://drive.*a page for people: save stylegan_human_v2_512\.pkl"),
        ("stylegan-t", "published the program and no weights; see https://github.com"),
    ]:
        for refused in (zoo.fetch, zoo.located):
            with pytest.raises(SemanifoldError, match=words):
                refused(name)
    assert cli_zoo(monkeypatch, "list", "stylegan-human-v3-512") == 0
    said = capsys.readouterr().out
    assert "no: a StyleGAN3 whose pictures are not square" in said
    assert "no; save stylegan_human_v3_512.pkl from the page at the address" in said
    assert cli_zoo(monkeypatch, "list", "stylegan-t") == 0
    assert "nobody published it" in capsys.readouterr().out


def test_a_file_is_fetched_once_and_found(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_generator(StyleGAN2(SMALL), tmp_path / "weights.safetensors")
    add(server, monkeypatch, (tmp_path / "weights.safetensors").read_bytes())
    with pytest.raises(SemanifoldError, match=r"not on this machine.*semanifold zoo fetch mine"):
        zoo.located("mine")
    path = zoo.fetch("mine")
    assert path == zoo.fetch("mine") == zoo.located_file("mine")
    assert load_file(path).fingerprint == load_file(tmp_path / "weights.safetensors").fingerprint
    assert server.asked == [""]
    assert left(tmp_path) == ["mine.json", "mine/mine.bin"]


def test_only_what_is_needed_comes_out_of_an_archive(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = tarfile.TarInfo("run/latest")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    data = archive(
        ("run/args.json", b"{}"), ("run/models/sets.pt", b"1"), ("run/models/._sets.pt", b"2"), ("run/code.py", b"3"), link
    )
    add(server, monkeypatch, data, members=("args.json", "models/*.pt"))
    assert zoo.fetch("mine") == tmp_path / "cache" / "zoo" / "mine" / "run"
    assert left(tmp_path) == ["mine.json", "mine/run/args.json", "mine/run/models/sets.pt"]
    with pytest.raises(SemanifoldError, match=r"several files.*args\.json, .*sets\.pt"):
        zoo.located_file("mine")
    add(server, monkeypatch, archive(("deep/er/net.pth", b"net")), "single", members=("net.pth",))
    assert zoo.fetch("single").read_bytes() == b"net"


def header(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for key, value in facts.items():
        setattr(info, key, value)
    return info


def sparse() -> bytes:
    """A sparse file of a terabyte in a few blocks."""
    info = header("w.pt", tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[386:410] = b"%011o\0%011o\0" % (0, 0)
    block[483:495] = b"%011o\0" % (1 << 32)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def negative() -> bytes:
    """A header whose size is below zero."""
    block = bytearray(header("w.pt").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + b"\xfe\x00"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + archive(("w.pt", b"x"))


HOSTILE = {
    "up": (archive(("../../w.pt", b"x")), "outside"),
    "deep up": (archive(("a/../../w.pt", b"x")), "outside"),
    "absolute": (archive(("/tmp/w.pt", b"x")), "outside"),
    "backslash": (archive(("..\\w.pt", b"x"), ("b\\w.pt", b"x")), "none of|outside"),
    "drive": (archive(("C:/w.pt", b"x")), "outside"),
    "control": (archive(("a\x1b[2J/w.pt", b"x")), "outside"),
    "symlink": (archive(header("w.pt", tarfile.SYMTYPE, linkname="/etc/passwd")), "link"),
    "hard link": (archive(("a", b"x"), header("w.pt", tarfile.LNKTYPE, linkname="../../../secret")), "link"),
    "device": (archive(header("w.pt", tarfile.CHRTYPE)), "link, a device"),
    "pipe": (archive(header("w.pt", tarfile.FIFOTYPE)), "link, a device"),
    "folder link": (
        archive(header("a", tarfile.SYMTYPE, linkname="/tmp"), header("a/w.pt", tarfile.SYMTYPE, linkname="b")),
        "link",
    ),
    "twice": (archive(("a/w.pt", b"x"), ("A/w.pt", b"y")), "twice"),
    "file as folder": (archive(("w.pt", b"x"), ("w.pt/w.pt", b"x")), "no intact"),
    "sparse": (sparse(), "sparse"),
    "negative": (negative(), "makes no sense|no intact"),
    "huge": (archive(header("w.pt"))[:124] + b"77777777777\0" + archive(header("w.pt"))[136:], "no intact|own size"),
    "cut": (archive(("w.pt", bytes(5000)))[:2000], "no intact|own size|cut short"),
    "compressed": (archive(("w.pt", b"x"), mode="w:gz"), "no intact tar"),
    "nothing of use": (archive(("readme\x1b", b"x")), "none of w.pt"),
    "empty": (archive(), "nothing"),
    "no archive": (b"<html>", "no intact tar"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archives(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    data, words = HOSTILE[case]
    (tmp_path / "secret").write_text("secret")
    add(server, monkeypatch, data, members=("w.pt",))
    with pytest.raises(SemanifoldError, match=words) as raised:
        zoo.fetch("mine")
    assert str(raised.value).isprintable()
    assert left(tmp_path) == []
    assert not Path("/tmp/w.pt").exists()
    assert sorted(os.listdir(tmp_path)) == ["cache", "secret"]
    assert not zoo.here("mine")


def test_the_filter_of_python_stands_behind_our_own_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "_check", lambda info: None)
    (tmp_path / "in").mkdir()
    (tmp_path / "a.tar").write_bytes(archive(("../w.pt", b"x")))
    with pytest.raises(SemanifoldError, match="cannot be unpacked"):
        zoo.extract(tmp_path / "a.tar", tmp_path / "in", ("w.pt",))
    assert not (tmp_path / "w.pt").exists()


@pytest.mark.parametrize("pinned", [True, False])
def test_a_cut_connection_resumes(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool) -> None:
    add(server, monkeypatch, bytes(range(256)) * 40, pinned=pinned)
    server.cut, server.tag = 1000, '"one"'
    with pytest.raises(SemanifoldError, match=r"could not be downloaded.*it resumes"):
        zoo.fetch("mine")
    assert left(tmp_path) == ["mine-mine.bin.part", "mine-mine.bin.part.mark"]
    server.cut = None
    assert zoo.fetch("mine").read_bytes() == server.files["mine.bin"]
    assert server.asked == ["", "bytes=1000-"]
    assert left(tmp_path) == ["mine.json", "mine/mine.bin"]


@pytest.mark.parametrize("tags", [('"one"', '"two"'), ("", "")])
def test_halves_of_two_versions_are_never_joined(server: Server, monkeypatch: pytest.MonkeyPatch, tags: tuple[str, str]) -> None:
    add(server, monkeypatch, b"a" * 5000, pinned=False)
    server.cut, server.tag = 1000, tags[0]
    with pytest.raises(SemanifoldError, match="resumes"):
        zoo.fetch("mine")
    server.cut, server.tag, server.files["mine.bin"] = None, tags[1], b"b" * 5000
    assert zoo.fetch("mine").read_bytes() == b"b" * 5000


def test_a_whole_part_without_a_hash_begins_again(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(server, monkeypatch, b"a" * 5000, pinned=False)
    server.tag = '"one"'
    (tmp_path / "cache" / "zoo").mkdir(parents=True)
    (tmp_path / "cache" / "zoo" / "mine-mine.bin.part").write_bytes(b"x" * 5000)
    (tmp_path / "cache" / "zoo" / "mine-mine.bin.part.mark").write_text('"one"')
    assert zoo.fetch("mine").read_bytes() == b"a" * 5000


def test_wrong_hash_and_missing_file(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = add(server, monkeypatch, b"good")
    server.files["mine.bin"] = b"evil"
    with pytest.raises(SemanifoldError, match=f"{hashlib.sha256(b'evil').hexdigest()}.*{row.sha256}.*deleted"):
        zoo.fetch("mine")
    server.files.clear()
    with pytest.raises(SemanifoldError, match="404"):
        zoo.fetch("mine")
    assert left(tmp_path) == []


def test_a_web_page_is_never_trusted(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(server, monkeypatch, b"<html>please log in", pinned=False)
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(SemanifoldError, match="web page"):
        zoo.fetch("mine")
    assert left(tmp_path) == []


def test_the_first_download_is_trusted_and_then_binding(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(server, monkeypatch, b"first", pinned=False)
    path = zoo.fetch("mine")
    record = zoo.recorded("mine")
    assert record is not None
    assert record.sha256 == hashlib.sha256(b"first").hexdigest()
    path.write_bytes(b"firsT")
    with pytest.raises(SemanifoldError, match="not what was fetched"):
        zoo.located("mine")
    server.files["mine.bin"] = b"second"
    with pytest.raises(SemanifoldError, match=f"{record.sha256} was expected"):
        zoo.fetch("mine")
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(SemanifoldError, match=f"{record.sha256} was expected"):  # even after the file was deleted
        zoo.fetch("mine")
    server.files["mine.bin"] = b"first"
    assert zoo.fetch("mine").read_bytes() == b"first"
    (tmp_path / "cache" / "zoo" / "mine.json").write_text('{"address": "x", "sha256": "y", "files": {"../../a": "z"}}')
    with pytest.raises(SemanifoldError, match=r"mine\.json is damaged"):
        zoo.located("mine")


def test_a_failed_fetch_keeps_what_was_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    row = add(server, monkeypatch, archive(("w.pt", b"old")), members=("w.pt",))
    zoo.fetch("mine").write_bytes(b"own")
    server.files["mine.tar"] = b"other"
    with pytest.raises(SemanifoldError, match="was expected"):
        zoo.fetch("mine")
    folder = Path(os.environ["SEMANIFOLD_CACHE"]) / "zoo" / "mine"
    assert (folder / "w.pt").read_bytes() == b"own"
    assert row.sha256


def test_names() -> None:
    with pytest.raises(SemanifoldError, match="did you mean stylegan2-ffhq-256x256"):
        zoo.located("stylegan2-ffhq-256")
    with pytest.raises(SemanifoldError, match=r"did you mean .*navigan-"):
        zoo.fetch("navi")
    with pytest.raises(SemanifoldError, match="has no 'qqqqq': 'semanifold zoo list'"):
        zoo.entry("qqqqq")
    assert [row.name for row in zoo.matching(["Hopenet"])] == ["hopenet"]
    assert {row.kind for row in zoo.matching(["StyleGAN3", "2106.12423"])} == {"generator"}


def test_the_command(server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    add(server, monkeypatch, b"first", pinned=False)
    assert cli_zoo(monkeypatch, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == 1 + 125
    assert max(map(len, lines)) < 120
    assert cli_zoo(monkeypatch, "fetch", "mine") == 0
    out, remarks = capsys.readouterr()
    assert Path(out.splitlines()[0]).read_bytes() == b"first"
    assert "Nobody published a SHA-256" in remarks
    assert hashlib.sha256(b"first").hexdigest() in remarks
    assert "licence: none" in remarks
    assert cli_zoo(monkeypatch, "fetch", "mine") == 0
    assert "Nobody published" not in capsys.readouterr().err
    assert cli_zoo(monkeypatch, "list", "mine") == 0
    assert "of the first download" in capsys.readouterr().out
    assert cli_zoo(monkeypatch, "list", "a test", "none") == 0
    assert re.search(r"^  mine +generator +no +first seen +yes", capsys.readouterr().out, re.MULTILINE)
    for words, message in [
        (["fetch"], "no name to fetch"),
        (["fetch", "mine", "minne"], "did you mean mine"),
        (["list", "qqqqq"], "Nothing in the zoo matches"),
        (["remove"], "list"),
    ]:
        assert cli_zoo(monkeypatch, *words) == 2
        assert message in capsys.readouterr().err


def cli_zoo(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setitem(cli.COMMANDS, "zoo", ("semanifold.app.commands.zoo:Zoo", "list and fetch public weights"))
    return cli.main(["zoo", *words])


def test_files_of_the_zoo_are_known_by_contents_or_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoo.licence_of("somewhere/stylegan2-ffhq-256x256.pkl", "0" * 64) == "NVIDIA, non-commercial (by the name of the file)"
    assert zoo.licence_of("somewhere/mine.pkl", "0" * 64) is None
    human = "not stated; its photographs, SHHQ, are non-commercial (by the name of the file)"
    assert zoo.licence_of("stylegan_human_v2_1024.pkl", "0" * 64) == human
    assert zoo.licence_of("network-snapshot-final.pkl", "0" * 64) is None, "many networks have files of this name"
    row = replace(zoo.entry("stylegan2-ffhq-256x256"), sha256="1" * 64)
    monkeypatch.setattr(zoo, "table", lambda: {row.name: row})
    assert zoo.licence_of("mine.pkl", "1" * 64) == "NVIDIA, non-commercial"
    assert zoo.restricted("NVIDIA, non-commercial")
    assert zoo.restricted("CC BY-NC: Non-Commercial")
    assert not zoo.restricted("Apache-2.0")
