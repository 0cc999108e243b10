"""The zoo: a table of public weights (``zoo.toml``), fetched on request, verified, and found again by name.

The files are other people's: they are downloaded from where their authors put them, under their licences, and never run.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path, PurePosixPath

from semanifold.core.errors import SemanifoldError, near_names, shown
from semanifold.core.world import bundled
from semanifold.storage.digests import file_digest
from semanifold.storage.fetching import cache_folder, download, file_name
from semanifold.storage.files import PART, is_file, is_folder
from semanifold.storage.records import read_json, write_json

SNAPSHOT = "network-snapshot"
"""What training calls the files of every network."""


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        name: what it is fetched and loaded by.
        kind: generator, path set, weight edits, attribute network or metric network.
        about: what it is, in a few words.
        address: where its authors put it.
        sha256: of the file at the address, 64 hexadecimal digits; None where nobody published one.
        licence: of the weights, in words.
        paper: where it comes from.
        members: what is taken out of a tar archive, as names or ends of paths with wildcards; empty if it is no archive.
        loads: whether semanifold makes a generator of it.
        note: why it does not.
        by_hand: name of the file that a person gets at the address, where that is a page; empty where no weights were
            published, None where the address is the file.
    """

    name: str
    kind: str
    about: str
    address: str
    sha256: str | None
    licence: str
    paper: str
    members: tuple[str, ...] = ()
    loads: bool = False
    note: str = ""
    by_hand: str | None = None


@dataclass(frozen=True)
class ZooEntry:
    """What is known about a fetched entry; it lies beside its folder and outlives it.

    Attributes:
        address: where it was downloaded from.
        sha256: of the file at the address.
        files: path inside the folder and SHA-256 of each file.
    """

    address: str
    sha256: str
    files: Mapping[str, str]


@cache
def table() -> Mapping[str, Entry]:
    """Return the whole table, by name."""
    with Path(__file__).with_name("zoo.toml").open("rb") as file:
        collections = tomllib.load(file)["collection"]
    entries: dict[str, Entry] = {}
    for shared in collections:
        for name, row in shared["files"].items():
            facts = shared | (row if isinstance(row, dict) else {"path": row})
            entries[name] = Entry(
                name=name,
                kind=facts["kind"],
                about=facts.get("about", shared["title"]),
                address=facts["base"] + facts["path"],
                sha256=facts.get("sha256"),
                licence=facts["licence"],
                paper=facts["paper"],
                members=tuple(facts.get("members", ())),
                loads=facts.get("loads", facts["kind"] == "generator"),
                note=facts.get("note", ""),
                by_hand=facts.get("by_hand"),
            )
    return entries


def entry(name: str) -> Entry:
    """Return a row of the table.

    Raises:
        SemanifoldError: for an unknown name, with the near names.
    """
    if name in table():
        return table()[name]
    near = get_close_matches(name, table(), n=4, cutoff=0.5) or [known for known in table() if name.lower() in known][:4]
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise SemanifoldError(f"The zoo has no {shown(name)!r}: {hint}'semanifold zoo list' shows all {len(table())} names.")


def licence_of(file: str | os.PathLike[str], sha256: str) -> str | None:
    """Return the licence of a file that the table knows, by its contents or else by its name; None if it knows neither.

    Names of files that do not load are passed over, and those that training gives to every network.

    Args:
        file: its path.
        sha256: of its contents.
    """
    singles = [row for row in table().values() if not row.members and row.kind == "generator"]
    try:
        records = set(os.listdir(cache_folder() / "zoo"))  # for it is asked at every loading, and of most rows there is none
    except OSError:
        records = set()
    for row in singles:
        record = recorded(row.name) if row.sha256 is None and f"{row.name}.json" in records else None
        known = {row.sha256} if record is None else {record.sha256}
        if sha256 in known:
            return row.licence
    name = Path(file).name
    called = {row.by_hand or row.address.partition("?")[0].rpartition("/")[2]: row for row in reversed(singles) if row.loads}
    row = None if name.startswith(SNAPSHOT) else called.get(name)
    return None if row is None else f"{row.licence} (by the name of the file)"


