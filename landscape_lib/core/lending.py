"""How a model is lent, and given back as it was: modes, buffers, device, type, storages."""

import copy
import operator
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from landscape_lib.core.holdings import Holdings
from landscape_lib.core.precision import Types, named_tensors
from landscape_lib.core.ties import ties

_CONTAINERS = {dict, OrderedDict, defaultdict, list, deque, set, tuple}
Inputs = tuple[tuple[Any, ...], dict[str, Any]]  # positional and named


def slots(model: nn.Module) -> list[Tensor]:
    """Return the tensor in every place of the model that holds one: a tied one as often."""
    return [
        tensor
        for module in model.modules()
        for registry in (module._parameters, module._buffers)
        for _, tensor in registry.items()  # TorchScript's has no values()
        if tensor is not None
    ]


def can_be_written(tensor: Tensor) -> bool:
    """Tell whether values can be put back in place: not into a sparse or an expanded tensor."""
    if tensor.layout != torch.strided:
        return False
    return all(
        stride or size < 2 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
    )


def to_eval(model: nn.Module) -> None:
    """Put every module into eval mode, but run no ``train`` of its own.

    Some modules do more there than change their mode, such as merging an adapter into weights.
    """
    for module in model.modules():
        module.training = False


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Look at a model in eval mode; put modes back, and buffers that its ``forward`` writes to."""
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    held = {id(b): b for _, own in buffers for b in own.values() if b is not None}
    kept = [(b, b.clone()) for b in held.values() if can_be_written(b)]
    try:
        to_eval(model)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for registry, own in buffers:
            if isinstance(registry, dict):
                registry.update(own)
        with torch.no_grad():
            for buffer, values in kept:
                buffer.copy_(values)


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Put back what a ``forward`` hangs on modules, and does to their lists, dicts and sets.

    The values of tensors are not looked after here.
    """
    kept = _contents(model)
    try:
        yield
    finally:
        for held, content in kept:
            if not _is_same(held, content):
                held.clear()
                (held.extend if isinstance(held, list | deque) else held.update)(content)


def _contents(model: nn.Module) -> list[tuple[Any, Any]]:
    """Return every container that modules hold, themselves included, and copies of them."""
    found: dict[int, tuple[Any, Any]] = {}
    waiting: list[Any] = [vars(module) for module in model.modules()]
    while waiting:
        held = waiting.pop()
        if id(held) not in found:
            found[id(held)] = (held, copy.copy(held))
            inside = held.values() if isinstance(held, dict) else held
            waiting += [thing for thing in inside if type(thing) in _CONTAINERS]
    return [(held, content) for held, content in found.values() if not isinstance(held, tuple)]


def _is_same(held: Any, content: Any) -> bool:
    if isinstance(held, dict):
        return _is_same([*held, *held.values()], [*content, *content.values()])
    return len(held) == len(content) and all(map(operator.is_, held, content))


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """Return the norms that keep running statistics of the batches they saw in training."""
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.running_var is not None
    ]


@contextmanager
def with_batch_statistics(model: nn.Module) -> Iterator[None]:
    """Let each batch norm use the statistics of the batch that it sees, as in training.

    All else stays in eval mode.  Running statistics are afterwards what they were.
    """
    with in_eval_mode(model):
        for norm in batch_norms(model):
            norm.training = True
        yield


