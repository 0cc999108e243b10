"""Reading pickles without running them.

A pickle is a program for a small stack machine, and Python's own machine imports and calls whatever the program names. This one
has no way to import and no way to call what lies on its stack. A global name becomes a :class:`~.inert.Name`, which is two
strings; an instance becomes a :class:`~.inert.InertObject`, a name and a state; "call this with that" looks the *name* up in
:data:`~.inert.BUILDERS`, a table of functions that only put data together, and makes a record for any other name. Names that only
an attack uses (:mod:`~.malice`) are refused at once.

The standard library decodes the instructions (by the table of :mod:`pickletools`); what each one does is written here. Claims
about sizes are believed only as far as the bytes at hand go, and one budget of instructions serves a whole file.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from semanifold.storage.inert import (
    BUILDERS,
    ArrayRecord,
    Builder,
    InertObject,
    Name,
    NumpyType,
    UnreadableError,
    check_name,
    instance,
    numpy_buffer,
    numpy_type,
    plain_entries,
)

MOST_INSTRUCTIONS = 500_000
"""A 1024-pixel snapshot of NVIDIA's needs about 50,000; a large file of tiny instructions would take hours."""

LARGE = 1 << 16
"""Byte strings from this size on are handed out as views of the file, not as copies."""

LONGEST_LINE = 1 << 12
"""The text instructions of old pickles are names and numbers."""


@dataclass(slots=True)
class Budget:
    """Instructions or entries that one file may still use, nested pickles included."""

    left: int = MOST_INSTRUCTIONS

    def spend(self, n: int = 1) -> None:
        """Take n off, or refuse."""
        self.left -= n
        if self.left < 0:
            raise UnreadableError("holds far more instructions or entries than any checkpoint, or goes round in a ring")


class _Stream:
    """The bytes as the readers of :mod:`pickletools` want them; never gives more than there are, and large pieces as views."""

    def __init__(self, data: memoryview, position: int) -> None:
        self.data, self.position = data, position

    def read(self, n: int, /) -> Any:
        piece = self.data[self.position : self.position + (n if n > 0 else 0)]
        size = len(piece)
        self.position += size
        return piece if size >= LARGE else bytes(piece)

    def readline(self) -> bytes:
        line = bytes(self.data[self.position : self.position + LONGEST_LINE])
        line = line[: line.find(b"\n") + 1]
        self.position += len(line)
        return line

    def byte(self) -> int:
        """Read one byte: the argument of most instructions."""
        if self.position >= len(self.data):
            raise ValueError("not enough data in stream to read uint1")
        self.position += 1
        return self.data[self.position - 1]