def restricted(licence: str) -> bool:
    """Whether a licence forbids commercial use, as far as its words say."""
    return "non-commercial" in licence.lower()


def matching(words: Iterable[str]) -> list[Entry]:
    """Return the rows in which every one of the words occurs, in any column."""
    rows = [(row, " ".join(str(value) for value in asdict(row).values()).lower()) for row in table().values()]
    return [row for row, text in rows if all(word.lower() in text for word in words)]


def located(name: str) -> Path:
    """Return where a fetched entry lies: its file, or its folder if there are several. Every file is verified.

    Raises:
        SemanifoldError: for an unknown name; if it was not fetched, with the command that does; or if a file was changed.
    """
    entry(name)
    record = recorded(name)
    if (row := table()[name]).by_hand is not None:
        raise SemanifoldError(_for_people(row))
    if record is None or not is_folder(_folder(name)):
        raise SemanifoldError(f"{name} is in the zoo but not on this machine; get it with: semanifold zoo fetch {name}")
    for path, sha256 in record.files.items():
        file = _folder(name) / path
        if not is_file(file) or file_digest(file) != sha256:
            raise SemanifoldError(f"{file} is not what was fetched; get it again with: semanifold zoo fetch {name}")
    files = [_folder(name) / path for path in record.files]
    return files[0] if len(files) == 1 else Path(os.path.commonpath([file.parent for file in files]))


def check_name(text: str) -> None:
    """Refuse a word that is neither a file, a bundled generator nor a name of the zoo; what is no word passes.

    Raises:
        SemanifoldError: with the near names.
    """
    if re.fullmatch(r"[\w-]+", text) and text not in bundled() and not os.path.exists(text) and text not in table():
        near = near_names(text, [*bundled(), *get_close_matches(text[:200], table(), 3)])
        raise SemanifoldError(f"There is no file and no generator {shown(text)!r}: {near} See also semanifold zoo list.")


def located_file(name: str) -> Path:
    """Return the one file of a fetched entry; see :func:`located`.

    Raises:
        SemanifoldError: as :func:`located` does, and if there are several files, with their paths.
    """
    path = located(name)
    if is_folder(path):
        record = recorded(name)
        files = ", ".join(str(_folder(name) / file) for file in (record.files if record else ()))
        raise SemanifoldError(f"{name} holds several files; give the path of one: {files}.")
    return path


def _for_people(row: Entry) -> str:
    if not row.by_hand:
        return f"{row.name} cannot be fetched: {row.note}; see {row.address}"
    return f"{row.name} is at {row.address}, a page for people: save {row.by_hand} from there, and give its path instead."


def here(name: str) -> bool:
    """Whether an entry has been fetched; nothing is verified."""
    return recorded(name) is not None and is_folder(_folder(name))


def fetch(name: str) -> Path:
    """Download an entry unless it is there, verify it, take what is needed out of it, and return :func:`located` of it.

    An entry without a published hash is trusted at the first download; its hash is written down and binding ever after.

    Raises:
        SemanifoldError: for an unknown name, when the download fails or the file is another one, or for an archive that holds
            nothing of use or anything that an honest one does not; what was there before stays.
    """
    row = entry(name)
    if row.by_hand is not None:
        raise SemanifoldError(_for_people(row))
    if here(name):
        try:
            return located(name)
        except SemanifoldError:  # damaged: the record still says which file it has to be
            pass
    record = recorded(name)
    folder, fresh = _folder(name), _folder(name).with_name(name + PART)
    archive = folder.with_name(f"{name}.tar")
    expected = row.sha256 or (record.sha256 if record else None)
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        if row.members:
            sha256 = download(row.address, archive, expected)
            files = extract(archive, fresh, row.members)
        else:
            file = file_name(row.address)
            sha256 = download(row.address, archive.with_name(f"{name}-{file}"), expected)
            os.replace(archive.with_name(f"{name}-{file}"), fresh / file)
            files = [file]
        seen = ZooEntry(row.address, sha256, {path: file_digest(fresh / path) for path in files})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(fresh, folder)
        write_json(_record_path(name), asdict(seen), 2)
    except OSError as error:
        raise SemanifoldError(
            f"{name} cannot be kept in {folder.parent}: {error}; make room, or set SEMANIFOLD_CACHE."
        ) from error
    finally:
        archive.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)
    return located(name)


