"""Hostile pickles and what holds them: bare ones, PyTorch's archives, and its files before archives."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from hostile.trials import CANARY, Hostile, Words
from hostile.uses import arrays, generator

PROTOCOL = b"\x80\x02"

SPELLINGS = (
    "os system", "posix system", "nt system", "subprocess call", "subprocess getoutput", "builtins eval", "builtins exec",
    "__builtin__ eval", "commands getoutput", "pty spawn", "torch.serialization os.system",
    "numpy.testing._private.utils runstring",
    "timeit timeit", "cProfile run", "pdb run", "code interact", "runpy _run_code", "importlib import_module", "asyncio run",
    "webbrowser open", "torch.hub load", "torch.utils.cpp_extension load_inline", "torch.jit._script script", "pip main",
    "operator attrgetter", "functools reduce", "types CodeType", "ctypes CDLL", "platform popen", "shutil rmtree",
    "collections OrderedDict.__init__.__globals__", "torch._utils __builtins__", "__main__ __builtins__", "sys exit",
    "multiprocessing.util spawnv_passfds", "idlelib.pyshell main", "distutils.file_util copy_file", "logging.config listen",
    "torch load", "pickle loads", "marshal loads", "numpy load", "joblib load", "dill loads", "cloudpickle loads",
)  # fmt: skip
"""Names that run code, or something that does."""


def text(value: str) -> bytes:
    """A string on the stack."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def calls(spelling: str, argument: str) -> bytes:
    """A pickle that calls a function."""
    module, _, name = spelling.partition(" ")
    return PROTOCOL + f"c{module}\n{name}\n".encode() + b"(" + text(argument) + b"tR."


def calls_by_stack(spelling: str, argument: str) -> bytes:
    """The same by STACK_GLOBAL, whose names are strings that may come from anywhere."""
    module, _, name = spelling.partition(" ")
    return b"\x80\x04" + text(module) + text(name) + b"\x93" + text(argument) + b"\x85R."


def calls_by_inst(spelling: str, argument: str) -> bytes:
    """The same by INST of protocol 0."""
    module, _, name = spelling.partition(" ")
    return b"(" + text(argument) + f"i{module}\n{name}\n".encode() + b"."


def calls_by_build(spelling: str, argument: str) -> bytes:
    """A harmless object whose state is set by a function of the pickle."""
    module, _, name = spelling.partition(" ")
    setter = f"c{module}\n{name}\n".encode()
    return PROTOCOL + b"ccollections\nOrderedDict\n)R}" + text("__setstate__") + setter + b"sb" + text(argument) + b"b."


def calls_by_extension(spelling: str, argument: str) -> bytes:
    """An extension code, which the pickle module looks up in a registry."""
    return PROTOCOL + b"\x82\x01(" + text(argument) + b"tR."


def calls_by_persistent(spelling: str, argument: str) -> bytes:
    """A persistent id that is a call."""
    return calls(spelling, argument)[:-1] + b"Q."


def reference_of(inner: bytes) -> bytes:
    """A dict that looks like a checkpoint, with the call inside."""
    return PROTOCOL + b"}" + text("g_ema") + inner.removeprefix(PROTOCOL)[:-1] + b"s."


def doubling(levels: int) -> list:
    """A list of so many levels, each twice in the next."""
    made: list = []
    for _ in range(levels):
        made = [made, made]
    return made


def ring() -> list:
    """A list that holds itself."""
    made: list = []
    made.append({"self": made})
    return made


def deep_tuples(levels: int) -> bytes:
    """Tuples inside one another."""
    return PROTOCOL + b")" + b"\x85" * levels + b"."


