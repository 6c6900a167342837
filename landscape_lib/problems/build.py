"""How a problem is built from its name in the config."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import isgenerator
from typing import Any

from landscape_lib.core.errors import InputError
from landscape_lib.problems.loading import UserCodeError, load_function, told
from landscape_lib.problems.problem import Problem


def build_problem(name: str, args: Mapping[str, Any]) -> Problem:
    """Call the user's function and return the problem that it builds.

    Raises:
        InputError: If it returns anything else.
        UserCodeError: If it raised; ``InputError`` passes as it is.
    """
    found = call(name, args)
    if not isinstance(found, Problem):
        raise InputError(
            f"{name} returned a {type(found).__name__}; it must return a landscape_lib.Problem."
        )
    return found


def call(name: str, args: Mapping[str, Any]) -> Any:
    """Call a function by its name.

    Raises:
        InputError: If there is no such function, or it raised one itself.
        UserCodeError: If it raised anything else.
    """
    function = load_function(name)
    with _blaming(name, args):
        found = function(**args)
    return _resumed(found, name, args) if isgenerator(found) else found


def _resumed(states: Iterator[Any], name: str, args: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what a generator of the user's yields: it raises while it is asked, not when called."""
    with _blaming(name, args):
        yield from states


@contextmanager
def _blaming(name: str, args: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        shown = ", ".join(f"{key}={value!r}" for key, value in args.items())
        raise UserCodeError(f"{name}({shown}) raised {told(error)}") from error
