"""Small faults, put into the code one at a time: which of them do the tests notice?

    OMP_NUM_THREADS=1 python benchmarks/mutations.py paths/carried.py images/masks --every 5

Takes modules or folders below ``src/semanifold``. Their tests are those named after them, and those of ``mutations.toml``, which
also says why no test notices some faults. Each is tried in a fork of a process that has torch loaded, and nothing of ours.
Prints a row per module, and writes the survivors into ``--out``.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import json
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.machinery import SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TESTS = ROOT / "src/semanifold", ROOT / "tests"
TABLE = tomllib.loads((ROOT / "benchmarks/mutations.toml").read_text(encoding="utf-8"))
MOST_MEMORY = 16 * 2**30
"""Bytes of addresses that the tests may take, with all that torch reserves."""
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}
REASONED: dict[type[ast.operator], type[ast.operator]] = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult},
    **{ast.Pow: ast.Mult, ast.MatMult: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd},
}


@dataclass(frozen=True)
class Fault:
    """One place of a module, and what is put there."""

    module: str
    line: int
    rule: str
    before: str
    after: str
    place: tuple[int, int]
    """First and last byte of it."""


def faults(module: str) -> list[Fault]:
    """Return all faults that a module (``"paths/base.py"``) can be given, in the order of its lines."""
    source = (SOURCE / module).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    made = []
    for node in worked(ast.parse(source)):
        for rule, other in changed(node):
            spot = node.test if isinstance(node, ast.If | ast.IfExp | ast.While) else node
            assert isinstance(spot, ast.expr | ast.stmt)
            last_line, last = spot.end_lineno or spot.lineno, spot.end_col_offset or 0
            place = starts[spot.lineno - 1] + spot.col_offset, starts[last_line - 1] + last
            after = ast.unparse(other)
            after = after if isinstance(spot, ast.stmt | ast.Slice) else f"({after})"
            made.append(Fault(module, spot.lineno, rule, source[slice(*place)].decode(), after, place))
    return sorted(made, key=lambda fault: fault.place)


def worked(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what does something when it runs: no annotations, docstrings, texts of errors, imports for checkers only."""
    if isinstance(node, ast.Raise):
        yield node
    if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from worked(child)