@torch.no_grad()
def reestimate_statistics(model: nn.Module, batches: Iterable[Inputs]) -> None:
    """Write running statistics of batch norms that are those of batches at the weights of now.

    Each norm's mean and variance become the averages, over the batches, of the batch's mean and of
    its unbiased variance; a batch counts by its rows.  Meanwhile every norm uses its batch's own
    statistics, as in training, and all else is in eval mode.  Where batches are equally large that
    is, bit for bit, what ``torch.optim.swa_utils.update_bn`` computes with norms of momentum None.
    Norms that no batch reaches keep what they have.

    Args:
        model: In eval mode; its buffers are written to, its modes put back.
        batches: Positional and named arguments of the model.

    Source:
        Izmailov et al. (2018), Averaging Weights Leads to Wider Optima and Better Generalization,
        section 3.
    """
    seen: dict[nn.Module, int] = {}

    def weigh(norm: Any, args: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        if norm not in seen:
            norm.reset_running_stats()
        rows = len(args[0] if args else named["input"])
        seen[norm] = seen.get(norm, 0) + rows
        norm.momentum = rows / seen[norm]

    norms: list[Any] = batch_norms(model)
    held = [(norm, norm.training, norm.momentum) for norm in norms]
    hooks = [norm.register_forward_pre_hook(weigh, with_kwargs=True) for norm in norms]
    try:
        for norm in norms:
            norm.training = True
        with _uncompiled(model):
            for args, named in batches:
                model(*args, **named)
    finally:
        for hook in hooks:
            hook.remove()
        for norm, training, momentum in held:
            norm.training, norm.momentum = training, momentum


def _uncompiled(model: nn.Module) -> AbstractContextManager[None]:
    """Run as Python what the user gave to ``torch.compile``, or each momentum is compiled anew."""
    stance = getattr(torch.compiler, "set_stance", None)  # from torch 2.6
    compiled = any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None)
        for module in model.modules()
    )
    return stance("force_eager") if compiled and stance else nullcontext()


def is_spread(model: nn.Module) -> bool:
    """Tell whether a model lies on several devices on purpose: nobody may move it.

    So says a ``device_map`` of accelerate or transformers, or that parameters lie on several GPUs.
    """
    maps = (getattr(module, "hf_device_map", None) or {} for module in model.modules())
    gpus = {tensor.device for tensor in model.parameters() if tensor.device.type != "cpu"}
    return len(gpus) > 1 or any(len(set(map(str, places.values()))) > 1 for places in maps)


def lay_out_weights(
    model: nn.Module, device: str, types: torch.dtype | Types, *, channels_last: bool
) -> None:
    """Move a model to a device, and its floating-point tensors to a type: one, or one a name.

    A model that is spread over devices stays where it is.
    Tensors of four dimensions, the weights of convolutions, are laid out channels last or not.
    Complex tensors and counters keep their type.  What is tied stays tied.
    """
    tied = ties(dict(named_tensors(model)))
    here = torch.device(device).type == "cpu" and all(t.is_cpu for t in slots(model))
    if not here and not is_spread(model):
        model.to(device)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for name, tensor in named_tensors(model):
        wanted = types if isinstance(types, torch.dtype) else types.get(name, tensor.dtype)
        if tensor.is_floating_point() and tensor.dtype != wanted:
            tensor.data = tensor.data.to(wanted)
        if tensor.ndim == 4 and tensor.layout == torch.strided:
            tensor.data = tensor.data.contiguous(memory_format=layout)
    there = dict(named_tensors(model))
    for name, tie in tied.items():
        if there[name] is not there[tie.name]:
            there[name].data = tie.of(there[tie.name].data)


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Lend a model for moving to another device or type; give it its own storages back.

    Gradients are taken off meanwhile, or they would be moved and converted too.  What its modules
    hold is put back by identity, also what a forward pass leaves: attributes, buffers that it
    registers.  Values are not looked after here: ``excursion`` does.
    """
    holdings = Holdings(model)
    held = [(tensor, tensor.data) for tensor in slots(model)]
    grads = [(tensor, tensor.grad) for tensor in model.parameters()]

    def give_back() -> None:
        holdings.put_back()  # buffers are replaced by ``model.to``, parameters filled
        for tensor, data in held:
            tensor.grad = None
            tensor.data = data
        for tensor, grad in grads:
            tensor.grad = grad

    try:
        for tensor, _ in grads:
            tensor.grad = None
        yield
    finally:
        try:
            give_back()
        except BaseException:  # Ctrl-C in the middle of it
            give_back()
            raise
