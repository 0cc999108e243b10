"""What a picture or film says about how it was made: the IPTC's DigitalSourceType, in an XMP packet.

The XMP Specification, Part 3, says where each format keeps its packet, the IPTC Photo Metadata Standard the property; its values
are at cv.iptc.org/newscodes/digitalsourcetype. The environment variable ``SEMANIFOLD_MARK=0`` leaves it out. Files are signed
last, if the user has a certificate (:mod:`semanifold.storage.credentials`).
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Literal

from PIL.PngImagePlugin import PngInfo

from semanifold.storage.credentials import sign

Source = Literal["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
GENERATED: Source = "trainedAlgorithmicMedia"
"""Made by a trained generator."""
COMPOSITE: Source = "compositeWithTrainedAlgorithmicMedia"
"""A photograph of which a part was made by one."""
CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SWITCH = "SEMANIFOLD_MARK"
UUID = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
"""Of the box of an MP4 file that holds XMP."""
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="semanifold" Iptc4xmpExt:DigitalSourceType="{}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


def packet(source: Source) -> str:
    """Return the XMP packet that says how something was made."""
    return PACKET.format(CODES + source)


def marking(source: Source | None) -> Source | None:
    """Return the source to be written; None if there is none, or the user does not want it."""
    return None if os.environ.get(SWITCH) == "0" else source


def seal(path: Path, kind: str, source: Source | None) -> None:
    """Sign a finished file of a media type with the user's certificate, if there is one; nothing where nothing is said."""
    if (source := marking(source)) is not None:
        sign(path, kind, CODES + source)


def png_text(source: Source | None) -> PngInfo | None:
    """Return what a PNG file says beside its pixels."""
    if (source := marking(source)) is None:
        return None
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", packet(source))
    return info


def jpeg_segment(source: Source | None) -> bytes:
    """Return the segment of a JPEG file that says it; empty for none."""
    if (source := marking(source)) is None:
        return b""
    body = b"http://ns.adobe.com/xap/1.0/\0" + packet(source).encode()
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def mark_mp4(path: Path, source: Source | None) -> None:
    """Add a box that says it to the end of a finished MP4 file, and sign it."""
    if (source := marking(source)) is None:
        return
    body = UUID + packet(source).encode()
    with path.open("ab") as file:
        file.write(struct.pack(">I", len(body) + 8) + b"uuid" + body)
    seal(path, "video/mp4", source)


def mark_gif(path: Path, source: Source | None) -> None:
    """Add an extension that says it to the end of a finished GIF file, and sign it.

    A reader that does not know the extension takes its text for blocks, each as long as its first byte says; the bytes 255 to 0
    behind the text end that wherever it has got to.
    """
    if (source := marking(source)) is None:
        return
    extension = b"\x21\xff\x0bXMP DataXMP" + packet(source).encode() + b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\x3b":
            raise OSError(f"{path.name} does not end as a GIF file does")
        file.seek(-1, os.SEEK_END)
        file.write(extension + b"\x3b")
    seal(path, "image/gif", source)
