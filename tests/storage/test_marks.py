"""Pictures and films say that a generator made them, where other programs look for it."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from semanifold.images.films import save_film
from semanifold.images.media import save_png
from semanifold.storage.marks import CODES, COMPOSITE, GENERATED, SWITCH, mark_gif, packet
from semanifold.storage.pictures import write_picture

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), dtype=np.uint8)
PROPERTY = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def stated(xmp: str | bytes) -> str:
    """Return what a packet says, as a program that knows XML reads it."""
    text = xmp.decode() if isinstance(xmp, bytes) else xmp
    assert text.startswith('<?xpacket begin="\ufeff"')
    (value,) = [node.attrib[PROPERTY] for node in ET.fromstring(text).iter() if PROPERTY in node.attrib]
    return value.removeprefix(CODES)


def xmp_of_mp4(data: bytes) -> list[str]:
    """Return the XMP packets of an MP4 file, box by box."""
    packets, place = [], 0
    while place < len(data):
        size, kind = struct.unpack(">I4s", data[place : place + 8])
        assert size >= 8
        if kind == b"uuid" and data[place + 8 : place + 24].hex().upper() == "BE7ACFCB97A942E89C71999491E3AFAC":
            packets.append(data[place + 24 : place + size].decode())
        place += size
    assert place == len(data)
    return packets


def xmp_of_gif(data: bytes) -> str:
    """Return the XMP packet of a GIF file: what is between the name of the extension and the bytes that end it."""
    _, _, rest = data.partition(b"\x21\xff\x0bXMP DataXMP")
    text, end, last = rest.partition(b"\x01" + bytes(range(255, -1, -1)) + b"\x00")
    assert end
    assert last == b"\x3b"
    return text.decode()


@pytest.mark.parametrize("source", [GENERATED, COMPOSITE])
def test_every_format_says_it_and_keeps_its_pixels(source: str, tmp_path: Path) -> None:
    save_png(FRAMES[0], tmp_path / "a.png", source=source)  # type: ignore[arg-type]
    write_picture(Image.fromarray(FRAMES[0]), tmp_path / "a.jpg", jpeg=95, source=source)  # type: ignore[arg-type]
    with Image.open(tmp_path / "a.png") as picture:
        assert stated(picture.info["XML:com.adobe.xmp"]) == source
        assert np.array_equal(np.asarray(picture), FRAMES[0])
    with Image.open(tmp_path / "a.jpg") as picture:
        assert picture.size == (32, 24)
        (segment,) = [data for kind, data in picture.applist if kind == "APP1"]  # type: ignore[attr-defined]
    assert segment.startswith(b"http://ns.adobe.com/xap/1.0/\0")
    assert stated(segment.partition(b"\0")[2]) == source
    save_film(FRAMES, tmp_path / "a.mp4", source=source)  # type: ignore[arg-type]
    (found,) = xmp_of_mp4((tmp_path / "a.mp4").read_bytes())
    assert stated(found) == source
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))[0] == 5, "players take the box for nothing"
    save_film(FRAMES, tmp_path / "a.gif", source=source)  # type: ignore[arg-type]
    assert stated(xmp_of_gif((tmp_path / "a.gif").read_bytes())) == source
    with Image.open(tmp_path / "a.gif") as film:
        assert getattr(film, "n_frames", 1) == 5
        film.seek(4)
        film.load()


def test_nothing_is_said_where_nobody_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_png(FRAMES[0], tmp_path / "plain.png", source=None)
    monkeypatch.setenv(SWITCH, "0")
    save_png(FRAMES[0], tmp_path / "off.png")
    write_picture(Image.fromarray(FRAMES[0]), tmp_path / "off.jpg", jpeg=90)
    save_film(FRAMES, tmp_path / "off.mp4")
    save_film(FRAMES, tmp_path / "off.gif")
    for file in tmp_path.iterdir():
        assert b"DigitalSourceType" not in file.read_bytes(), file.name
    assert xmp_of_mp4((tmp_path / "off.mp4").read_bytes()) == []


def test_a_file_that_is_no_gif_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cut.gif").write_bytes(b"GIF89a")
    with pytest.raises(OSError, match="does not end as a GIF"):
        mark_gif(tmp_path / "cut.gif", GENERATED)
    assert (tmp_path / "cut.gif").read_bytes() == b"GIF89a"


def test_the_packet_is_what_the_iptc_asks_for() -> None:
    assert f'Iptc4xmpExt:DigitalSourceType="{CODES}trainedAlgorithmicMedia"' in packet(GENERATED)
    assert CODES == "http://cv.iptc.org/newscodes/digitalsourcetype/"
