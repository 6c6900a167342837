"""How the weights in a checkpoint find their way into a model, whatever they are wrapped in."""

import importlib.util
import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import read_json
from landscape_lib.problems.adapter import SETTINGS, merge_adapter

log = logging.getLogger(__name__)

State = dict[str, Tensor]

# Under which names training programs put a model's state_dict into their checkpoints.
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
INDEX = ".index.json"  # ends the name of a file that says which shard has which weight
WHOLE = ("model.safetensors", "pytorch_model.bin")  # in a folder, each perhaps in shards
SHOWN = 3  # names of a list in a message
COUNTER = "num_batches_tracked"  # that batch norms of torch before 0.4.1 had not; torch fills it in


def load_checkpoint(path: str | Path, model: nn.Module, adapter: str | Path | None = None) -> State:
    """Return a checkpoint's weights under the names and in the shapes that a model has.

    Taken off is what training programs wrap around them: a dict that holds the state_dict under
    one of ``CONTAINERS``, and a prefix of all names, such as ``module.`` (DataParallel),
    ``_orig_mod.`` (torch.compile) or ``model.`` (Lightning).  Entries under other prefixes, such
    as those of a loss, are left out, which the log says.  A tensor that the model has under two
    names may be in the file under one.  Nothing in the file is run.

    Args:
        path: A file of ``torch.save``; one that ends in ``.safetensors``; the index of a sharded
            checkpoint, which ends in ``.index.json``; or a folder of Hugging Face's with one of
            these.
        model: Stays as it is: ``model.load_state_dict(load_checkpoint(path, model))``.
        adapter: The folder of a LoRA adapter, which is merged into the weights; see
            ``adapter.merge_adapter``.

    Raises:
        InputError: If the file cannot be read, or its weights are not those of such a model.
    """
    return fitted(read_state(path), model, path, adapter)


def fitted(
    state: State, model: nn.Module, path: str | Path, adapter: str | Path | None = None
) -> State:
    """Return a state_dict under the names of a model; ``path`` is what messages call it.

    Raises:
        InputError: If its weights are not those of such a model.
    """
    wanted: Mapping[str, Any] = model.state_dict()
    state = named_like(state, _each_once(wanted), path)
    state |= _twins(state, wanted)
    if adapter is not None:
        state = merge_adapter(state, adapter, read_state)
    faults = _faults(state, wanted)
    if faults:
        raise InputError(
            f"{path}: these weights do not fit the {type(model).__name__}; {'; '.join(faults)}. "
            "Build the model as it was when the checkpoint was saved (layers, widths, classes), or "
            "name another checkpoint."
        )
    return state


def read_state(path: str | Path, *, mapped: bool = False) -> State:
    """Read a state_dict onto the CPU, wherever its tensors were saved from.

    Args:
        path: A file or folder, as ``load_checkpoint`` takes it.
        mapped: Leave the numbers in the file until they are used, and only then; the file must
            stay as it is meanwhile.  One that torch wrote before version 1.6 is read whole.

    Raises:
        InputError: If the file is missing, cannot be read, or holds no state_dict.
    """
    if Path(path).is_dir():
        path = _inside(Path(path))
    if not Path(path).is_file():
        raise InputError(
            f"{path}: there is no such file (looked in {Path.cwd()}). Correct the path of the "
            "checkpoint; it is relative to the folder in which you type the command."
        )
    if str(path).endswith(INDEX):
        return _sharded(Path(path), mapped=mapped)
    found = (
        _safetensors(path)
        if str(path).endswith(".safetensors")
        else _torch_file(path, mapped=mapped)
    )
    while isinstance(found, Mapping) and not _has_tensors(found):
        inner = [found[n] for n in CONTAINERS if isinstance(found.get(n), Mapping)]
        if not inner:
            break
        found = inner[0]
    if not isinstance(found, Mapping) or not _has_tensors(found):
        held = f" with {_first(list(map(str, found)))}" if isinstance(found, Mapping) else ""
        raise InputError(
            f"{path}: it holds a {type(found).__name__}{held}; wanted a state_dict, as "
            f"torch.save(model.state_dict(), path) writes it, or a dict that has one under one of "
            f"{', '.join(CONTAINERS)}."
        )
    return dict(found)


def named_like(state: State, wanted: Mapping[str, Any], path: str | Path) -> State:
    """Return the entries under the one prefix that gives all the wanted names, without it.

    Where no prefix does, the state comes back as it is, and whoever uses it says what is missing.

    Raises:
        InputError: If several do, so that it would have to be guessed.
    """
    if not wanted or wanted.keys() <= state.keys():
        return state
    last = next(reversed(list(wanted)))
    prefixes = [name.removesuffix(last) for name in state if name.endswith(f".{last}")]
    fitting = [p for p in prefixes if all(f"{p}{name}" in state for name in wanted)]
    if len(fitting) > 1:
        raise InputError(
            f"{path}: it holds several such networks, under {', '.join(sorted(fitting))}. Read the "
            "file in your build, and keep the entries of the one that is meant, without its prefix."
        )
    if not fitting:
        return state
    (prefix,) = fitting
    left = [name for name in state if not name.startswith(prefix)]
    more = f"; left out: {_first(left)}" if left else ""
    log.info("%s: names are read without the prefix %r%s", path, prefix, more)
    return {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}


