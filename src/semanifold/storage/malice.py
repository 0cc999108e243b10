"""Names that a pickle uses to take over a computer, and that no file of weights has a reason to mention.

Nothing that a file names is ever looked up or called, so this table protects nobody; it only decides which files are reported as
probably malicious, and which merely hold objects of classes that semanifold does not know.
"""

from __future__ import annotations

import re

_MODULES = """
os posix nt posixpath ntpath subprocess _posixsubprocess sys importlib _frozen_importlib imp zipimport pkgutil runpy pty pdb bdb
timeit cProfile shutil tempfile fileinput linecache socket _socket socketserver ssl http urllib urllib2 requests ftplib smtplib
telnetlib xmlrpc asyncio multiprocessing _thread signal ctypes _ctypes cffi mmap pickle _pickle cPickle cloudpickle dill joblib
shelve marshal codeop codecs _codecs webbrowser antigravity operator _operator io _io gc atexit pydoc doctest distutils setuptools
pip ensurepip venv idlelib lib2to3 sqlite3 tarfile zipfile logging.config yaml IPython
code.interact code.InteractiveInterpreter code.InteractiveConsole code.compile_command profile.run profile.Profile trace.Trace
types.FunctionType types.CodeType platform.popen commands.Popen commands.call commands.run commands.check_call
commands.check_output commands.getoutput commands.getstatusoutput
torch.hub torch.load torch.save torch.serialization.load torch.serialization.save torch.jit.load torch.jit._serialization
torch.package torch.utils.cpp_extension torch.utils.model_zoo torch.distributed.rpc torch.ops torch.classes
numpy.f2py numpy.distutils numpy.testing numpy.load numpy.save numpy.savez numpy.savetxt numpy.loadtxt numpy.genfromtxt
numpy.fromfile numpy.memmap numpy.fromregex numpy.DataSource numpy.lib.npyio numpy.lib._npyio_impl numpy.lib.format
numpy.core.multiarray.fromfile numpy._core.multiarray.fromfile pandas.read_pickle pandas.io tensorflow.io
"""

_BUILTINS = """
eval exec compile __import__ getattr setattr delattr hasattr open input raw_input globals locals vars dir breakpoint apply
execfile file reload exit quit help memoryview
"""

MODULES = frozenset(_MODULES.split())
"""Modules, and single functions of others, whose use in a pickle is an attack."""

BUILTINS = frozenset(_BUILTINS.split())
"""Built-in functions that run text, reach into objects or open files."""

HARMLESS = frozenset({("_codecs", "encode"), ("_io", "BytesIO"), ("http", "HTTPStatus"), ("http", "HTTPMethod")})
"""Names in those modules that honest files do mention."""


def malicious(module: str, name: str) -> bool:
    """Whether only an attack has a pickle use this name.

    Args:
        module: dotted, such as ``"torch._utils"``.
        name: of a class or function in it; may be dotted as well.
    """
    if (module, name) in HARMLESS:
        return False
    if module in ("builtins", "__builtin__"):
        return name.partition(".")[0] in BUILTINS or "." in name
    if re.search(r"(^|\.)__\w+__(\.|$)", name):  # __globals__, __class__, __subclasses__: a way from a class to everything
        return True
    parts = [*module.split("."), *name.split(".")]
    return any(".".join(parts[:n]) in MODULES for n in range(1, len(parts) + 1))
