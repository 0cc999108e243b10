"""Pictures and films are signed with the user's certificate, and what is said where they cannot be."""

from __future__ import annotations

import datetime
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semanifold.app import cli
from semanifold.core.errors import SemanifoldError
from semanifold.images.films import save_film
from semanifold.images.media import save_png
from semanifold.storage.credentials import CERTIFICATE, KEY, check_certificate
from semanifold.storage.marks import CODES, COMPOSITE, GENERATED, SWITCH, Source
from semanifold.storage.pictures import write_picture

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 24, 32, 3), dtype=np.uint8)


def certified(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "curve") -> None:
    """Write a chain of a self-made authority and a key of one day, and name them."""
    pytest.importorskip("c2pa", reason="signing needs the extra c2pa")
    x509: Any = importlib.import_module("cryptography.x509")
    made: Any = importlib.import_module("cryptography.hazmat.primitives.asymmetric")
    for name in ("ec", "rsa", "ed25519"):
        importlib.import_module(f"{made.__name__}.{name}")
    primitives: Any = importlib.import_module("cryptography.hazmat.primitives")
    hashes, form = (importlib.import_module(f"{primitives.__name__}.{name}") for name in ("hashes", "serialization"))
    keys = {
        "curve": lambda: made.ec.generate_private_key(made.ec.SECP384R1()),
        "rsa": lambda: made.rsa.generate_private_key(65537, 2048),
        "ed25519": made.ed25519.Ed25519PrivateKey.generate,
    }
    authority, own = made.ec.generate_private_key(made.ec.SECP256R1()), keys[kind]()
    now, chain = datetime.datetime.now(datetime.UTC), b""
    for key, subject in ((own, "somebody"), (authority, "an authority")):
        names = [x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, who)]) for who in (subject, "an authority")]
        ca = key is authority
        new = x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        new = new.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        new = new.not_valid_after(now + datetime.timedelta(days=1)).add_extension(x509.BasicConstraints(ca, None), True)
        new = new.add_extension(x509.KeyUsage(not ca, *[False] * 4, ca, ca, False, False), True)
        new = new.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        new = new.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
        if not ca:
            new = new.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
        chain += new.sign(authority, hashes.SHA256()).public_bytes(form.Encoding.PEM)
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(own.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
    monkeypatch.setenv(CERTIFICATE, str(folder / "chain.pem"))
    monkeypatch.setenv(KEY, str(folder / "key.pem"))


def told(path: Path, kind: str) -> tuple[list[dict[str, str]], list[str]]:
    """Return the actions of a signed file, and what the library's own reader finds wrong with it."""
    c2pa: Any = importlib.import_module("c2pa")
    with path.open("rb") as file, c2pa.Reader(kind, file) as reader:
        store = json.loads(reader.json())
    assert store["validation_state"] == "Valid"
    manifest = store["manifests"][store["active_manifest"]]
    assert manifest["claim_generator_info"][0]["name"] == "semanifold"
    actions = [fact["data"]["actions"] for fact in manifest["assertions"] if fact["label"].startswith("c2pa.actions")]
    return actions[0], [status["code"] for status in store["validation_status"]]


@pytest.mark.parametrize(("source", "kind"), [(GENERATED, "curve"), (COMPOSITE, "rsa"), (GENERATED, "ed25519")])
def test_every_format_is_signed_and_keeps_its_pixels(
    source: Source, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certified(tmp_path, monkeypatch, kind)
    check_certificate()
    save_png(FRAMES[0], tmp_path / "a.png", source=source)
    write_picture(Image.fromarray(FRAMES[0]), tmp_path / "a.jpg", jpeg=90, source=source)
    kinds = {"png": "image/png", "jpg": "image/jpeg"}
    if kind == "curve":  # films take their time
        save_film(FRAMES[:2, :16, :16], tmp_path / "a.mp4", size=16, source=source)
        save_film(FRAMES[:2, :16, :16], tmp_path / "a.gif", size=16, source=source)
        kinds |= {"mp4": "video/mp4", "gif": "image/gif"}
    expected = ["c2pa.created", "c2pa.edited"] if source == COMPOSITE else ["c2pa.created"]
    for name, media in kinds.items():
        actions, wrong = told(tmp_path / f"a.{name}", media)
        assert [action["action"] for action in actions] == expected
        assert {action["digitalSourceType"] for action in actions} == {CODES + source}
        assert wrong == ["signingCredential.untrusted"], "nobody knows the authority, and nothing else is wrong"
        assert source.encode() in (tmp_path / f"a.{name}").read_bytes()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), FRAMES[0])
    data = bytearray((tmp_path / "a.png").read_bytes())
    place = data.index(b"IDAT") + 20
    data[place] ^= 1
    (tmp_path / "b.png").write_bytes(data)
    with pytest.raises(AssertionError):  # the reader of the library notices a pixel that was changed
        told(tmp_path / "b.png", "image/png")
    assert {file.name for file in tmp_path.iterdir()} == {*(f"a.{name}" for name in kinds), "b.png", "chain.pem", "key.pem"}


def test_nothing_is_signed_where_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certified(tmp_path, monkeypatch)
    save_png(FRAMES[0], tmp_path / "plot.png", source=None)
    monkeypatch.setenv(SWITCH, "0")
    save_png(FRAMES[0], tmp_path / "off.png")
    assert b"c2pa" not in (tmp_path / "plot.png").read_bytes() + (tmp_path / "off.png").read_bytes()


@pytest.mark.parametrize("what", ["key of another", "no certificate", "encrypted"])
def test_what_cannot_sign_is_said_before_anything_is_written(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    certified(tmp_path / "other", monkeypatch)
    certified(tmp_path, monkeypatch)
    if what == "key of another":
        monkeypatch.setenv(KEY, str(tmp_path / "other" / "key.pem"))
    elif what == "no certificate":
        (tmp_path / "chain.pem").write_text("no certificate")
    else:
        (tmp_path / "key.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(SemanifoldError, match=r"certificate and key .*chain\.pem and .*key\.pem cannot sign \(") as raised:
        check_certificate()
    assert str(raised.value).isprintable()
    assert cli.main(["sample", "--generator", "analytic", "--seeds", "1", "--out", str(tmp_path / "run")]) == 2
    assert "cannot sign" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(CERTIFICATE, str(tmp_path / "chain.pem"))
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(
        SemanifoldError, match=r"Signing by C2PA needs the package c2pa-python, .* \(or unset .*install it with: "
    ):
        save_png(FRAMES[0], tmp_path / "a.png")
    assert cli.main(["sample", "--generator", "analytic", "--seeds", "1", "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())
    pretended = type(sys)("pretended")
    for name in ("c2pa", "cryptography", "cryptography.x509"):
        monkeypatch.setitem(sys.modules, name, pretended)
    with pytest.raises(SemanifoldError, match=r"There is no C2PA certificate .*chain\.pem"):
        check_certificate()
    (tmp_path / "chain.pem").write_text("")
    with pytest.raises(SemanifoldError, match=f"needs both {CERTIFICATE} and {KEY}, but {KEY} is not set"):
        check_certificate()