def deep_dicts(levels: int) -> bytes:
    """Dicts inside one another, the innermost made first."""
    return PROTOCOL + b"}" * levels + (b"K\x01" if levels else b"") + b"." if levels < 2 else (
        PROTOCOL + b"".join(b"}" + text("a") for _ in range(levels)) + b"N" + b"s" * levels + b"."
    )  # fmt: skip


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "one byte": b"\x80",
    "protocol 9": b"\x80\x09N.",
    "no end": PROTOCOL + b"N",
    "unknown opcode": PROTOCOL + b"\xff.",
    "pop of an empty stack": PROTOCOL + b"0.",
    "mark that is not there": PROTOCOL + b"t.",
    "memo that is not there": PROTOCOL + b"h\x07.",
    "huge index of the memo": PROTOCOL + b"Nr\xff\xff\xff\xff0.",
    "string of 2**63 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**63 - 1) + b"a.",
    "bytes of 4 GB": b"\x80\x04B" + struct.pack("<I", 0xFFFFFFFF) + b"a.",
    "bytearray of 2**60 bytes": b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b".",
    "frame of 2**60 bytes": b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"N.",
    "number of 2**31 bytes": PROTOCOL + b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01.",
    "number of -1 bytes": PROTOCOL + b"\x8b" + struct.pack("<i", -1) + b"\x01.",
    "number of 10**6 digits": b"L" + b"9" * 10**6 + b"L\n.",
    "text that is no number": b"Iabc\n.",
    "unhashable key": PROTOCOL + b"}]Ns.",
    "odd items": PROTOCOL + b"}(NNNu.",
    "append to a number": PROTOCOL + b"K\x01Na.",
    "build of a number": PROTOCOL + b"K\x01}b.",
    "reduce of a string": PROTOCOL + text("os.system") + b")R.",
    "invalid UTF-8": PROTOCOL + b"X\x02\x00\x00\x00\xff\xfe.",
    "surrogates": PROTOCOL + b"}" + b"X\x03\x00\x00\x00\xed\xa0\x80" + b"Ns.",
    "marks": PROTOCOL + b"(" * 10**6 + b".",
    "empty lists": PROTOCOL + b"]" * 3 * 10**6 + b".",
    "memo of 10**6": PROTOCOL + b"".join(b"Nr" + struct.pack("<I", i) + b"0" for i in range(0, 4 * 10**6, 4)) + b"N.",
    "tuples 10**5 deep": deep_tuples(10**5),
    "dicts 10**5 deep": deep_dicts(10**5),
    "doubling by the memo": PROTOCOL + b"]q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b".",
    "frozenset of doubling": b"\x80\x04(K\x01\x91\x94" + b"h\x00h\x00\x86\x94" * 3 + b".",
}

TREES: dict[str, Callable[[], object]] = {
    "doubling list": lambda: doubling(40),
    "settings that double": lambda: {"G_ema": {"init_kwargs": doubling(40)}},
    "doubling beside weights": lambda: {"g_ema": {"style.1.weight": torch.zeros(4, 4)}, "args": doubling(60)},
    "ring": ring,
    "ring of dicts": lambda: {"g_ema": ring()},
    "control characters": lambda: {"\x1b[2J\u202e": torch.zeros(3), "a\r\nb": torch.zeros(3)},
    "endless names": lambda: {"x" * 10**6: torch.zeros(3)},
    "many keys": lambda: {f"{i}": i for i in range(200_000)},
    "wrong types": lambda: {"g_ema": [1, "a", None], "latent_avg": "x", "iter": float("nan"), "support_sets": 3},
    "NaN": lambda: {"w": torch.full((1, 8, 64), torch.nan)},
    "wrong rank": lambda: {"w": torch.zeros(1, 1, 1, 1, 1, 1, 1, 64)},
    "empty": lambda: {"w": torch.zeros(0, 64)},
    "complex": lambda: {"w": torch.zeros(1, 64, dtype=torch.complex64)},
    "sparse": lambda: {"w": torch.zeros(4, 64).to_sparse()},
    "quantised": lambda: {"w": torch.quantize_per_tensor(torch.zeros(4, 64), 0.1, 0, torch.qint8)},
    "meta": lambda: {"w": torch.zeros(4, 64, device="meta")},
    "half": lambda: {"w": torch.full((1, 64), 6e4, dtype=torch.float16)},
    "strides of zero": lambda: {"w": torch.zeros(1).expand(10**6, 10**4)},
    "views of one storage": lambda: {f"v{i}.weight": BIG[i % 7 : i % 7 + BIG.numel() - 7] for i in range(8000)},
    "huge numbers": lambda: {"w": torch.full((1, 64), 1e38), "iter": 10**400},
    "storage within storage": lambda: nested_storage(40),
}
BIG = torch.zeros(1 << 18)