@dataclass(slots=True)
class _Machine:
    """Stack, marks and memo of one pickle."""

    builders: dict[tuple[str, str], Builder]
    persistent: Callable[[object], object]
    budget: Budget
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, object] = field(default_factory=dict)

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self, n: int = 1) -> list[Any]:
        """Take the top n values; never those below the last mark."""
        start = len(self.stack) - n
        if start < (self.marks[-1] if self.marks else 0):
            raise UnreadableError("is damaged (its stack runs empty)")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def marked(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        """Append to the list on top; to an instance of an own class of lists nothing is added."""
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(values)
        elif not isinstance(self.stack[-1], InertObject):
            raise UnreadableError("appends to something that is no list")

    def set_items(self, pairs: list[Any]) -> None:
        """Add key, value, key, value … to the dictionary on top, or to an instance of an own class of dictionaries."""
        target = self.stack[-1]
        if isinstance(target, InertObject):
            target.state = target.state if type(target.state) is dict else {}
            target = target.state
        if type(target) is not dict or len(pairs) % 2:
            raise UnreadableError("adds entries to something that is no dictionary")
        target.update(plain_entries(zip(pairs[::2], pairs[1::2])))

    def make_dict(self) -> None:
        pairs = self.marked()
        self.push({})
        self.set_items(pairs)

    def call(self, kind: object, args: object) -> None:
        """Look a name up in the table of builders; nothing on the stack is ever called, and unknown names make records."""
        if not isinstance(kind, Name | InertObject) or not isinstance(args, tuple):
            raise UnreadableError("calls something that is no name")
        builder = self.builders.get((kind.module, kind.name)) if isinstance(kind, Name) else None
        if builder is None:
            self.push(InertObject(kind if isinstance(kind, Name) else kind.kind))
            return
        # a short instruction may point to a long list again and again
        self.budget.spend(sum(len(arg) // 16 for arg in args if isinstance(arg, str | list | dict | tuple)))
        self.push(builder(*args))

    def build(self, state: object) -> None:
        """Give an instance its state; whatever is no instance drops it."""
        top = self.stack[-1]
        if isinstance(top, InertObject):
            own = state[0] if isinstance(state, tuple) and state else state
            if type(top.state) is dict and type(own) is dict:  # entries, and now attributes
                self.budget.spend((len(top.state) + len(own)) // 16)
                own = top.state | own
            top.state = own
        elif isinstance(top, NumpyType):
            order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
            made = numpy_type(f"{order}{top.text.lstrip('<>=|')}") if order in ("<", ">", "=", "|") else None
            if not isinstance(made, NumpyType):
                raise UnreadableError("holds a numpy type with an unknown order of bytes")
            top.text = made.text
        elif isinstance(top, ArrayRecord):
            if not isinstance(state, tuple) or len(state) != 5:
                raise UnreadableError("holds a numpy array without values")
            _, shape, kind, mirrored, values = state
            if isinstance(kind, NumpyType) and "O" in kind.text and type(values) is list:
                # a list, or one thing in a 0-d array
                self.replace(top, values[0] if shape == () and len(values) == 1 else values)
                return
            made = numpy_buffer(values, kind, shape, "F" if mirrored is True or mirrored == 1 else "C")
            if isinstance(made, ArrayRecord):
                top.order, top.type, top.shape, top.data = made.order, made.type, made.shape, made.data
            else:
                self.replace(top, made)

    def replace(self, old: object, new: object) -> None:
        """Put another value in place of the one on top, also where it was remembered."""
        self.stack[-1] = new
        self.budget.spend(len(self.memo) // 16)
        self.memo = {index: new if value is old else value for index, value in self.memo.items()}


INSTRUCTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "EMPTY_SET": lambda m, _: m.push([]),
    "TUPLE1": lambda m, _: m.push(tuple(m.pop(1))),
    "TUPLE2": lambda m, _: m.push(tuple(m.pop(2))),
    "TUPLE3": lambda m, _: m.push(tuple(m.pop(3))),
    "TUPLE": lambda m, _: m.push(tuple(m.marked())),
    "LIST": lambda m, _: m.push(m.marked()),
    "FROZENSET": lambda m, _: m.push(m.marked()),
    "DICT": lambda m, _: m.make_dict(),
    "APPEND": lambda m, _: m.extend(m.pop()),
    "APPENDS": lambda m, _: m.extend(m.marked()),
    "ADDITEMS": lambda m, _: m.extend(m.marked()),
    "SETITEM": lambda m, _: m.set_items(m.pop(2)),
    "SETITEMS": lambda m, _: m.set_items(m.marked()),
    "MARK": lambda m, _: m.mark(),
    "DUP": lambda m, _: m.push(m.stack[-1]),
    "POP": lambda m, _: m.pop(),
    "POP_MARK": lambda m, _: m.marked(),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "GLOBAL": lambda m, arg: m.push(check_name(*arg.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.push(check_name(*m.pop(2))),
    "REDUCE": lambda m, _: m.call(*m.pop(2)),
    "NEWOBJ": lambda m, _: m.push(instance(m.pop(2)[0])),
    "NEWOBJ_EX": lambda m, _: m.push(instance(m.pop(3)[0])),
    "BUILD": lambda m, _: m.build(m.pop()[0]),
    "BINPERSID": lambda m, _: m.push(m.persistent(m.pop()[0])),
    "PERSID": lambda m, arg: m.push(m.persistent(arg)),
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "STOP": lambda m, _: None,
}
"""What each instruction does; those that are missing (``INST``, ``OBJ``, extension codes, buffers) are refused."""

for _op in ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"):
    INSTRUCTIONS[_op] = _Machine.push
for _op in ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"):
    INSTRUCTIONS[_op] = _Machine.push
for _op in ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"):
    INSTRUCTIONS[_op] = _Machine.push
for _op in ("PUT", "BINPUT", "LONG_BINPUT"):
    INSTRUCTIONS[_op] = _Machine.remember
for _op in ("GET", "BINGET", "LONG_BINGET"):
    INSTRUCTIONS[_op] = lambda m, arg: m.push(m.memo[arg])

DECODERS: dict[int, tuple[str, Callable[[Any], object] | None, Callable[[_Machine, Any], object] | None]] = {
    ord(op.code): (
        op.name,
        None if op.arg is None else _Stream.byte if op.arg is pickletools.uint1 else op.arg.reader,
        INSTRUCTIONS.get(op.name),
    )
    for op in pickletools.opcodes
}
"""Name of every instruction, what reads its argument if it has one, and what it does unless it is refused."""


def _no_persistent(_: object) -> object:
    raise UnreadableError("refers to objects outside of itself")


def unpickle(
    data: bytes | memoryview,
    position: int = 0,
    *,
    persistent: Callable[[object], object] = _no_persistent,
    extra: dict[tuple[str, str], Builder] | None = None,
    budget: Budget | None = None,
) -> tuple[Any, int]:
    """Read one pickle as inert data.

    Args:
        data: bytes that hold it.
        position: where it starts.
        persistent: what a persistent id (a reference to data outside of the pickle) stands for.
        extra: builders beyond :data:`~.inert.BUILDERS`.
        budget: instructions that it may use; :data:`MOST_INSTRUCTIONS` when None.

    Returns:
        Dicts, lists, tuples, text, numbers, records, tensors and arrays of :mod:`~.inert`; and the position behind the pickle.

    Raises:
        UnreadableError: if the bytes are no pickle, are damaged or cut short.
        ForbiddenError: if the pickle asks for a name that no checkpoint needs.
    """
    stream = _Stream(memoryview(data), position)
    budget = budget or Budget()
    machine = _Machine(BUILDERS | (extra or {}), persistent, budget)
    try:
        with warnings.catch_warnings(action="ignore"):  # odd escapes in the text of damaged files
            name, codes, last = "", stream.data, len(stream.data)
            while name != "STOP":  # a million times in a large file: nothing is looked up or called that need not be
                if stream.position >= last:
                    raise ValueError("pickle exhausted before seeing STOP")
                code = codes[stream.position]
                if code not in DECODERS:
                    raise ValueError(f"at position {stream.position}, opcode {bytes([code])!r} unknown")
                stream.position += 1
                name, reader, act = DECODERS[code]
                arg = None if reader is None else reader(stream)
                budget.left -= 1
                if budget.left < 0:
                    budget.spend(0)  # refuses
                if act is None:
                    raise UnreadableError(f"uses the pickle instruction {name}, which no checkpoint needs")
                act(machine, arg)
        return machine.pop()[0], stream.position
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, AttributeError) as error:
        raise UnreadableError(f"is damaged or cut short ({str(error)[:80]})") from error
