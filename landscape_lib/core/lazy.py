"""How a package offers names without importing the modules they live in."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def offered(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package: names are imported when asked for.

    Args:
        package: Its name, for the message.
        homes: For every name the module it lives in; a module's own name gives the module.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(homes[name])
        return module if homes[name] == f"{package}.{name}" else getattr(module, name)

    return get, lambda: sorted(homes)
