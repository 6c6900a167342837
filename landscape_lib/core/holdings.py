"""What the modules of a model hold: submodules, tensors, hooks, attributes; and putting it back."""

from collections.abc import Callable, Iterable
from itertools import chain
from operator import is_
from typing import Any

from torch import nn

# Where torch keeps a module's parameters, buffers, submodules and hooks.
REGISTRIES = tuple(name for name, held in vars(nn.Module()).items() if isinstance(held, dict | set))
KINDS = {name: "hooks" for name in REGISTRIES if "hooks" in name} | {"_modules": "submodules"}


class Holdings:
    """Everything that a model's modules hold, by identity, to be put back as it was.

    Of a tensor, or of another object that can be written to, what is held is the object, not what
    is in it.  To look whether anything changed takes a tenth of a millisecond for some 200 modules.

    Args:
        model: As it is to be again.
        **instead: Attributes that are to be something else afterwards, by name.
    """

    def __init__(self, model: nn.Module, **instead: Any) -> None:
        pairs = [(name, box) for module in model.modules() for name, box in _boxes(module)]
        full = [(name, box) for name, box in pairs if box]
        empty = [(name, box) for name, box in pairs if not box]
        self._names, self._boxes = [name for name, _ in full], [box for _, box in full]
        self._bare, self._empty = [name for name, _ in empty], [box for _, box in empty]
        self._whole = [box.copy() for box in self._boxes]
        for name, whole in zip(self._names, self._whole, strict=True):
            if not name:
                whole.update({key: value for key, value in instead.items() if key in whole})
        self._read: list[Callable[[], Iterable[Any]]] = [_reader(box) for box in self._boxes]
        self._entries = list(chain.from_iterable(_reader(whole)() for whole in self._whole))

    def put_back(self) -> set[str]:
        """Put everything back; return which had changed of ``hooks`` and ``submodules``."""
        changed = set()
        if any(self._empty):
            changed = {n for n, box in zip(self._bare, self._empty, strict=True) if box}
            for box in self._empty:
                box.clear()
        if not self._is_same():
            for name, box, whole in zip(self._names, self._boxes, self._whole, strict=True):
                if not _alike(box, whole):
                    box.clear()
                    box.update(whole)
                    changed.add(name)
        return {KINDS[name] for name in changed if name in KINDS}

    def _is_same(self) -> bool:
        if sum(map(len, self._boxes)) != len(self._entries):
            return False
        found = chain.from_iterable([read() for read in self._read])
        return all(map(is_, found, self._entries))


def _boxes(module: nn.Module) -> list[tuple[str, Any]]:
    """Return what a module keeps its things in: its attributes, then its registries by name."""
    own = vars(module)
    found = [(name, own.get(name)) for name in REGISTRIES]  # TorchScript has others
    return [("", own), *((name, box) for name, box in found if isinstance(box, dict | set))]


def _reader(box: Any) -> Callable[[], Iterable[Any]]:
    return box.values if isinstance(box, dict) else box.__iter__


def _alike(box: Any, other: Any) -> bool:
    """Tell whether two hold the same objects in the same order."""
    same = len(box) == len(other) and list(box) == list(other)
    return same and all(map(is_, _reader(box)(), _reader(other)()))
