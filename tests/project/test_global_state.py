"""Nothing below the command line changes or asks what belongs to the whole process, but for a short list with reasons."""

import ast
import platform
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import semanifold
from semanifold.app.process import one_interrupt
from semanifold.storage.runs import begin_run
from semanifold.training.reconstructor import make_reconstructor

HOME = Path(semanifold.__file__).parent
CALLS = {
    *(
        "os.chdir",
        "contextlib.chdir",
        "os.fchdir",
        "os.getcwd",
        "pathlib.Path.cwd",
        "os.umask",
        "os.putenv",
        "os.unsetenv",
        "signal.signal",
    ),
    *("contextlib.redirect_stdout", "contextlib.redirect_stderr", "random.seed", "atexit.register", "warnings.filterwarnings"),
    *("torch.manual_seed", "torch.seed", "torch.random.manual_seed", "torch.random.fork_rng", "torch.random.set_rng_state"),
    *("torch.set_rng_state", "torch.set_num_threads", "torch.set_num_interop_threads", "torch.set_default_dtype"),
    *("torch.set_default_device", "torch.use_deterministic_algorithms", "torch.set_float32_matmul_precision"),
    *("torch.cuda.set_device", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all", "sys.setrecursionlimit"),
    *(
        "torch.autograd.set_detect_anomaly",
        "matplotlib.use",
        "mpl.use",
        "locale.setlocale",
        "pathlib.Path.cwd",
        "socket.setdefaulttimeout",
    ),
}
"""Functions that change or ask the state of a process."""
DRAWS = ("np.random.", "numpy.random.", "random.")
"""Beginnings of functions that draw from the global generators of NumPy and Python; their generators are classes, in capitals."""
VALUES = ("os.environ", "sys.path", "sys.stdout", "sys.stderr", "sys.stdin", "torch.backends", "torch.default_generator")
"""Values of a process that may be read but not changed; their methods may be called only if they are in HARMLESS."""
READ = ("sys.argv",)
"""Those that may not even be read."""
HARMLESS = {"get", "items", "keys", "isatty", "fileno", "write", "flush", "copy", "is_available", "is_built"}

ALLOWED = {
    "app/process.py": "the command line's: the threads beside films, freed memory, and Ctrl-C",
    "app/cli.py": "the command line itself: its words, its folder, its output, and torch's warnings about torch",
    "app/terminal.py": "the command line's words and folder, for the record; and a closed stderr must not end its work",
    "core/extras.py": "matplotlib and numba read settings of a stranger's folder as they are imported, if any lie there, and "
    "matplotlib cannot be imported with a backend in MPLBACKEND that is not there; neither takes them as an argument. numba "
    "changes the number of PyTorch's threads, which stays as it was",
    "storage/own_files.py": "a person's own file finds its neighbours only as Python's scripts do: by sys.path",
    "generators/wrapped.py": "a module of somebody else may draw from the global generator, which stays as it was",
    "inversion/encoder_training.py": "PyTorch's layers draw from the global generator, which stays as it was",
    "training/reconstructor.py": "PyTorch's and torchvision's layers draw from the global generator, which stays as it was",
}


def global_state(code: str) -> Iterator[str]:
    """Yield what a module changes, or asks, of its process."""
    tree = ast.parse(code)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            names |= {each.asname: each.name for each in node.names if each.asname}

    def full(node: ast.AST) -> str:
        if isinstance(node, ast.Attribute):
            return f"{full(node.value)}.{node.attr}"
        if isinstance(node, ast.Subscript):
            return full(node.value)
        return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""

    for node in ast.walk(tree):
        name = full(node)
        if isinstance(node, ast.Call):
            name = full(node.func)
            last = name.rpartition(".")[2]
            changed = name.startswith(tuple(f"{value}." for value in VALUES)) and last not in HARMLESS
            drawn = name.startswith(DRAWS) and last[:1].islower() and last != "default_rng"
            if name in CALLS or changed or drawn:
                yield name
        elif isinstance(node, ast.Attribute | ast.Subscript):
            written = not isinstance(node.ctx, ast.Load) and f"{name}.".startswith(tuple(f"{value}." for value in VALUES))
            if written or name in READ:
                yield name


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.chdir('x')",
        "from contextlib import chdir\nwith chdir('x'): pass",
        "import os; os.environ['X'] = '1'",
        "import os; os.environ.pop('X')",
        "from os import environ; del environ['X']",
        "import signal as s; s.signal(2, None)",
        "import torch; torch.manual_seed(0)",
        "import torch as t; t.set_num_threads(1)",
        "import torch; torch.default_generator.manual_seed(0)",
        "import torch; torch.backends.cudnn.benchmark = True",
        "from contextlib import redirect_stdout as quiet\nwith quiet(None): pass",
        "import numpy as np; np.random.seed(0)",
        "import numpy as np; np.random.normal()",
        "from numpy import random; random.rand(2)",
        "import random; random.shuffle([])",
        "import sys; sys.path.insert(0, 'x')",
        "import sys; sys.path[:] = []",
        "import sys; print(sys.argv[1:])",
        "import sys; sys.stdout = None",
    ],
)
def test_global_state_is_seen(code: str) -> None:
    assert list(global_state(code))


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np; np.random.default_rng(0).normal(); np.random.Generator(np.random.PCG64(0))",
        "import torch; torch.Generator().manual_seed(0); torch.randn(2, generator=None)",
        "import os, sys; os.environ.get('X'); sys.stderr.isatty(); print(1, file=sys.stderr)",
        "import torch; torch.backends.mps.is_available()",
    ],
)
def test_what_is_no_global_state_is_not(code: str) -> None:
    assert not list(global_state(code))


