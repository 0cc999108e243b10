"""Downloads are verified, resumed, kept and cleaned up."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.generators.loading import convert, load_generator, save_generator
from semanifold.generators.stylegan2.network import StyleGAN2, StyleGAN2Config
from semanifold.storage.fetching import fetch

SMALL = StyleGAN2Config(size=8, z_dim=4, w_dim=4, channels=(4, 4), mapping_layers=2)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file under every address; can cut an answer short and can ignore ranges."""

    data = b""
    cut: int | None = None
    ranges = True
    asked: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        if start >= len(self.server.data) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.server.data) - start))
        self.end_headers()
        self.wfile.write(self.server.data[start : self.server.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path / "cache"))
    save_generator(StyleGAN2(SMALL), tmp_path / "weights.safetensors")
    made = Server(("127.0.0.1", 0), Handler)
    made.data, made.asked = (tmp_path / "weights.safetensors").read_bytes(), []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def address(server: Server, name: str = "a b/weights.safetensors") -> str:
    return f"http://127.0.0.1:{server.server_port}/{name.replace(' ', '%20')}"


def digest(server: Server) -> str:
    return hashlib.sha256(server.data).hexdigest()


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").iterdir())


def test_downloads_once(server: Server, tmp_path: Path) -> None:
    url = f"{address(server)}#sha256={digest(server).upper()}"
    generator = load_generator(url)
    assert generator.source == url
    assert generator.fingerprint == load_generator(address(server), sha256=digest(server)).fingerprint
    assert len(server.asked) == 1
    assert [path.suffix for path in cached(tmp_path)] == [".safetensors"]
    convert(url, tmp_path / "copy.safetensors")
    assert load_generator(tmp_path / "copy.safetensors").fingerprint == generator.fingerprint


@pytest.mark.parametrize("ranges", [True, False])
def test_resumes(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.cut = 1000
    with pytest.raises(SemanifoldError, match=r"could not be downloaded.*it resumes"):
        fetch(address(server), digest(server))
    assert [path.suffix for path in cached(tmp_path)] == [".part"]
    server.cut, server.ranges = None, ranges
    path, _ = fetch(address(server), digest(server))
    assert path.read_bytes() == server.data
    assert server.asked == ["", "bytes=1000-"]
    assert cached(tmp_path) == [path]


def test_finishes_a_complete_part(server: Server) -> None:
    path, _ = fetch(address(server), digest(server))
    path.rename(path.with_name(path.name + ".part"))
    assert fetch(address(server), digest(server))[0].read_bytes() == server.data


def test_wrong_hash(server: Server, tmp_path: Path) -> None:
    wrong = "ab" * 32
    with pytest.raises(SemanifoldError, match=f"{digest(server)}.*{wrong}.*deleted"):
        load_generator(address(server), sha256=wrong)
    assert cached(tmp_path) == []


def test_a_changed_copy_is_not_used(server: Server, tmp_path: Path) -> None:
    path, _ = fetch(address(server), digest(server))
    path.write_bytes(server.data[:-1] + b"x")
    with pytest.raises(SemanifoldError, match="damaged"):
        load_generator(address(server), sha256=digest(server))
    assert cached(tmp_path) == []
    load_generator(address(server), sha256=digest(server))


def test_wrong_addresses(server: Server, tmp_path: Path) -> None:
    for url, words in [
        (address(server), "needs a hash"),
        (f"{address(server)}#sha256=abc", "is no SHA-256"),
        (f"{address(server, 'missing')}#sha256={'0' * 64}", "404"),
        (f"http://127.0.0.1:9/x#sha256={'0' * 64}", "could not be downloaded"),
        (f"https://[bad#sha256={'0' * 64}", "could not be downloaded"),
    ]:
        with pytest.raises(SemanifoldError, match=words) as raised:
            load_generator(url)
        assert "\n" not in str(raised.value)
    with pytest.raises(SemanifoldError, match="Two different hashes"):
        load_generator(f"{address(server)}#sha256={'0' * 64}", sha256="1" * 64)
    assert not (tmp_path / "cache").exists() or cached(tmp_path) == []


def test_own_code_is_not_taken_from_an_address(server: Server, tmp_path: Path) -> None:
    server.data = b"open('canary', 'w')\ngenerator = None\n"
    with pytest.raises(SemanifoldError):
        load_generator(f"{address(server, 'evil.py')}#sha256={digest(server)}")
    with pytest.raises(SemanifoldError):
        load_generator(f"{address(server, 'evil.py')}:generator")
    assert not Path("canary").exists()


def test_unwritable_cache(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEMANIFOLD_CACHE", str(tmp_path / "file"))
    with pytest.raises(SemanifoldError, match="could not be downloaded"):
        load_generator(address(server), sha256=digest(server))
