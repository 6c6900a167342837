"""What a config says of one part, layer over layer, and where each value was written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from landscape_lib.config.mistakes import Mistakes, below
from landscape_lib.config.readers import Reader
from landscape_lib.config.settings import Settings

Model = TypeVar("Model", bound=Settings)


@dataclass(frozen=True)
class Written:
    """A value, and the path under which it stands in the file."""

    value: Any
    path: str

    def __getitem__(self, key: Any) -> "Written":
        """Return what stands below a key: null where there is no such key, or no mapping."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return Written(value, below(self.path, key))


Layer = Mapping[str, Written]


def layer(whole: Written, known: Sequence[str], mistakes: Mistakes) -> Layer | None:
    """Return the keys of a mapping: none where it is null, None where it is something else."""
    if whole.value is None:
        return {}
    if not isinstance(whole.value, dict):
        mistakes.add(whole.path, whole.value, "a mapping")
        return None
    for key in whole.value:
        if key not in known:
            mistakes.unknown(whole.path, key, known)
    return {key: whole[key] for key in known if key in whole.value}


def over(layers: Sequence[Layer]) -> Layer:
    """Lay each layer over those before it, key by key."""
    return {key: entry for lower in layers for key, entry in lower.items()}


def build(
    model: type[Model], written: Layer, mistakes: Mistakes, missing_at: str | None = None
) -> Model | None:
    """Return the settings that were written, or None and what is wrong with them.

    Args:
        model: What to build.
        written: Its keys.
        mistakes: Grows by what is wrong.
        missing_at: Where a missing key would have stood; None where it may stand elsewhere.
    """
    try:
        return model.model_validate({key: entry.value for key, entry in written.items()})
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            key, *inside = mistake["loc"]
            if mistake["type"] != "missing":
                told = mistake["ctx"]
                path = _inside(written[str(key)].path, inside)
                mistakes.add(path, mistake["input"], told["allowed"], told["choices"])
            elif missing_at is not None:
                mistakes.missing(below(missing_at, key), allowed(model, str(key)))
        return None


def _inside(path: str, parts: Sequence[int | str]) -> str:
    for part in parts:
        if part != "[key]":  # pydantic's way of saying: the key, not what stands behind it
            path = f"{path}[{part}]" if isinstance(part, int) else below(path, part)
    return path


def allowed(model: type[Settings], key: str) -> str:
    """Return what messages say is allowed behind a key."""
    metadata = model.model_fields[key].metadata
    return next(entry.allowed for entry in metadata if isinstance(entry, Reader))


def merged(
    model: type[Model], default: Written, own: Written, mistakes: Mistakes
) -> tuple[Model | None, Layer]:
    """Return a run's settings over the defaults for all runs, and where they were written."""
    known = tuple(model.model_fields)
    layers = [layer(whole, known, mistakes) for whole in (default, own)]
    if None in layers:
        return None, {}
    written = over([found for found in layers if found is not None])
    return build(model, written, mistakes, own.path), written