def test_no_module_touches_the_state_of_the_process_but_for_a_reason() -> None:
    found = {file.relative_to(HOME).as_posix(): list(global_state(file.read_text())) for file in HOME.rglob("*.py")}
    assert {name: what for name, what in found.items() if what and name not in ALLOWED} == {}
    assert [name for name in ALLOWED if not found.get(name)] == []  # no reason without need


def test_random_weights_leave_every_global_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.manual_seed would seed the GPUs too."""
    monkeypatch.setattr("torch.cuda.manual_seed_all", lambda *_: pytest.fail("the GPUs were seeded"))
    before = torch.get_rng_state(), str(np.random.get_state()), random.getstate()
    one, other = (make_reconstructor("lenet", 4, 1, seed=3) for _ in range(2))
    assert torch.equal(one.stem.weight, other.stem.weight)
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1], before[2]) == (str(np.random.get_state()), random.getstate())


def test_a_record_says_what_the_command_line_hands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["notebook", "--of", "somebody"])
    assert begin_run(tmp_path / "a", "discover", {}, {}).record.command_line == ()
    run = begin_run(tmp_path / "b", "discover", {}, {}, command_line=["semanifold", "x"], directory="/there")
    assert (run.record.command_line, run.record.directory) == (("semanifold", "x"), "/there")


def test_the_first_interrupt_is_kept_and_the_second_is_as_usual() -> None:
    before = signal.getsignal(signal.SIGINT)
    with one_interrupt() as stop:
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    inside: list[bool] = []

    def work() -> None:
        with one_interrupt() as stop:
            inside.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [False]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
def test_the_command_line_keeps_freed_memory() -> None:
    """In a process of its own: the second tensor of 64 MB finds pages that need not be cleared again."""
    code = """
import resource, sys
from semanifold.app.process import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    some = bytearray(b"x" * (1 << 26))
    del some
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""
    ran = [
        subprocess.run([sys.executable, "-c", code, how], capture_output=True, text=True, check=True) for how in ("kept", "not")
    ]
    kept, cleared = (int(each.stdout) for each in ran)
    assert kept < 1000 < cleared
