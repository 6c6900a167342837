"""How a LoRA adapter gets into the weights that it was trained for."""

import logging
import math
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from landscape_lib.core.errors import InputError
from landscape_lib.core.files import read_json

log = logging.getLogger(__name__)

State = dict[str, Tensor]

SETTINGS = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
PREFIX = "base_model.model."  # that peft puts before the base network's names
DOWN = {".lora_A.weight": ".lora_B.weight", ".lora_embedding_A": ".lora_embedding_B"}


def merge_adapter(state: State, folder: str | Path, read: Callable[[Path], State]) -> State:
    """Return a network's weights with a LoRA adapter of the package peft in them.

        W' = W + s B A,   s = alpha / r, or alpha / sqrt(r) where the adapter is rank-stabilized

    for every layer that the adapter has factors of (transposed where they are stored so, as in
    embeddings); what was trained whole beside them takes the place of the base's.  Computed in
    float64 and rounded once to W's type, half precision to float32.

    Args:
        state: The base network's weights, under its own names; stays as it is.
        folder: With ``adapter_config.json`` and ``adapter_model.safetensors`` (or ``.bin``).
        read: Reads a file of weights.

    Raises:
        InputError: If the folder holds no such adapter, one that is more than  s B A, or one for
            another network.

    Source:
        Hu et al. (2021), LoRA, section 4.1; Kalajdzievski (2023), A Rank Stabilization Scaling
        Factor for Fine-Tuning with LoRA.
    """
    settings = _settings(Path(folder))
    left = {name.removeprefix(PREFIX): t for name, t in read(_weights(Path(folder))).items()}
    merged, pairs = dict(state), _pairs(left)
    for module, down, up in pairs:
        weight = _entry(state, f"{module}.weight", folder)
        factors = left.pop(up), left.pop(down)
        change = _change(*factors, settings, module, turned="embedding" in down)
        if change is None or change.shape != weight.shape:
            raise InputError(
                f"{folder}: the factors of {module!r} have shapes "
                f"{' and '.join(str(tuple(factor.shape)) for factor in factors)}, its weight "
                f"{tuple(weight.shape)}. Convolutions are merged by peft alone: merge_and_unload() "
                "in your build; else it belongs to another network."
            )
        kind = torch.promote_types(weight.dtype, torch.float32)
        merged[f"{module}.weight"] = (weight.double() + change).to(kind)
    for name, tensor in left.items():
        if "lora_" in name:
            raise InputError(
                f"{folder}: {name!r} is no pair of factors A and B, and cannot be added to a "
                "weight. Let peft merge the adapter in your build: "
                "PeftModel.from_pretrained(model, folder).merge_and_unload()."
            )
        _entry(state, name, folder)
        merged[name] = tensor
    log.info("%s: merged into %d weights; %d entries replaced", folder, len(pairs), len(left))
    return merged


def _pairs(names: Collection[str]) -> list[tuple[str, str, str]]:
    """Return layers that have both factors: a layer's name, those of its A and of its B."""
    endings = [(name, down, up) for name in names for down, up in DOWN.items()]
    found = [
        (name.removesuffix(down), name, name.removesuffix(down) + up)
        for name, down, up in endings
        if name.endswith(down)
    ]
    return [pair for pair in found if pair[-1] in names]


def _settings(folder: Path) -> Mapping[str, Any]:
    path = folder / SETTINGS
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); wanted the folder of a LoRA adapter, as peft's "
            "model.save_pretrained(folder) writes it."
        ) from None
    kind = found.get("peft_type", "LORA") if isinstance(found, dict) else None
    if kind != "LORA" or found.get("use_dora") or "lora_alpha" not in found:
        named = "DoRA" if kind == "LORA" and found.get("use_dora") else kind
        raise InputError(
            f"{path}: an adapter of the kind {named}; only LoRA's is added here. Let peft merge it "
            "in your build: PeftModel.from_pretrained(model, folder).merge_and_unload()."
        )
    return found


def _weights(folder: Path) -> Path:
    there = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not there:
        raise InputError(
            f"{folder}: there is neither {' nor '.join(WEIGHTS)} in it. Copy it again."
        )
    return there[0]


def _entry(state: State, name: str, folder: str | Path) -> Tensor:
    if name not in state:
        raise InputError(
            f"{folder}: the adapter has {name!r}, which the network lacks (it has "
            f"{', '.join(list(state)[:3])}, ...). It belongs to another network, or the names need "
            "a prefix taken off."
        )
    return state[name]


def _change(
    up: Tensor, down: Tensor, settings: Mapping[str, Any], module: str, *, turned: bool
) -> Tensor | None:
    """Return  s B A,  shaped as the weight is; None where the factors are no matrices."""
    if not up.ndim == down.ndim == 2 or up.shape[1] != len(down):
        return None
    change = _scale(settings, module, rank=len(down)) * (up.double() @ down.double())
    return change.T if turned or settings.get("fan_in_fan_out") else change


def _scale(settings: Mapping[str, Any], module: str, rank: int) -> float:
    alpha = settings["lora_alpha"]
    for pattern, other in (settings.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = other
            break
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)