def nested_storage(levels: int) -> dict:
    """Dicts of the same tensor inside one another."""
    held: dict = {"w": BIG}
    for i in range(levels):
        held = {f"a{i}": held, f"b{i}": held}
    return held


def saved(tree: object) -> bytes:
    """The bytes of ``torch.save``."""
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return buffer.getvalue()


def archive(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of some members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def good_members() -> dict[str, bytes]:
    """The members of a good archive of one tensor."""
    with zipfile.ZipFile(io.BytesIO(saved({"w": torch.zeros(1, 64)}))) as file:
        return {name: file.read(name) for name in file.namelist()}


def renamed(old: str, new: str) -> bytes:
    """A good archive with a member under another name."""
    return archive({name.replace(old, new): data for name, data in good_members().items()})


def with_member(name: str, data: bytes) -> bytes:
    """A good archive with the contents of a member replaced."""
    return archive({key: data if key.endswith(name) else held for key, held in good_members().items()})


def without(*ends: str) -> bytes:
    """A good archive that lacks members."""
    return archive({name: data for name, data in good_members().items() if not name.endswith(ends)})


def claimed(old: bytes, new: bytes) -> bytes:
    """A good archive whose pickle says something else."""
    members = good_members()
    name = next(name for name in members if name.endswith("data.pkl"))
    assert old in members[name]
    return archive(members | {name: members[name].replace(old, new)})


def twice() -> bytes:
    """Two members of one name."""
    buffer = io.BytesIO(saved({"w": torch.zeros(1, 64)}))
    with zipfile.ZipFile(buffer, "a") as file:
        name = next(name for name in file.namelist() if name.endswith("data.pkl"))
        file.writestr(zipfile.ZipInfo(name), b"\x80\x02N.")
    return buffer.getvalue()


def overlapping(count: int = 2000) -> bytes:
    """An archive whose directory names the same bytes many times."""
    data = bytearray(archive({"archive/data/0": bytes(1 << 20)}))
    end = data.rindex(b"PK\x05\x06")
    start = data.rindex(b"PK\x01\x02")
    entry = bytes(data[start:end])
    directory = b"".join(entry.replace(b"archive/data/0", f"archive/dat{i:04}"[:14].encode()) for i in range(count))
    tail = bytearray(data[end:])
    tail[8:12] = struct.pack("<HH", count, count)
    tail[12:16] = struct.pack("<I", len(directory))
    return bytes(data[:start]) + directory + bytes(tail)


def bomb(size: int = 6 << 30) -> bytes:
    """An archive whose member inflates to gigabytes; made once."""
    if not _bomb:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in good_members().items():
                if not name.endswith("data/0"):
                    file.writestr(name, data)
            with file.open("archive/data/0", "w", force_zip64=True) as member:
                for _ in range(size >> 26):
                    member.write(bytes(1 << 26))
        _bomb.append(buffer.getvalue())
    return _bomb[0]


_bomb: list[bytes] = []


def prefix_of(data: bytes, share: float) -> bytes:
    """The first part of a file."""
    return data[: int(len(data) * share)]


def encrypted(data: bytes) -> bytes:
    """An archive that says that its members are encrypted."""
    parts = data.split(b"PK\x01\x02")
    return b"PK\x01\x02".join([parts[0], *(part[:4] + b"\x01" + part[5:] for part in parts[1:])])


def legacy(tree: object) -> bytes:
    """A file as PyTorch wrote it before archives."""
    buffer = io.BytesIO()
    torch.save(tree, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "compressed": lambda: archive(good_members(), zipfile.ZIP_DEFLATED),
    "lzma": lambda: archive(good_members(), zipfile.ZIP_LZMA),
    "bomb": bomb,
    "overlapping entries": overlapping,
    "wrong byteorder": lambda: with_member("byteorder", b"middle"),
    "no byteorder, no version": lambda: without("order", "version"),
    "no data.pkl": lambda: without("data.pkl"),
    "no data": lambda: without("data/0"),
    "two data.pkl": twice,
    "members that lead out": lambda: renamed("archive/", "../../../../elsewhere/"),
    "absolute members": lambda: renamed("archive/", "/etc/"),
    "names with control characters": lambda: renamed("archive/", "\x1b[2J\u202e/"),
    "empty": lambda: archive({}),
    "10,000 members": lambda: archive({f"a/{i}": b"" for i in range(10_000)}),
    "data.pkl is damaged": lambda: with_member("data.pkl", b"\x80\x02}("),
    "data.pkl runs code": lambda: with_member("data.pkl", calls("os system", "true")),
    "TorchScript": lambda: archive({"m/constants.pkl": b"\x80\x02).", "m/code/a.py": b"import os", "m/data.pkl": b"\x80\x02N."}),
    "storage too short": lambda: with_member("data/0", b"abc"),
    "storage too long": lambda: with_member("data/0", bytes(1 << 22)),
    "claims 2**31 numbers": lambda: claimed(b"K@", b"J\xff\xff\xff\x7f"),
    "cut short": lambda: prefix_of(saved({"w": torch.zeros(100, 64)}), 0.6),
    "no directory": lambda: prefix_of(saved({"w": torch.zeros(100, 64)}), 0.99),
    "directory damaged": lambda: saved({"w": torch.zeros(9, 64)}).replace(b"PK\x01\x02", b"PK\x01\x03"),
    "encrypted": lambda: encrypted(saved({"w": torch.zeros(9, 64)})),
    "text before it": lambda: b"#!/bin/sh\n" + saved({"w": torch.zeros(9, 64)}),
    "legacy, cut short": lambda: prefix_of(legacy({"w": torch.zeros(100, 64)}), 0.7),
    "legacy, claims": lambda: legacy({"w": torch.zeros(100, 64)}).replace(struct.pack("<Q", 6400), struct.pack("<Q", 1 << 60)),
    "legacy, no magic": lambda: b"\x80\x02N.\x80\x02N.",
    "legacy, runs code": lambda: pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + calls("os system", "true") * 3,
    "tar of 2016": lambda: b"sys_info\0" + bytes(503) + b"storages\0" + bytes(503),
}  # fmt: skip


def uses(name: str) -> tuple[Words, ...]:
    """All commands that take weights or arrays."""
    return (*generator(name), *arrays(name))


def writer(name: str, data: bytes | Callable[[], bytes]) -> Callable[[Path, Path], object]:
    """Write a file of this name."""
    return lambda folder, good: (folder / name).write_bytes(data if isinstance(data, bytes) else data())


def code_writer(name: str, make: Callable[[str, str], bytes], spelling: str, wrap: Callable[[bytes], bytes]) -> Callable:
    """Write a pickle that leaves the canary if it ever runs."""

    def write(folder: Path, good: Path) -> None:
        mark = folder.with_name(CANARY)
        python = spelling.split()[1] in ("eval", "exec", "run", "timeit", "runstring", "_run_code", "main")
        argument = f"open({str(mark)!r}, 'w')" if python else f"touch {mark}"
        (folder / name).write_bytes(wrap(make(spelling, argument)))

    return write  # fmt: skip


def inputs() -> Iterator[Hostile]:
    """Yield all hostile pickles."""
    for i, spelling in enumerate(SPELLINGS):
        make = (calls, calls_by_stack, calls_by_inst, calls_by_build)[i % 4]
        wrap = (bytes, reference_of, bytes, bytes)[i % 4] if i % 4 == 1 else bytes
        name = ("x.pkl", "x.pt", "x.pth")[i % 3]
        yield Hostile(
            "pickle that runs code", f"{spelling}, {make.__name__}", code_writer(name, make, spelling, wrap), uses(name)
        )
    for make in (calls, calls_by_stack, calls_by_inst, calls_by_build, calls_by_extension, calls_by_persistent):
        for name, wrap in (("x.pkl", reference_of), ("x.npy", bytes), ("x.pt", lambda data: with_member("data.pkl", data))):
            write = code_writer(name, make, "os system", wrap)
            yield Hostile("pickle that runs code", f"os system, {make.__name__}, {name}", write, uses(name))
    for what, data in BROKEN.items():
        yield Hostile("broken pickle", what, writer("x.pkl", data), uses("x.pkl"))
    for what, tree in TREES.items():
        yield Hostile("odd contents", what, writer("x.pt", lambda tree=tree: saved(tree())), uses("x.pt"))
    for what, made in ARCHIVES.items():
        yield Hostile("PyTorch file", what, writer("x.pt", made), uses("x.pt"))
