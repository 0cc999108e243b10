"""Files that are damaged at random, and how a file of weights is refused."""

import random
import time
from pathlib import Path

import pytest

from semanifold.core.errors import SemanifoldError
from semanifold.generators.inspecting import inspect_file
from semanifold.generators.loading import load_generator


def refused(path: Path, words: str = ".") -> str:
    """Check that a file is refused and inspected in one sentence, and quickly; return the sentence."""
    start = time.process_time()
    with pytest.raises(SemanifoldError, match=words) as raised:
        load_generator(path)
    said = str(inspect_file(path)) if path.is_file() else ""
    assert time.process_time() - start < 20
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert len(sentence) < 600
    assert "\x1b" not in sentence + said
    return sentence


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Cut off, flip, overwrite, repeat or remove something; half of the time near the ends, where the structure is."""
    where = draw.choice([draw.randrange(len(data)), draw.randrange(min(len(data), 3000)), -1 - draw.randrange(3000)]) % len(data)
    match draw.randrange(5):
        case 0:
            return data[:where]
        case 1:
            return data[:where] + bytes([data[where] ^ (1 << draw.randrange(8))]) + data[where + 1 :]
        case 2:
            n = draw.randrange(1, 9)
            return data[:where] + draw.choice([b"\xff" * n, b"\0" * n, draw.randbytes(n)]) + data[where + n :]
        case 3:
            n = draw.randrange(1, 200)
            return data[:where] + data[where : where + n] * 2 + data[where + n :]
        case _:
            return data[:where] + data[where + draw.randrange(1, 200) :]
