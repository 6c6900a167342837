"""What a first batch that cannot be evaluated tells about data, model and metrics."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from landscape_lib.core.errors import InputError
from landscape_lib.core.memory import lacks_memory

_TWO_TYPES = ("must have the same dtype", "expected scalar type", "expected m1 and m2 to have")
_DEVICE_ERRORS = ("CUDA error", "cuDNN error", "CUBLAS_STATUS")


@contextmanager
def blamed_on_the_batch(model: nn.Module, split: str, parts: Any) -> Iterator[None]:
    """Say what a model got where it cannot take a first batch; what the machine lacks passes.

    Args:
        model: What is called.
        split: Whose batch it is.
        parts: Inputs, named inputs, targets.

    Raises:
        InputError: In place of whatever the model raised, which is its cause.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if _of_the_machine(error):
            raise
        inputs, named, targets = parts
        given = [*map(said, inputs), *(f"{name}={said(item)}" for name, item in named.items())]
        raise InputError(
            f"The model cannot take the first batch of the {split} data: it got "
            f"{', '.join(given)} and its weights are {_types(model)}; it raised "
            f"{type(error).__name__}: {_first_line(error)}. {_advice(inputs, targets, error)}"
        ) from error


@contextmanager
def blamed_on_the_metric(key: str, outputs: Any, targets: Any) -> Iterator[None]:
    """Say what a metric got where it cannot judge a first batch; what the machine lacks passes.

    Raises:
        InputError: In place of whatever the metric raised, which is its cause.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if _of_the_machine(error):
            raise
        raise InputError(
            f"Metric {key!r} cannot judge the first batch: the model returned {said(outputs)}, the "
            f"targets are {said(targets)}; it raised {type(error).__name__}: {_first_line(error)}. "
            "Does this metric belong to such outputs and targets?"
        ) from error


def is_a_points(error: Exception) -> bool:
    """Tell whether an exception may be one point's alone.

    Wrong input, a lack of memory, and a name that is missing in our own code are not.
    """
    return not (isinstance(error, InputError) or _of_the_machine(error) or _our_mistake(error))


def _our_mistake(error: Exception) -> bool:
    """Tell whether our code names what is not there: then it is no value that it was given."""
    ours = __name__.partition(".")[0]
    innermost = [frame for frame, _ in traceback.walk_tb(error.__traceback__)][-1:]
    if not any(frame.f_globals.get("__name__", "").startswith(f"{ours}.") for frame in innermost):
        return False
    of_ours = type(getattr(error, "obj", None)).__module__.startswith(f"{ours}.")
    return isinstance(error, NameError) or (isinstance(error, AttributeError) and of_ours)


def _of_the_machine(error: Exception) -> bool:
    """Tell whether it is no mistake of the user's: no memory left, or a GPU that fails."""
    return lacks_memory(error) or any(name in str(error) for name in _DEVICE_ERRORS)


def said(value: Any) -> str:
    """Say in a few words what a value is."""
    if isinstance(value, Tensor):
        return f"{_short(value.dtype)}{list(value.shape)}"
    if isinstance(value, tuple | list | dict):
        items = value.values() if isinstance(value, dict) else value
        return f"{type(value).__name__} of {', '.join(map(said, items))}"
    return f"a {type(value).__name__}"


def _types(model: nn.Module) -> str:
    types = {_short(tensor.dtype) for tensor in model.parameters()}
    return " and ".join(sorted(types)) or "none"


def _advice(inputs: Any, targets: Any, error: Exception) -> str:
    """Return what to do, from what usually is the matter."""
    leaves = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    if any(leaf.dtype == torch.uint8 and leaf.ndim >= 3 for leaf in leaves):
        return (
            "Images of bytes become numbers from 0 to 1 by torchvision's transforms.ToTensor(), or "
            "by inputs.float() / 255."
        )
    if "mplemented for" in str(error):  # "not implemented for 'Half'", "not yet implemented for"
        return (
            "This device lacks an operation in that precision. Say 'precision: float32' in "
            "evaluation, which holds half precision exactly; take .half() or .bfloat16() out of "
            "the model's forward; or evaluate on a GPU."
        )
    if any(text in str(error) for text in _TWO_TYPES):
        return (
            "Two floating-point types meet: weights and inputs are in the type of evaluation's "
            "'precision', and the model's forward makes others. Take such a cast out of forward "
            "(or let it ask a weight for its type), or say 'precision: model', which leaves every "
            "weight in its own type."
        )
    if "unexpected keyword argument" in str(error):
        return (
            "A dict's entries become keyword arguments, all but its labels: leave others out of "
            "the data, or accept them in forward."
        )
    return (
        "Do the data's transforms (ToTensor, Normalize, Resize, tokenizer) match the model? Wanted "
        "is what model(inputs) takes; a batch is (inputs, targets)."
    )


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300].rstrip(".")
