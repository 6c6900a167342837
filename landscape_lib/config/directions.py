"""Which direction each axis gets, from keys for both axes and keys for one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landscape_lib.config.layers import Layer, Written, allowed, build, layer, over
from landscape_lib.config.mistakes import Mistakes, below
from landscape_lib.config.settings import AXES, KEYS_OF_KIND, MAY_BE_NULL, DirectionSettings

_OWN_KEYS = {key: kind for kind, keys in KEYS_OF_KIND.items() for key in keys}
_KNOWN = tuple(DirectionSettings.model_fields)


def split(whole: Written, mistakes: Mistakes) -> Mapping[str, Layer] | None:
    """Return the keys for both axes, under ``both``, and those for each; None if broken."""
    found = layer(whole, (*_KNOWN, *AXES), mistakes)
    if found is None:
        return None
    parts = {axis: layer(whole[axis], _KNOWN, mistakes) for axis in AXES}
    parts["both"] = {key: entry for key, entry in found.items() if key not in AXES}
    whole_parts = {name: _told(part) for name, part in parts.items() if part is not None}
    return whole_parts if len(whole_parts) == len(parts) else None


def _told(part: Layer) -> Layer:
    """Leave out ``model: null`` and its like, which say nothing."""
    unsaid = ("model", "path", "checkpoints")
    return {
        key: entry for key, entry in part.items() if key not in unsaid or entry.value is not None
    }


@dataclass(frozen=True)
class _Choice:
    """The keys of one axis, sorted by whether its kind of direction has them."""

    kind: Written
    kept: Layer
    foreign: Sequence[tuple[str, Written]]

    @classmethod
    def among(cls, layers: Sequence[Layer]) -> "_Choice":
        """Take the kind from the last layer that names one.

        Keys of other kinds in the layers before it were meant for another kind, and are
        left out; from it on, they are mistakes.
        """
        last = max((number for number, part in enumerate(layers) if "kind" in part), default=0)
        kind = over(layers).get("kind", Written("random", ""))
        strangers = {key for key, of in _OWN_KEYS.items() if of != kind.value}
        if kind.value not in list(KEYS_OF_KIND):
            strangers = set()
        return cls(
            kind,
            {key: entry for key, entry in over(layers).items() if key not in strangers},
            [
                (key, entry)
                for part in layers[last:]
                for key, entry in part.items()
                if key in strangers
            ],
        )


def directions(
    default: Written, own: Written, axes: Sequence[str], mistakes: Mistakes
) -> tuple[DirectionSettings, ...] | None:
    """Return the settings of each axis, or None and what is wrong with them.

    Later wins: the defaults for both axes, those for the axis, the run's own for both axes,
    its own for the axis.
    """
    lower, upper = split(default, mistakes), split(own, mistakes)
    if lower is None or upper is None:
        return None
    choices = [
        _Choice.among([lower["both"], lower[axis], upper["both"], upper[axis]]) for axis in axes
    ]
    _refuse_other_kinds(choices, mistakes)
    built = [build(DirectionSettings, choice.kept, mistakes) for choice in choices]
    found = tuple(settings for settings in built if settings is not None)
    if len(found) < len(built):
        return None
    for choice, settings in zip(choices, found, strict=True):
        _require_keys_of_kind(choice, settings, mistakes)
    if len({settings.dir_type for settings in found}) > 1:
        entry = choices[-1].kept.get("dir_type") or choices[0].kept["dir_type"]
        mistakes.add(entry.path, entry.value, "the same dir_type on both axes")
    _refuse_bends_in_planes(choices, found, mistakes)
    return _eigenvectors(choices, found, mistakes)


def _refuse_bends_in_planes(
    choices: Sequence[_Choice], found: Sequence[DirectionSettings], mistakes: Mistakes
) -> None:
    for choice, settings in zip(choices, found, strict=True):
        if settings.kind == "target" and settings.curve != "none" and len(found) > 1:
            entry = choice.kept["curve"]
            mistakes.add(entry.path, entry.value, "'none' where the grid has 'y'")
            return


def _eigenvectors(
    choices: Sequence[_Choice], found: tuple[DirectionSettings, ...], mistakes: Mistakes
) -> tuple[DirectionSettings, ...]:
    """Number the eigenvectors that were not numbered; refuse what has no Hessian, or no plane."""
    numbered = tuple(
        settings.model_copy(update={"eigenvector": settings.eigenvector or axis})
        if settings.kind == "hessian"
        else settings
        for axis, settings in enumerate(found, 1)
    )
    asked = [pair for pair in zip(choices, numbered, strict=True) if pair[1].kind == "hessian"]
    for choice, settings in asked[:1]:
        if settings.dir_type == "states":
            entry = choice.kept["dir_type"]
            mistakes.add(entry.path, "states", "'weights': a Hessian is that by the weights alone")
    for key, wanted in (("eigenvector", "another one on each axis"), ("samples", "one number")):
        values = {getattr(settings, key) for _, settings in asked}
        if len(asked) > 1 and len(values) == (1 if key == "eigenvector" else 2):
            entries = [choice.kept[key] for choice, _ in asked if key in choice.kept]
            mistakes.add(entries[-1].path, entries[-1].value, f"{wanted}; x and y are 'hessian'")
    return numbered


def _refuse_other_kinds(choices: Sequence[_Choice], mistakes: Mistakes) -> None:
    used = {entry.path for choice in choices for entry in choice.kept.values()}
    for choice in choices:
        for key, entry in choice.foreign:
            if entry.path not in used:  # a key for both axes may serve the other one
                only = f"with kind {_OWN_KEYS[key]!r} only; the kind here is {choice.kind.value!r}"
                mistakes.add(entry.path, entry.value, only)


def _require_keys_of_kind(choice: _Choice, settings: DirectionSettings, mistakes: Mistakes) -> None:
    for key in sorted({*KEYS_OF_KIND[settings.kind]} - MAY_BE_NULL):
        if getattr(settings, key) is None:
            place = choice.kind.path.rpartition(".")[0]
            told = allowed(DirectionSettings, key).removesuffix(", null")
            mistakes.missing(below(place, key), f"{told}; kind {settings.kind!r} needs it")
