"""How we say what is wrong with a config: where, what was found, what is allowed."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

NOTHING = object()
_LONGEST = 80


def spelled(value: Any) -> str:
    """Spell a value as YAML would, in one line, and short."""
    full = _spelled(value)
    return full if len(full) <= _LONGEST else f"{full[: _LONGEST - 3]}..."


def _spelled(value: Any) -> str:
    if isinstance(value, dict):
        inside = ", ".join(f"{_spelled(key)}: {_spelled(item)}" for key, item in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    for constant, name in ((None, "null"), (True, "true"), (False, "false"), (NOTHING, "nothing")):
        if value is constant:
            return name
    return repr(value)


def below(path: str, key: Any) -> str:
    """Return the path of a key of the mapping at ``path``."""
    plain = isinstance(key, str) and re.fullmatch(r"[\w-]+", key)
    return f"{path}.{key if plain else spelled(key)}".removeprefix(".")


@dataclass
class Mistakes:
    """What is wrong with a config: one line each, each once, in the order found."""

    lines: dict[str, None] = field(default_factory=dict)
    misspelt: set[str] = field(default_factory=set)

    def add(self, path: str, found: Any, allowed: str, choices: Sequence[str] = ()) -> None:
        """Note that the value ``found`` stands at ``path``, where only ``allowed`` may."""
        self.say(path, spelled(found), allowed + _proposal(_nearest(found, choices)))

    def missing(self, path: str, allowed: str) -> None:
        """Note that nothing stands at ``path``, unless a misspelt key was meant to."""
        if not any(f".{key}." in f".{path}." for key in self.misspelt):
            self.add(path, NOTHING, allowed)

    def unknown(self, parent: str, key: Any, known: Sequence[str]) -> None:
        """Note that the mapping at ``parent`` has a key that there is not."""
        near = _nearest(key, known)
        self.say(
            below(parent, key), "an unknown key", ", ".join(map(repr, known)) + _proposal(near)
        )
        if near:
            self.misspelt.add(below(parent, near))

    def say(self, path: str, found: str, allowed: str) -> None:
        """Note one mistake in words of its own."""
        self.lines[f"{path}: found {found}; allowed: {allowed}"] = None


def _nearest(found: Any, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(found, choices, n=1) if isinstance(found, str) else []
    return near[0] if near else ""


def _proposal(near: str) -> str:
    return f". Did you mean {near!r}?" if near else ""
