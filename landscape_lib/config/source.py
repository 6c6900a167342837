"""How a config file becomes a tree of plain values, or a message with a line number."""

import re
from pathlib import Path
from typing import Any

import yaml

from landscape_lib.core.errors import InputError

TOO_DEEP = "is nested too deeply, or an alias holds itself."


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, without the traps of YAML 1.1.

    A key that comes twice is an error, not the last one wins.  1e-3 is a number.  1:30 is not
    90, 010 is not 8, and 2024-01-01 is not a date: they stay the strings that they look like.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (PyYAML's own way; copied, so that it is not shared)
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag.rpartition(":")[2] not in {"float", "int", "timestamp"}
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], yaml.Mark] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            first = seen.setdefault((key.tag, key.value), key.start_mark)
            if first is not key.start_mark:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} comes twice, first in line {first.line + 1}",
                    problem_mark=key.start_mark,
                )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError, OverflowError) as error:
            raise yaml.MarkedYAMLError(  # '!!int five' and the like
                problem=f"{str(node.value)[:40]!r} is not a value of the type {node.tag!r}",
                problem_mark=node.start_mark,
            ) from error


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def read(path: Path) -> dict[Any, Any]:
    """Return the mapping that a YAML file holds.

    Raises:
        InputError: If the file cannot be read, is not YAML, or holds no mapping; one line.
    """
    return understood(_text(path), path)


def understood(text: str, path: Path | str) -> dict[Any, Any]:
    """Return the mapping that a YAML text holds; ``path`` is what messages call it.

    Raises:
        InputError: If it is not YAML, or holds no mapping; one line.
    """
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506  (a kind of the safe loader)
    except yaml.YAMLError as error:
        raise InputError(f"{path}: {_what_is_wrong(error)}") from error
    except RecursionError as error:
        raise InputError(f"{path}: {TOO_DEEP}") from error
    if tree is None:
        raise InputError(f"{path}: is empty; it needs 'runs:' with at least one run below it.")
    if not isinstance(tree, dict):
        raise InputError(
            f"{path}: holds no mapping; it needs 'runs:' with at least one run below it."
        )
    return tree


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file; give the path of a config.") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a folder; give the path of a config file in it.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8."
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _what_is_wrong(error: yaml.YAMLError) -> str:
    """Say in one line where a file stops being YAML, and why."""
    if isinstance(error, yaml.reader.ReaderError):
        return f"character {error.position} is {chr(error.character)!r}, which YAML does not allow."
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        return f"line {mark.line + 1}, column {mark.column + 1}: {' '.join(problem.split())}."
    return f"{' '.join(str(error).split())}."