def changed(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield other nodes in the place of one, each with the name of its rule."""
    yield from _operators(node)
    yield from _values(node)


def _with(node: ast.AST, **values: object) -> ast.AST:
    other = copy.deepcopy(node)
    for name, value in values.items():
        setattr(other, name, value)
    return other


def _operators(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(ops=[op, *rest]) if type(op) in COMPARED:
            yield "comparison", _with(node, ops=[COMPARED[type(op)](), *rest])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in REASONED:
            yield "arithmetic", _with(node, op=REASONED[type(op)]())
        case ast.BoolOp(op=op):
            yield "and, or", _with(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.USub() | ast.Not()):
            yield "sign, not", node.operand
        case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
            yield "condition", ast.UnaryOp(ast.Not(), node.test)


def _values(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Constant(value=bool() as value):
            yield "constant", _with(node, value=not value)
        case ast.Constant(value=int() | float() as value):
            yield "constant", _with(node, value=value + 1)
            if value:
                yield "constant", _with(node, value=0)
        case ast.Slice():
            for name in ("lower", "upper"):
                if value := getattr(node, name):
                    yield "slice", _with(node, **{name: ast.BinOp(value, ast.Add(), ast.Constant(1))})
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield "result", _with(node, value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break():
            yield "dropped", ast.Pass()
        case ast.Call(func=ast.Attribute(attr="abs" | "clamp" | "clip" | "detach" | "clone" | "sqrt" | "square" | "log" | "exp")):
            assert isinstance(node.func, ast.Attribute)
            module = isinstance(node.func.value, ast.Name) and node.func.value.id in ("np", "torch", "math")
            yield "call", node.args[0] if module else node.func.value


def tests_of(module: str) -> list[str]:
    """Return the test files of a module."""
    path = TESTS / module
    stems = [path.stem, *(parent.name for parent in path.relative_to(TESTS).parents if parent.name)]
    named = sorted(path.parent.glob(f"test_{stems[0]}*.py")) or sorted(path.parent.parent.glob(f"test_{stems[1]}*.py"))
    return [*map(str, named), *(str(TESTS / name) for name in TABLE["tests"].get(module, []))]


def tested(module: str, source: bytes, limit: float) -> tuple[bool, float]:
    """Return whether a module with that source passes its tests within a limit, and the seconds that took."""
    begun = time.monotonic()
    child = os.fork()
    if not child:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(1, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        passed = False  # also when it ends by an error
        try:
            passed = _passes(str(SOURCE / module), source, tests_of(module))
        finally:
            os._exit(0 if passed else 1)
    while time.monotonic() - begun < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0, time.monotonic() - begun
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, limit


def _passes(path: str, source: bytes, tests: list[str]) -> bool:
    """Run tests in this process, with another source in the place of a file that is not imported yet."""
    import pytest  # noqa: PLC0415

    read, stats = SourceFileLoader.get_data, SourceFileLoader.path_stats

    def get_data(self: SourceFileLoader, name: str) -> bytes:
        return source if name == path else read(self, name)

    def path_stats(self: SourceFileLoader, name: str) -> object:
        if name == path:
            raise OSError  # then no compiled file is read or written
        return stats(self, name)

    SourceFileLoader.get_data, SourceFileLoader.path_stats = get_data, path_stats  # type: ignore[method-assign]
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *tests]) == 0


def reason(fault: Fault) -> str | None:
    """Return why a fault may survive, if the table says so."""
    line = (SOURCE / fault.module).read_text(encoding="utf-8").splitlines()[fault.line - 1]
    for entry in TABLE["explained"]:
        named = fault.module.startswith(entry["module"]) and fault.rule.startswith(entry.get("rule", ""))
        if named and entry["line"] in line:
            return entry["reason"]
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="+", help="modules or folders below src/semanifold")
    parser.add_argument("--every", type=int, default=1, help="try one fault in so many")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--lines", type=int, nargs="*", help="only those on these lines")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no fault after so many")
    parser.add_argument("--out", type=Path, default=ROOT / "out/mutations.json")
    args = parser.parse_args()
    os.chdir(ROOT)
    sys.dont_write_bytecode = False  # what stays as it is, is compiled once
    sys.path.insert(0, str(ROOT / "src"))
    for name in ("torch", "torch._dynamo", "numpy", "scipy", "PIL.Image", "hypothesis", "beartype", "jaxtyping", "pytest"):
        importlib.import_module(name)
    paths = [
        path for name in args.modules for path in ([SOURCE / name] if name.endswith(".py") else (SOURCE / name).glob("*.py"))
    ]
    end, survivors = time.monotonic() + 60 * args.minutes, []
    args.out.parent.mkdir(parents=True, exist_ok=True)
    print("| module | made | tried | killed | survived | explained |\n|---|---:|---:|---:|---:|---:|")
    for module in sorted(path.relative_to(SOURCE).as_posix() for path in paths):
        made, source = faults(module), (SOURCE / module).read_bytes()
        chosen = [fault for fault in made if not args.lines or fault.line in args.lines]
        chosen = random.Random(args.seed).sample(chosen, -(-len(chosen) // args.every))
        if not chosen or time.monotonic() > end:
            continue
        whole, seconds = tested(module, source, 600)
        if not whole:
            print(f"| {module} | {len(made)} | its tests fail without a fault, or there are none |", flush=True)
            continue
        tried, counts = 0, {"killed": 0, "survived": 0, "explained": 0}
        for fault in chosen:
            if time.monotonic() > end:
                break
            first, last = fault.place
            passed, _ = tested(module, source[:first] + fault.after.encode() + source[last:], 5 * seconds + 20)
            why = reason(fault) if passed else None
            tried += 1
            counts["explained" if why else "survived" if passed else "killed"] += 1
            if passed:
                survivors.append(asdict(fault) | {"reason": why})
                args.out.write_text(json.dumps(survivors, indent=1, ensure_ascii=False), encoding="utf-8")
        print("|", " | ".join(map(str, (module, len(made), tried, *counts.values()))), "|", flush=True)


if __name__ == "__main__":
    main()
