"""How a config file becomes a tree of plain values, or a message with a line number."""

import re
from pathlib import Path
from typing import Any

import yaml

from landscape_lib.core.errors import InputError

TOO_DEEP = "is nested too deeply, or an alias holds itself."
LARGEST = 2**24  # bytes of a file that somebody may have written as a config
MOST_NODES = 200_000  # values that it stands for: an alias counts as all that it repeats
LONGEST_NUMBER = 4096  # bits; Python itself refuses to spell much longer ones


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

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _refuse_bomb(node)
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if "\0" in node.value or any("\ud800" <= letter <= "\udfff" for letter in node.value):
            raise yaml.MarkedYAMLError(
                problem="a text with a character that no file, name or page may hold (U+0000, or "
                "half of a surrogate pair)",
                problem_mark=node.start_mark,
            )
        return node

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
            found = super().construct_object(node, deep=deep)
            if isinstance(found, int) and found.bit_length() > LONGEST_NUMBER:
                raise OverflowError
            return found
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


def _refuse_bomb(root: yaml.Node) -> None:
    """Refuse a short text that stands for a tree which fills memory: aliases of aliases of aliases.

    Raises:
        RecursionError: If an alias holds itself.
        yaml.MarkedYAMLError: If the tree is too large.
    """
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if sizes.get(id(node)) == 0:  # it holds itself
            raise RecursionError
        if id(node) not in sizes:
            sizes[id(node)] = 0
            inner = [] if isinstance(node, yaml.ScalarNode) else node.value
            parts = [
                part for each in inner for part in (each if isinstance(each, tuple) else [each])
            ]
            sizes[id(node)] = 1 + sum(map(size, parts))
        return sizes[id(node)]

    if size(root) > MOST_NODES:
        raise yaml.MarkedYAMLError(
            problem=f"it stands for more than {MOST_NODES:,} values, with its aliases written out",
            problem_mark=root.start_mark,
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
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"{path}: is a device or a pipe; give the path of a config file.")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise InputError(f"{path}: has more than {LARGEST:,} bytes, which is no config.")
        return content.decode("utf-8-sig")
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
