"""What code that lives in memory computes, as a hash: functions, classes, what they refer to.

A config names files, and their syntax trees are hashed (``problems.source``).  A function that is
handed over in a script or a notebook is read itself: a script changes all the time, and a finer
grid in it must not throw points away.
"""

import functools
import hashlib
import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path, PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from landscape_lib.problems.source import code_hash, is_local
from landscape_lib.utils.fingerprint import hash_model, hash_tensor
from landscape_lib.utils.hashing import canonical, hash_text

DEEPEST = 40  # nested references; what lies deeper counts by its type
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device)
_UNREAD = frozenset(  # of a class: made by Python, or words
    "__dict__ __weakref__ __doc__ __module__ __qualname__ __annotations__ __firstlineno__ "
    "__static_attributes__ __parameters__ __orig_bases__ __abstractmethods__ _abc_impl".split()
)


def live_hash(*things: Any) -> str:
    """Return the SHA-256 over what functions, classes and objects compute.

    Of a function its bytecode, defaults and closure count, and the globals that it names; of a
    class its methods and bases; of a module that is local its syntax tree; of tensors and networks
    their content; of other objects their class and attributes.  Comments, line numbers and
    docstrings don't count, nor does what is installed: that counts by its name.  Another minor
    version of Python has other bytecode, hence another hash.
    """
    reader = _Reader()
    return hash_text(canonical([reader.read(thing) for thing in things]))


def model_code(model: nn.Module) -> list[type]:
    """Return the classes of a model's modules, each once: what their ``forward`` does counts."""
    return list(dict.fromkeys(type(module) for module in model.modules()))


class _Reader:
    """Turns things into nested lists of texts, the same for things that compute the same."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []  # an id means something only while its object lives
        self._depth = 0

    def read(self, thing: Any) -> Any:
        if isinstance(thing, PLAIN):
            return [type(thing).__name__, repr(thing)]
        if id(thing) in self._seen:
            return ["seen", self._seen[id(thing)]]
        if self._depth >= DEEPEST:
            return ["deep", type(thing).__qualname__]
        self._seen[id(thing)] = len(self._seen)
        self._alive.append(thing)
        self._depth += 1
        try:
            return self._open(thing)
        finally:
            self._depth -= 1

    def _open(self, thing: Any) -> Any:
        for kind, how in self._ways():
            if isinstance(thing, kind):
                return how(thing)
        return self._object(thing)

    def _ways(self) -> Sequence[tuple[Any, Any]]:
        return (
            (Tensor, hash_tensor),
            (np.ndarray, self._array),
            (np.generic, repr),
            (Enum | PurePath | range | slice, repr),
            (logging.Logger, lambda logger: logger.name),
            (Mapping, self._mapping),
            (set | frozenset, lambda items: ["set", sorted(map(canonical, self._all(items)))]),
            (list | tuple, lambda items: [type(items).__name__, self._all(items)]),
            (FunctionType, self._function),
            (CodeType, self._code),
            (MethodType, lambda method: self._all([method.__func__, method.__self__])),
            (functools.partial, lambda p: self._all(["partial", p.func, p.args, p.keywords])),
            (staticmethod | classmethod, lambda wrapped: self.read(wrapped.__func__)),
            (property, lambda p: self._all([p.fget, p.fset, p.fdel])),
            (type, self._class),
            (ModuleType, self._module),
            (BuiltinFunctionType | GetSetDescriptorType | MemberDescriptorType, _spelled),
            (nn.Module, lambda module: [hash_model(module), self._object(module)]),
            (DataLoader, lambda loader: self._all([loader.dataset, loader.batch_size])),
        )

    def _all(self, things: Iterable[Any]) -> list[Any]:
        return [self.read(thing) for thing in things]

    def _array(self, array: np.ndarray) -> Any:
        if array.dtype.hasobject:
            return self.read(array.tolist())
        content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        return [str(array.dtype), list(array.shape), content]

    def _mapping(self, mapping: Mapping[Any, Any]) -> Any:
        return ["mapping", [[self.read(key), self.read(value)] for key, value in mapping.items()]]

    def _function(self, function: FunctionType) -> Any:
        if not _is_local_file(function.__code__.co_filename):
            return _spelled(function)
        named = [n for n in sorted(_names(function.__code__)) if n in function.__globals__]
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        return [
            self._code(function.__code__, function.__doc__),
            self._all([function.__defaults__, function.__kwdefaults__, cells]),
            [[name, self.read(function.__globals__[name])] for name in named],
        ]

    def _code(self, code: CodeType, words: str | None = None) -> Any:
        constants = [None if words is not None and c == words else c for c in code.co_consts]
        return [
            code.co_code.hex(),
            [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars],
            [code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags],
            [self._code(c) if isinstance(c, CodeType) else self.read(c) for c in constants],
        ]

    def _class(self, kind: type) -> Any:
        if not _is_local_class(kind):
            return _spelled(kind)
        members = {name: item for name, item in vars(kind).items() if name not in _UNREAD}
        return [kind.__qualname__, self._all(kind.__bases__), self._mapping(members)]

    def _module(self, module: ModuleType) -> Any:
        path = getattr(module, "__file__", None)
        local = path is not None and path.endswith(".py") and is_local(Path(path).resolve())
        return code_hash(str(path)) if local else module.__name__

    def _object(self, thing: Any) -> Any:
        held = getattr(thing, "__dict__", None)
        wrapped = getattr(thing, "__wrapped__", None)  # functools.lru_cache and its like
        if wrapped is not None:
            return ["wrapper", self.read(wrapped)]
        if held is None:
            return [_spelled(type(thing)), re.sub(r" at 0x[0-9a-f]+", "", repr(thing))]
        kept = {
            name: value
            for name, value in held.items()
            if not (isinstance(thing, nn.Module) and name.startswith("_"))  # in its hash already
        }
        return [self.read(type(thing)), self._mapping(kept)]


def _spelled(thing: Any) -> str:
    module = getattr(thing, "__module__", "") or ""
    return f"{module}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def _names(code: CodeType) -> set[str]:
    """Every name that a function looks up, functions inside it included."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a function that refers to itself before it has its name
        return False


def _is_local_class(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "__main__":
        return kind.__module__ != "builtins"
    path = getattr(module, "__file__", None)
    return path is not None and is_local(Path(path).resolve())


def _is_local_file(name: str) -> bool:
    return name.startswith("<") or is_local(Path(name).resolve())
