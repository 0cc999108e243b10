"""Hostile masks, painted and typed; timelines, descriptions of networks, and arguments."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from hostile.folders import PLACES, picture_bomb
from hostile.trials import CANARY, GOOD, IN, OUT, Hostile, Words
from hostile.uses import SHORT, SOON, TO, mask
from hostile.values import WRONG
from PIL import Image


def picture(array: np.ndarray, form: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


SQUARE = np.zeros((64, 64), dtype=np.uint8)
SQUARE[20:40, 20:40] = 255


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG that claims a size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


WHITE = chunk(b"IDAT", zlib.compress(b"\0\xff"))


def animated(frames: int) -> bytes:
    """A GIF of so many frames."""
    buffer = io.BytesIO()
    first = Image.fromarray(SQUARE)
    first.save(buffer, "GIF", save_all=True, append_images=[Image.fromarray(SQUARE ^ (i % 256)) for i in range(1, frames)])
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """A JPEG with an orientation."""
    image, buffer = Image.fromarray(SQUARE), io.BytesIO()
    held = image.getexif()
    held[0x0112] = orientation
    image.save(buffer, "JPEG", exif=held)
    return buffer.getvalue()


RGBA = np.dstack([SQUARE, SQUARE.T, SQUARE, np.linspace(0, 255, 64 * 64).astype(np.uint8).reshape(64, 64)])
PICTURES: dict[str, Callable[[], bytes]] = {
    "13,000 x 13,000": picture_bomb,
    "claims 2**31 pixels": lambda: png(2**31 - 1, 2**31 - 1, chunk(b"IDAT", zlib.compress(b"\0" * 100))),
    "no pixels": lambda: png(0, 0, chunk(b"IDAT", b"")),
    "60,000 x 1": lambda: picture(np.full((1, 60_000), 255, np.uint8)),
    "text of 200 MB": lambda: png(1, 1, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20))), WHITE),
    "profile of 200 MB": lambda: png(1, 1, chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200 << 20))), WHITE),
    "wrong checksum": lambda: picture(SQUARE).replace(b"IDAT", b"IDAX"),
    "truncated": lambda: picture(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))[:1500],
    "16 bits": lambda: picture((SQUARE.astype(np.uint16)) * 3),
    "class labels": lambda: picture(SQUARE // 85),
    "float TIFF of NaN": lambda: picture(np.full((64, 64), np.nan, np.float32), "TIFF"),
    "float TIFF below zero": lambda: picture(np.full((64, 64), -5, np.float32), "TIFF"),
    "float TIFF of 1e38": lambda: picture(np.full((64, 64), 1e38, np.float32), "TIFF"),
    "TIFF of circles": lambda: b"II*\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x01\0\0\0\x08\0\0\0",
    "RGBA, both vary": lambda: picture(RGBA),
    "colours": lambda: picture(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)),
    "palette": lambda: picture(SQUARE, "GIF"),
    "turned": lambda: exif(6),
    "orientation 77": lambda: exif(77),
    "500 frames": lambda: animated(500),
    "black": lambda: picture(SQUARE * 0),
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(touch canary) run\nshowpage\n",
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PPM that claims": lambda: b"P5 1000000 1000000 255\n" + bytes(100),
    "PPM of a long number": lambda: b"P5 " + b"9" * 10**6 + b" 1 255\n",
    "BMP that claims": lambda: b"BM" + struct.pack("<IHHIIiiHH", 100, 0, 0, 54, 40, 10**6, 10**6, 1, 24) + bytes(24),
    "nothing": lambda: b"",
    "zeros": lambda: bytes(10**6),
    "numpy array": lambda: b"\x93NUMPY",
}  # fmt: skip

NAMES = (
    "mask (1).png", "mask & eyes.png", "~mund~1.png", "a|b.png", "box:0,0,1,1", "mouth", "a'b\".png", "\x1b[2J\u202e.png",
    "x" * 250 + ".png", "-rf.png", "'", "feather:0.1(mouth)", "a\nb.png", "alpha:x.png",
)  # fmt: skip
"""Names of mask files that mean something to somebody else."""


def polygon(corners: int) -> str:
    """A polygon of so many corners."""
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return "polygon:" + " ".join(f"{0.5 + 0.3 * np.cos(a):.3f},{0.5 + 0.3 * np.sin(a):.3f}" for a in angles)


TEXTS: dict[str, str] = {
    "empty": "",
    "blank": "   ",
    "2,000 tildes": "~" * 2000 + "mouth",
    "2,000 brackets": "(" * 2000 + "mouth" + ")" * 2000,
    "2,000 ors": "|".join(["mouth"] * 2000),
    "2,000 feathers": "feather:0.01(" * 500 + "mouth" + ")" * 500,
    "polygon of 40": polygon(40),
    "polygon of 10,000": polygon(10_000),
    "polygon of one": "polygon:0.1,0.1",
    "polygon of a line": "polygon:0.1,0.1 0.2,0.2 0.3,0.3",
    "100,000 letters": "m" * 100_000,
    "9,999 letters": "m" * 9_999,
    "NaN": "box:nan,0,1,1",
    "infinite": "ellipse:inf,0.5,1e400,0.1",
    "1e308": "box:-1e308,-1e308,1e308,1e308",
    "beyond": "box:5,5,6,6",
    "turned round": "box:0.9,0.9,0.1,0.1",
    "ellipse of nothing": "ellipse:0.5,0.5,0,0",
    "feather of 1e9": "feather:1e9(mouth)",
    "feather of -1": "feather:-1(mouth)",
    "too few": "box:0.1",
    "digits": "box:" + "9" * 4000 + ",0,1,1",
    "other digits": "box:０.1,٠.٢,1,1",
    "zero byte": "a\0b.png",
    "control": "\x1b[2J\u202emouth",
    "surrogate": "\udcff\udc80",
    "quote": "'mouth",
    "folder": "/",
    "device": "/dev/zero",
    "stdin": "/dev/stdin",
    "standard input": "-",
    "path": "../" * 500 + "etc/passwd",
    "home": "~root/.bashrc.png",
    "address": "http://127.0.0.1:9/mask.png",
    "everything": "~(mouth&~mouth)",
    "nothing": "mouth&~mouth",
    "unknown region": "mouht",
    "format": "%s%n{0.__class__}",
}

TIMELINES: dict[str, str | bytes] = {
    "empty": "",
    "no TOML": "= = =",
    "invalid UTF-8": b"\xff\xfe",
    "deep": "a = " + "[" * 10**5,
    "deep tables": ".".join(["a"] * 10**4) + " = 1",
    "large": "#" + "x" * (2 << 20),
    "wrong types": "track = 3",
    "track of texts": 'track = ["a", "b"]',
    "keys of texts": '[[track]]\nedit = "smile"\nkeys = ["a"]',
    "keys of one": '[[track]]\nedit = "smile"\nkeys = [[1]]',
    "keys of NaN": '[[track]]\nedit = "smile"\nkeys = [[0, nan], [inf, 1]]',
    "10**400 seconds": '[[track]]\nedit = "smile"\nkeys = [[0, 0], [1' + "0" * 400 + ", 1]]",
    "5,000 digits": "seed = " + "9" * 5000,
    "10**9 seconds": 'seconds = 1e9\n[[track]]\nedit = "smile"\nkeys = [[0, 0], [1, 1]]',
    "backwards": '[[track]]\nedit = "smile"\nkeys = [[1, 0], [0, 1]]',
    "strong": '[[track]]\nedit = "smile"\nkeys = [[0, 0], [0.1, 1e30]]',
    "1,000 tracks": '[[track]]\nedit = "smile"\nkeys = [[0, 0], [1, 1]]\n' * 1000,
    "10**5 keys": '[[track]]\nedit = "smile"\nkeys = [' + ", ".join(f"[{i / 1000}, 0]" for i in range(10**5)) + "]",
    "unknown edit": '[[track]]\nedit = "\\u001b[2J\\u202e"\nkeys = [[0, 0], [1, 1]]',
    "edit is code": '[[track]]\nedit = "evil.py:g"\nkeys = [[0, 0], [1, 1]]',
    "edit is a device": '[[track]]\nedit = "/dev/zero"\nkeys = [[0, 0], [1, 1]]',
    "unknown ease": 'ease = "evil"\n[[track]]\nedit = "smile"\nkeys = [[0, 0], [1, 1]]',
    "seed is NaN": 'seed = nan\n[[track]]\nedit = "smile"\nkeys = [[0, 0], [0.1, 1]]',
    "negative seed of 2**70": f'seed = -{2**70}\n[[track]]\nedit = "smile"\nkeys = [[0, 0], [0.1, 1]]',
}

SIZE = '"size": [64, 64], '
DESCRIPTIONS: dict[str, str | bytes] = {
    "empty": "",
    "list": "[]",
    "deep": "[" * 10**5,
    "invalid UTF-8": b'{"\xff"}',
    "no size": "{}",
    "size of 10**9": '{"size": [1000000000, 1000000000], "attributes": [{"name": "a"}]}',
    "size of 10**400": '{"size": [' + WRONG["10**400"] + ", 1]}",
    "unknown key": '{"size": [64, 64], "evil": 1}',
    "names that steer": "{" + SIZE + '"attributes": [{"name": "\\u001b[2J"}]}',
    "name is a number": "{" + SIZE + '"attributes": [{"name": 3}]}',
    "range is NaN": "{" + SIZE + '"attributes": [{"name": "a", "low": NaN}]}',
    "range backwards": "{" + SIZE + '"attributes": [{"name": "a", "low": 1, "high": 0}]}',
    "attributes are a dict": "{" + SIZE + '"attributes": {"a": 1}}',
    "10**5 attributes": "{" + SIZE + '"attributes": [' + ",".join(f'{{"name": "a{i}"}}' for i in range(10**5)) + "]}",
    "decode is a list": "{" + SIZE + '"attributes": [{"name": "a"}], "decode": []}',
    "models that lead out": "{" + SIZE + '"attributes": [{"name": "a"}], "models": ["../../../etc/passwd"]}',
    "mean of texts": "{" + SIZE + '"attributes": [{"name": "a"}], "mean": ["x"]}',
    "scale of 0": "{" + SIZE + '"attributes": [{"name": "a"}], "scale": 0}',
    "columns of 10**18": "{" + SIZE + '"attributes": [{"name": "a"}], "columns": [1000000000000000000]}',
    "columns of NaN": "{" + SIZE + '"attributes": [{"name": "a"}], "columns": [NaN]}',
    "good, beside a network that is none": "{" + SIZE + '"attributes": [{"name": "a"}]}',
}

NEW_NAMES = (
    "http:x",
    "12:30:00",
    "box:0,0",
    "a\0b",
    "x" * 300,
    "\x1b[2J",
    "\udcff",
    "-",
    "a\nb",
    "/dev/full",
    "/dev/null/x",
    "/proc/x",
    " ",
)
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "nothing": ("",),
    "unknown command": ("\x1b[2J\u202e" + "x" * 10**5,),
    "surrogate command": ("\udcff",),
    "unknown option": ("discover", "--" + "x" * 10**5),
    "option of control": ("discover", "--m\x1b[2J", "a"),
    "value of 10**5 letters": ("discover", "--seed", "9" * 10**5),
    "seed NaN": ("discover", "--mask", "mouth", "--seed", "nan"),
    "seed 2**64": ("discover", "--mask", "mouth", "--seed", str(2**64), *SOON, *SHORT),
    "seeds 0-10**20": ("sample", "--seeds", f"0-{10**20}"),
    "seeds of other digits": ("sample", "--seeds", "٣"),
    "seeds backwards": ("sample", "--seeds", "9-1"),
    "layers 5,000 digits": ("sample", "--mix-layers", "9" * 5000, "--mix", "1"),
    "springs of NaN": ("discover", "--mask", "mouth", "--springs", "1:nan"),
    "springs of infinity": ("discover", "--mask", "mouth", "--springs", "1:1e400"),
    "springs of order 10**9": ("discover", "--mask", "mouth", "--springs", "1000000000:1"),
    "frames 10**9": ("discover", "--mask", "mouth", "--frames", str(10**9)),
    "frames -1": ("discover", "--mask", "mouth", "--frames", "-1"),
    "iterations 10**400": ("discover", "--mask", "mouth", "--iterations", "1" + "0" * 400),
    "offset NaN": ("discover", "--mask", "mouth", "--offset", "nan"),
    "offset infinity": ("discover", "--mask", "mouth", "--offset", "inf"),
    "size 10**6": ("render", "faces:smile", "--size", "1000000"),
    "fps NaN": ("render", "faces:smile", "--fps", "nan"),
    "seconds infinity": ("render", "faces:smile", "--seconds", "inf"),
    "until 1e308": ("render", "faces:smile", "--seed", "0", "--frames", "2", *SHORT, "--until", "1e308"),
    "truncation NaN": ("sample", "--seeds", "0", "--truncation", "nan"),
    "class 10**18": ("sample", "--seeds", "0", "--class", str(10**18)),
    "device gpu": ("sample", "--seeds", "0", "--device", "gpu"),
    "device that steers": ("sample", "--seeds", "0", "--device", "cuda:\x1b[2J"),
    "device meta": ("sample", "--seeds", "0", "--device", "meta"),
    "space that steers": ("sample", "--seeds", "0", "--space", "\x1b[2J"),
    "generator of 10**5 letters": ("sample", "--seeds", "0", "--generator", "x" * 10**5),
    "generator is a folder": ("sample", "--seeds", "0", "--generator", "/"),
    "generator is a device": ("sample", "--seeds", "0", "--generator", "/dev/zero"),
    "generator is a memory": ("sample", "--seeds", "0", "--generator", "/proc/self/mem"),
    "generator is an address": ("sample", "--seeds", "0", "--generator", "http://127.0.0.1:9/x.pt#sha256=" + "0" * 64),
    "generator is a file address": ("sample", "--seeds", "0", "--generator", "file:///etc/passwd"),
    "generator, invalid UTF-8": ("sample", "--seeds", "0", "--generator", "\udcff.pt"),
    "code that is missing": ("sample", "--seeds", "0", "--generator", "nowhere.py:g"),
    "inspect a device": ("inspect", "/dev/zero"),
    "inspect the root": ("inspect", "/"),
    "inspect itself": ("inspect", "/proc/self"),
    "inspect zero byte": ("inspect", "a\0b"),
    "inspect 300 letters": ("inspect", "x" * 300),
    "convert onto a device": ("convert", "faces", "/dev/full"),
    "convert into nowhere": ("convert", "faces", "/nowhere/x.safetensors"),
    "step NaN": ("traverse", "faces", "--step", "nan"),
    "steps 10**9": ("traverse", "faces", "--paths", "0", "--steps", str(10**9)),
    "leap -1": ("traverse", "faces", "--paths", "0", "--leap", "-1"),
    "path of control": ("render", "faces:\x1b[2J"),
    "path of 10**5 letters": ("render", "faces", "--path", "x" * 10**5),
    "batch 10**12": ("traverse", "faces", "--paths", "0", "--steps", "1", "--no-films", "--batch", str(10**12)),
    "k 10**9": ("directions", "pca", "--k", str(10**9)),
    "k 10**9, learned": ("train", "--kind", "linear", "--k", str(10**9)),
    "dipoles 10**9": ("train", "--dipoles", str(10**9)),
    "learning rate NaN": ("train", "--paths-lr", "nan"),
    "batch 10**9": ("train", "--batch", str(10**9)),
    "preset that steers": ("train", "--preset", "\x1b[2J"),
    "attributes that steer": ("measure", f"{GOOD}/walk", "--attributes", "\x1b[2J,\u202e"),
    "attributes of 10**5": ("measure", f"{GOOD}/walk", "--attributes", "faces:" + "x" * 10**5),
    "group that leads out": ("rank", f"{GOOD}/walk", "--group", "../../x=smile"),
    "group of control": ("rank", f"{GOOD}/walk", "--group", "\x1b[2J=smile", "--no-gifs"),
    "name that leads nowhere": ("rank", f"{GOOD}/walk", "--name", "/nowhere/x.safetensors"),
    "inside NaN": ("rank", f"{GOOD}/walk", "--inside", "nan"),
    "top 10**18": ("rank", f"{GOOD}/walk", "--top", str(10**18), "--no-gifs"),
    "track without keys": ("play", "smile="),
    "track of 10**5": ("play", "smile=" + ",".join(f"{i}:0" for i in range(10**5))),
    "track NaN": ("play", "smile=0:nan,1:1"),
    "zoo entry that leads out": ("zoo", "fetch", "../../etc/passwd"),
    "completion of anything": ("completion", "\x1b[2J"),
}  # fmt: skip


def beside(folder: Path) -> None:
    """Files that a grammar might mean."""
    (folder / "evil.py").write_text(f"open({str(folder.with_name(CANARY))!r}, 'w')\ng = None\n")


def text_writer(name: str, words: str | bytes) -> Callable[[Path, Path], None]:
    """Write a text, and code beside it."""

    def write(folder: Path, good: Path) -> None:
        (folder / name).write_bytes(words.encode() if isinstance(words, str) else words)
        beside(folder)

    return write


def named(name: str) -> Callable[[Path, Path], object]:
    """A good mask of a bad name."""
    return lambda folder, good: (folder / os.fsencode(name).decode("utf-8", "surrogateescape")).write_bytes(picture(SQUARE))


def no_network(name: str, words: str | bytes) -> Callable[[Path, Path], None]:
    """A description beside a network that is none."""

    def write(folder: Path, good: Path) -> None:
        text_writer(name, words)(folder, good)
        (folder / "x.onnx").write_bytes(b"\x08\x07\x12\x00" + bytes(100))

    return write


def inputs() -> Iterator[Hostile]:
    """Yield hostile masks and arguments."""

    def nothing(folder: Path, good: Path) -> None:
        beside(folder)

    for what, made in PICTURES.items():
        make = lambda folder, good, made=made: (folder / "x.png").write_bytes(made())  # noqa: E731
        yield Hostile("painted mask", what, make, mask(f"{IN}/x.png"))
    for what in ("a pipe", "a folder", "a link to itself", "a link to /dev/zero", "a dead link"):
        make = lambda folder, good, what=what: PLACES[what](folder / "x.png")  # noqa: E731
        yield Hostile("painted mask", what, make, mask(f"{IN}/x.png"))
    for name in NAMES:
        yield Hostile("name of a mask", ascii(name)[:40], named(name), mask(f"{IN}/{name}"))
    for what, words in TEXTS.items():
        yield Hostile("typed mask", what, nothing, mask(words))
    for what, words in TIMELINES.items():
        uses: tuple[Words, ...] = (("play", f"{IN}/x.toml", *SHORT, *TO), ("inspect", f"{IN}/x.toml"))
        yield Hostile("timeline", what, text_writer("x.toml", words), uses)
    for what, words in DESCRIPTIONS.items():
        for end in ("json", "toml")[: 1 if isinstance(words, str) and words.startswith("{") else 2]:
            uses = (("measure", f"{GOOD}/walk", "--attributes", f"{IN}/x.onnx", *TO), ("inspect", f"{IN}/x.onnx"))
            yield Hostile("description of a network", f"{what}, .{end}", no_network(f"x.{end}", words), uses)
    for name in NEW_NAMES:
        out = ("--out", name)
        uses = (
            ("render", "faces:smile", "--seed", "0", "--frames", "2", *SHORT, *out),
            ("sample", "--seeds", "0", *out),
            ("convert", "faces", name),
            ("convert", "faces", f"{name}.safetensors"),
            ("mask", "mouth", *out),
            ("rank", f"{GOOD}/walk", "--name", name, "--no-gifs", *TO),
        )
        yield Hostile("name of results", ascii(name)[:40], nothing, uses)
    for what, words in ARGUMENTS.items():
        yield Hostile("arguments", what, nothing, (words,))
    for stdout in ("closed", "full"):
        for words in (
            ("sample", "--seeds", "0", *TO),
            ("--help",),
            ("inspect", GOOD),
            ("zoo",),
            ("discover", "--help"),
            ("sample", "--json", "--seeds", "0", *TO),
        ):
            yield Hostile("standard output", f"{stdout}, {words[0]}", nothing, (words,), stdout=stdout)


__all__ = ["OUT", "inputs"]
