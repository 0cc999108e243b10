"""Content Credentials: pictures and films signed with the user's certificate, as the C2PA's specification (c2pa.org) says.

The environment variables ``SEMANIFOLD_C2PA_CERTIFICATE`` and ``SEMANIFOLD_C2PA_KEY`` name the files; without them nothing is
signed. Needs the extra ``c2pa``. Nothing is sent anywhere, so that signatures have no time stamp of an authority.
"""

from __future__ import annotations

import importlib
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from semanifold.core.errors import SemanifoldError, first_line, shown
from semanifold.core.extras import missing_package
from semanifold.core.version import __version__
from semanifold.storage.files import opened, read_bytes, replacing

CERTIFICATE, KEY = "SEMANIFOLD_C2PA_CERTIFICATE", "SEMANIFOLD_C2PA_KEY"
MOST_BYTES = 1 << 20
"""Of a chain of certificates."""
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
CURVES = {256: "es256", 384: "es384", 521: "es512"}
"""The algorithm of an elliptic curve, by its bits."""
WITHOUT_THUMBNAIL = {"builder": {"thumbnail": {"enabled": False}}}
"""They would take twenty times as long as the signature, and ten times as many bytes."""


def asked_for() -> bool:
    """Whether the user wants signatures."""
    return any(os.environ.get(name) for name in (CERTIFICATE, KEY))


def check_certificate() -> None:
    """Sign a picture of one pixel in memory, so that what is wrong is said before hours of work; nothing where nobody asked.

    Raises:
        SemanifoldError: see :func:`sign`.
    """
    if asked_for():
        Image.new("L", (1, 1)).save(pixel := io.BytesIO(), format="PNG")
        _signed(pixel, io.BytesIO(), "image/png", "")


def sign(path: Path, kind: str, source: str) -> None:
    """Sign a finished file if the user wants that, whole or not at all.

    Args:
        path: the file.
        kind: its media type.
        source: the address of its IPTC Digital Source Type.

    Raises:
        SemanifoldError: if the package, a file or one of the two variables is missing, or certificate and key cannot sign.
    """
    if asked_for():
        with replacing(path) as part, opened(path) as plain, part.open("w+b") as whole:
            _signed(plain, whole, kind, source)


def _signed(plain: BinaryIO, whole: BinaryIO, kind: str, source: str) -> None:
    try:
        c2pa: Any = importlib.import_module("c2pa")
        x509: Any = importlib.import_module("cryptography.x509")
    except ImportError as error:
        raise missing_package("Signing by C2PA", "c2pa-python", "c2pa", f"unset {CERTIFICATE} and {KEY}") from error
    chain, key = _read(CERTIFICATE, "certificate"), _read(KEY, "key")
    # An edit has to be told after what it is an edit of, of which nothing is here: the picture is made, of a photograph and more.
    actions = [{"action": "c2pa.created", "digitalSourceType": source}]
    actions += [{"action": "c2pa.edited", "digitalSourceType": source}] if source.endswith(COMPOSITE) else []
    manifest = {
        "claim_generator_info": [{"name": "semanifold", "version": __version__}],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }
    try:
        algorithm = _algorithm(x509.load_pem_x509_certificate(chain).public_key())
        with (
            c2pa.Context.from_dict(WITHOUT_THUMBNAIL) as context,
            c2pa.Signer.from_info(c2pa.C2paSignerInfo(algorithm, chain, key, None)) as signer,
            c2pa.Builder.from_json(manifest, context) as builder,
        ):
            builder.sign(signer, kind, plain, whole)
    except (c2pa.C2paError, ValueError, TypeError) as error:
        files = f"{shown(os.environ[CERTIFICATE], 200)} and {shown(os.environ[KEY], 200)}"
        raise SemanifoldError(
            f"The certificate and key {files} cannot sign ({shown(first_line(error), 200)}); a chain in PEM that allows digital "
            "signatures and its key, not encrypted, in PKCS#8 are expected."
        ) from error


def _read(name: str, what: str) -> bytes:
    if not os.environ.get(name):
        raise SemanifoldError(f"Signing by C2PA needs both {CERTIFICATE} and {KEY}, but {name} is not set.")
    return read_bytes(os.environ[name], f"C2PA {what}", MOST_BYTES)


def _algorithm(key: Any) -> str:
    """Return the algorithm that goes with a public key: of an elliptic curve, RSA, or Ed25519, which has no size."""
    bits = getattr(key, "key_size", None)
    return "ed25519" if bits is None else CURVES.get(bits, "ps256")
