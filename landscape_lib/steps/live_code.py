"""What code that lives in memory computes, as a hash: functions, classes, what they refer to.

A config names files, and their syntax trees are hashed (``problems.source``).  A function that is
handed over in a script or a notebook is read itself: a script changes all the time, and a finer
grid in it must not throw points away.
"""

import dis
import functools
import hashlib
import inspect
import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from landscape_lib.problems.source import code_hash, is_local
from landscape_lib.utils.fingerprint import hash_model, hash_tensor
from landscape_lib.utils.hashing import canonical, hash_text

DEEPEST = 150  # nested references; what lies deeper counts by its type
PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device)
SILENT = ("tqdm",)  # packages whose objects only show something
_UNREAD = frozenset(  # of a class: made by Python, or words
    "__dict__ __weakref__ __doc__ __module__ __qualname__ __annotations__ __firstlineno__ "
    "__static_attributes__ __parameters__ __orig_bases__ __abstractmethods__ _abc_impl".split()
)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")
_OF_EVERY_MODULE = frozenset(vars(nn.Module())) - set(_HOOKS)  # tensors are in the model's hash
_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME"}

_LEFT: WeakKeyDictionary[nn.Module, tuple[str, Any]] = WeakKeyDictionary()


def live_hash(*things: Any) -> str:
    """Return the SHA-256 over what functions, classes and objects compute.

    Of a function its bytecode, defaults and closure count, and the globals that it names, with
    those attributes of local modules that it uses; of a function inside an installed decorator the
    function; of a class its methods and bases; of a network its tensors, and of each of its modules
    the class, the attributes and the hooks; of other objects their class and what they hold.
    Comments, line numbers and docstrings don't count, nor does what is installed: that counts by
    its name.  Another minor version of Python has other bytecode, hence another hash.
    """
    reader = _Reader()
    return _hashed([reader.read(thing) for thing in things])


@contextmanager
def code_kept(network: nn.Module, *others: Any, needed: bool = True) -> Iterator[str]:
    """Evaluate a network, and return ``live_hash`` of it and others as they were before.

    Evaluating may change them: a ``forward`` that counts its calls, a metric that keeps a list.
    Where they are to the last bit what the last evaluation of this network left, they count as what
    they were before that one; whatever else changed meanwhile is a change.  The network's tensors
    always count as they are.

    Args:
        network: What is evaluated.
        others: What evaluates it.
        needed: Whether the hash is; where not, it is empty, and read only for those that came last.
    """
    if not needed and network not in _LEFT:
        yield ""
        return
    now = _read_beside(network, others)
    left, before = _LEFT.get(network, ("", None))
    meant = before if _hashed(now) == left else now
    try:
        yield _hashed([_with_tensors(meant[0], network), *meant[1:]]) if needed else ""
    finally:
        left = _hashed(_read_beside(network, others))
        if left == _hashed(meant):
            _LEFT.pop(network, None)
        else:
            _LEFT[network] = left, meant


def _read_beside(network: nn.Module, others: Sequence[Any]) -> list[Any]:
    """Read a network but for its tensors, and others."""
    reader = _Reader(network)
    return [reader.read(thing) for thing in (network, *others)]


def _with_tensors(read: list[Any], network: nn.Module) -> list[Any]:
    return read if read[0] else [hash_model(network), *read[1:]]


def _hashed(read: list[Any]) -> str:
    return hash_text(canonical(read))


