"""Values, names and command lines that nobody means, drawn from a seed."""

import copy
import random
from typing import Any

NASTY: list[Any] = [
    *(None, True, 0, -1, 10**30, 1e-320, float("nan"), float("inf"), "", " ", "\0"),
    *("nan", "auto", "../..", "~", [], {}, [[]], [1, 2, 3], {"x": {}}, "a" * 300, "$(id)", "'"),
    *('"', "\n", "é\ud800", "-1", "-rf", "results", "$\\frac{", "%", "{run}", "*", "a/b", "/dev"),
    *({"a": {"b": [None]}}, [float("nan")] * 3, [-1, 1, 10**12], ["x"] * 40, 1e308, "own", False),
]
LETTERS = "abc:/.\\ ~$'\"\n\0é*?-_{}%&;|<>()[]#!\t\u202e\U0001f600"


def name(draw: random.Random, longest: int = 20) -> str:
    """Return a name of letters that shells, paths, markup and formulas have plans for."""
    return "".join(draw.choice(LETTERS) for _ in range(draw.randrange(longest)))


def change(tree: Any, draw: random.Random) -> None:
    """Give one entry of nested mappings and lists another value, another name, or none."""
    here = tree
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not keys:
            return
        key = draw.choice(keys)
        if not (isinstance(here[key], dict | list) and here[key] and draw.random() < 0.8):
            break
        here = here[key]
    way = draw.random()
    if way < 0.6 or isinstance(here, list):
        here[key] = copy.deepcopy(draw.choice(NASTY))
    elif way < 0.8:
        here[str(draw.choice(NASTY))] = here.pop(key)
    elif len(here) > 1 or here is not tree:
        del here[key]


def words(draw: random.Random, options: list[str]) -> list[str]:
    """Return the words of a command line, most of them such as the program knows."""
    values = [
        *("config.yaml", "own", "0", "1", "2", "-1", "1e9", "nan", "train_loss", "pdf", "x.h5"),
        *("", "--", "é", "results/own/x", "results/own/surface.h5", "results", ".", "missing"),
        *("a" * 300, "$(touch owned)", "; touch owned", "'\"", "-rf", "line\nbreak", "$x^{"),
    ]
    found: list[str] = []
    for _ in range(draw.randrange(8)):
        if options and draw.random() < 0.6:
            found.append(draw.choice(options))
        found.append(draw.choice(values))
    return found