def recorded(name: str) -> ZooEntry | None:
    """Return what is known about a fetched entry, or None; also after its files were deleted.

    Raises:
        SemanifoldError: if what is written there makes no sense.
    """
    path = _record_path(name)
    if not is_file(path):
        return None
    try:
        record = read_json(path, ZooEntry)
        if not record.files or not all(map(_harmless, record.files)):
            raise SemanifoldError(f"{path} is damaged: its paths make no sense.")
    except SemanifoldError as error:
        words = str(error).rstrip(".")
        raise SemanifoldError(f"{words}; if nobody tampered with it, delete it and fetch {name} again.") from error
    return record if record.address == table()[name].address else None


def extract(archive: Path, folder: Path, members: tuple[str, ...]) -> list[str]:
    """Take the needed files out of a tar archive that nobody vouches for, and return their paths inside of ``folder``.

    Only regular files are written, each once, into new folders, and never more bytes than the archive has. Hidden files stay out.

    Args:
        archive: an uncompressed tar archive.
        folder: an empty folder.
        members: what is needed, as names or ends of paths with wildcards.

    Raises:
        SemanifoldError: if it is no such archive, holds nothing that is needed, or if something needed is a link, a device, a
            sparse or double file, or would be written outside of the folder.
    """
    try:
        with tarfile.open(archive, mode="r:") as tar:
            # Python's own filter refuses what leads out of the folder, once more; releases before 3.11.4 have none
            tar.extraction_filter = getattr(tarfile, "data_filter", tar.extraction_filter)
            infos = list(_headers(tar))
            wanted = [info for info in infos if not info.isdir() and _needed(info.name, members)]
            for info in wanted:
                _check(info)
            names = [str(PurePosixPath(info.name)) for info in wanted]
            if not names:
                inside = ", ".join(shown(info.name, 60) for info in infos[:8]) or "nothing"
                raise SemanifoldError(f"the archive holds none of {', '.join(members)}, but {inside}")
            if len({name.casefold() for name in names}) < len(names):
                raise SemanifoldError("the archive holds a file twice")
            if sum(info.size for info in wanted) > archive.stat().st_size:
                raise SemanifoldError("the archive claims to hold more than its own size")
            for info in wanted:
                tar.extract(info, folder, set_attrs=False)
    except (tarfile.TarError, EOFError, ValueError, RecursionError, MemoryError, FileExistsError, NotADirectoryError) as error:
        what = (
            shown(str(error), 400) if isinstance(error, SemanifoldError) else f"it is no intact tar archive ({shown(str(error))})"
        )
        raise SemanifoldError(f"{archive.name} cannot be unpacked: {what}; nothing of it was kept.") from error
    return names


def _headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Read what is in an archive; a negative size would lead some versions of Python around in a circle."""
    end = 0
    for info in tar:
        if info.size < 0 or info.offset_data < end:
            raise SemanifoldError(f"the size of {shown(info.name)} makes no sense")
        end = info.offset_data
        yield info


def _needed(name: str, members: tuple[str, ...]) -> bool:
    path = PurePosixPath(name)
    return not path.name.startswith(".") and any(path.match(pattern) for pattern in members)


def _check(info: tarfile.TarInfo) -> None:
    """Refuse a member that an honest archive does not hold."""
    if not info.isreg() or info.issparse():
        raise SemanifoldError(f"{shown(info.name)} in the archive is not a plain file but a link, a device or sparse")
    if not _harmless(info.name):
        raise SemanifoldError(f"{shown(info.name)} in the archive would be written outside of its folder")


def _harmless(name: str) -> bool:
    """Whether a path stays inside of its folder, on every system."""
    parts = PurePosixPath(name).parts
    inside = bool(parts) and ".." not in parts and not name.startswith("/")
    return inside and name.isprintable() and not set(name) & set('\\:*?"<>|')


def _folder(name: str) -> Path:
    return cache_folder() / "zoo" / name


def _record_path(name: str) -> Path:
    return cache_folder() / "zoo" / f"{name}.json"