class _Reader:
    """Turns things into nested lists of texts, the same for things that compute the same.

    Args:
        beside: A network whose tensors are left out.
    """

    def __init__(self, beside: nn.Module | None = None) -> None:
        self._beside = beside
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
            (np.generic | Enum | PurePath | range | slice, repr),
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
            (nn.Module, self._network),
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
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
        if not _is_local_file(function.__code__.co_filename):
            inside = inspect.getattr_static(function, "__wrapped__", None)
            return [_spelled(function), self._all([inside, cells])]  # a decorator, as no_grad
        used = set(_attributes(function.__code__))
        named = sorted(_globals(function.__code__) & function.__globals__.keys())
        found = {name: function.__globals__[name] for name in named}
        return [
            self._code(function.__code__, function.__doc__),
            self._all([function.__defaults__, function.__kwdefaults__, cells]),
            [[name, self._used(value, used)] for name, value in found.items()],
            [self._import(name) for name in sorted(_imports(function.__code__))],
        ]

    def _used(self, value: Any, names: set[str]) -> Any:
        """Read a global; of a local module only what is used of it, as it is now."""
        if not (isinstance(value, ModuleType) and _is_local_module(value)):
            return self.read(value)
        held = vars(value)
        return [
            value.__name__,
            [[n, self._used(held[n], names)] for n in sorted(names & set(held))],
        ]

    def _import(self, name: str) -> Any:
        """Read what a function imports when it runs: the file, which may not be loaded yet."""
        try:
            return code_hash(name)
        except Exception:  # not there, or no Python: the function will say so itself
            return name

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
        return code_hash(str(module.__file__)) if _is_local_module(module) else module.__name__

    def _network(self, network: nn.Module) -> Any:
        """Read tensors, and of every module what decides its ``forward`` beside them."""
        parts = []
        for name, module in network.named_modules():
            own = {n: v for n, v in vars(module).items() if n not in _OF_EVERY_MODULE}
            hooks = [list(own.pop(kind).values()) for kind in _HOOKS]
            parts.append([name, self.read(type(module)), self._all([own, hooks])])
        return ["" if network is self._beside else hash_model(network), parts]

    def _object(self, thing: Any) -> Any:
        if type(thing).__module__.split(".")[0] in SILENT:
            return _spelled(type(thing))
        wrapped = inspect.getattr_static(thing, "__wrapped__", None)  # as functools.lru_cache
        if wrapped is not None:
            return ["wrapper", self.read(wrapped)]
        held = dict(_held(thing))
        if held:
            return [self.read(type(thing)), self._mapping(held)]
        return [self.read(type(thing)), self._state(thing)]

    def _state(self, thing: Any) -> Any:
        """Read what an object would be made again from, as a generator of random numbers."""
        try:
            reduced = thing.__reduce_ex__(4)
        except Exception:  # it cannot be copied: an open file, a lock
            return None
        return self._all(reduced[1:3]) if isinstance(reduced, tuple) else repr(reduced)


def _held(thing: Any) -> Iterator[tuple[str, Any]]:
    """Go through an object's attributes, those in slots too."""
    yield from getattr(thing, "__dict__", {}).items()
    for kind in type(thing).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if isinstance(vars(kind).get(name), MemberDescriptorType) and hasattr(thing, name):
                yield name, getattr(thing, name)


def _spelled(thing: Any) -> str:
    module = getattr(thing, "__module__", "") or ""
    name = getattr(thing, "__qualname__", type(thing).__qualname__)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{module}.{name}")


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Go through a function's code and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _named(code: CodeType, operations: set[str]) -> set[str]:
    return {
        str(step.argval)
        for part in _codes(code)
        for step in dis.get_instructions(part)
        if step.opname in operations
    }


def _globals(code: CodeType) -> set[str]:
    """Return the globals that a function looks up, less those that it sets itself: counters."""
    return _named(code, _GLOBAL) - _named(code, {"STORE_GLOBAL"})


def _attributes(code: CodeType) -> set[str]:
    return _named(code, {"LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM"})


def _imports(code: CodeType) -> set[str]:
    return _named(code, {"IMPORT_NAME"})


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a function that refers to itself before it has its name
        return False


def _is_local_class(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "__main__":
        return kind.__module__ != "builtins"
    return _is_local_module(module)


def _is_local_module(module: ModuleType) -> bool:
    path = getattr(module, "__file__", None)
    return path is not None and path.endswith(".py") and is_local(Path(path).resolve())


def _is_local_file(name: str) -> bool:
    return name.startswith("<") or is_local(Path(name).resolve())