def _inside(folder: Path) -> Path:
    """Return the file of a folder that says where its weights are; safetensors before others.

    Raises:
        InputError: If there is none.
    """
    names = [name for whole in WHOLE for name in (f"{whole}{INDEX}", whole)]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    if (folder / SETTINGS).is_file():
        raise InputError(
            f"{folder}: it holds an adapter, which is a part of a network: load_checkpoint(path of "
            f"the base network, model, adapter={str(folder)!r})."
        )
    raise InputError(
        f"{folder}: a folder without any of {', '.join(names)}. Name the file with the weights."
    )


def _sharded(index: Path, *, mapped: bool) -> State:
    """Read all shards that an index names.

    Raises:
        InputError: If the index is none, or a shard is missing or lacks what the index says.
    """
    try:
        places = dict(read_json(index)["weight_map"])
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{index}: it is no index of a sharded checkpoint; wanted a 'weight_map' from names of "
            "weights to names of files. Copy it again."
        ) from None
    shards = sorted(map(str, set(places.values())))
    strange = [name for name in shards if Path(name).name != name]
    if strange:
        raise InputError(
            f"{index}: it names {_first(strange)}; the shards of a checkpoint lie beside its index."
        )
    missing = [name for name in shards if not (index.parent / name).is_file()]
    if missing:
        raise InputError(
            f"{index}: {len(missing)} of {len(shards)} shards are not there: {_first(missing)}. "
            f"Copy them into {index.parent}."
        )
    state: State = {}
    for name in shards:
        state |= read_state(index.parent / name, mapped=mapped)
    lacking = [f"{weight} ({name})" for weight, name in places.items() if weight not in state]
    if lacking:
        raise InputError(
            f"{index}: {len(lacking)} weights are not in the shards that should have them: "
            f"{_first(lacking)}. Do index and shards belong together? Copy them again."
        )
    log.info("%s: read from %d shards", index, len(shards))
    return state


def _each_once(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return entries without the later names of one tensor, which files often leave out."""
    first: dict[Any, str] = {}
    for name, entry in wanted.items():
        first.setdefault(_place(name, entry), name)
    return {name: wanted[name] for name in first.values()}


def _twins(state: State, wanted: Mapping[str, Any]) -> State:
    """Return what is missing of a tensor with several names, from the name that is there."""
    there = {_place(name, wanted[name]): t for name, t in state.items() if name in wanted}
    places = {name: _place(name, entry) for name, entry in wanted.items() if name not in state}
    return {name: there[place] for name, place in places.items() if place in there}


def _place(name: str, entry: Any) -> Any:
    """Return what is the same for two names of one tensor, and for nothing else."""
    known = isinstance(entry, Tensor) and entry.numel() and not entry.is_meta
    return (entry.data_ptr(), entry.shape, entry.stride()) if known else name


def _torch_file(path: str | Path, *, mapped: bool) -> Any:
    try:
        mmap = mapped and zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # whatever torch raises over bytes that are no checkpoint
        raise InputError(f"{path}: {_why(str(error))}") from None


def _why(said: str) -> str:
    """Say why torch refuses a file, and what helps."""
    foreign = re.search(
        r"GLOBAL ([\w.]+) was not an allowed|class `?([\w.]+)`?.* not allowed", said
    )
    if foreign:
        name = foreign[1] or foreign[2]
        return (
            f"it holds a {name} beside tensors, and reading that would run code from the file. "
            "Save the weights alone, torch.save(model.state_dict(), path); or, where you trust the "
            f"file, allow it in your build: torch.serialization.add_safe_globals([{name}])."
        )
    if "TorchScript" in said:
        return (
            "it is a TorchScript program, model and weights in one. Load it in your build with "
            "torch.jit.load(path, map_location='cpu'), and return that as the model."
        )
    first = said.strip().partition("\n")[0]
    return (
        f"it cannot be read as a checkpoint ({first:.200}); wanted a file of "
        "torch.save(model.state_dict(), path). Is it whole? Save or copy it again."
    )


def _safetensors(path: str | Path) -> Any:
    if importlib.util.find_spec("safetensors") is None:
        raise InputError(f"{path}: reading it needs the package safetensors; install it.")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path}: it is no whole safetensors file: {error}.") from None


def _has_tensors(found: Mapping[Any, Any]) -> bool:
    return any(torch.is_tensor(entry) for entry in found.values())


def _faults(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Say what is missing, too much, or of another shape; an empty list where all fits."""
    found = {name: tuple(getattr(entry, "shape", ())) for name, entry in state.items()}
    shapes = {name: tuple(getattr(entry, "shape", ())) for name, entry in wanted.items()}
    changed = [name for name in shapes if found.get(name, shapes[name]) != shapes[name]]
    faults = {
        "missing": [n for n in shapes if n not in found and not n.endswith(COUNTER)],
        "unexpected": [str(name) for name in found if name not in shapes],
        "of another shape": [f"{name} {found[name]}, not {shapes[name]}" for name in changed],
    }
    return [f"{len(names)} {fault}: {_first(names)}" for fault, names in faults.items() if names]


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
