"""How a problem is usually evaluated fastest on a CPU, told by its shapes alone."""

import logging
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from landscape_lib.core.evaluator import no_autocast
from landscape_lib.core.folding import fold
from landscape_lib.core.lending import batch_norms, in_eval_mode, slots
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import cast_of, dtype_of, half_of
from landscape_lib.core.randomness import fixed_randomness
from landscape_lib.core.samples import copied, split_batch
from landscape_lib.steps.bench import Bench

log = logging.getLogger(__name__)

SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # of batches
CACHE = 2**20  # bytes, which a core of today has in its second level


def usual_plan(bench: Bench, base: Plan) -> Plan:
    """Return the plan that is usually fastest on a CPU; nothing is timed.

    Images are laid out channels last and norms are folded where there are any.  A batch is as large
    as the widest result of an operation, over all threads, fits into their caches:

        size * bytes a sample <= CACHE * threads

    Networks without convolutions gain nothing from small batches, and keep those that are larger
    than that.  On a GPU, for a loop of one's own, and for a compiled network, which would be
    compiled anew for other batches, it is the base.  The same shapes and threads give the same
    plan, on any machine.

    Args:
        bench: The problem.
        base: The plain model's plan; a batch size that it names is kept.
    """
    model = bench.problem.model
    if bench.own_loop or torch.device(base.device).type != "cpu" or _is_compiled(model):
        return base
    images = any(isinstance(module, nn.Conv2d) for module in model.modules())
    return replace(
        base,
        batch_size=base.batch_size or _batch_size(bench, base, images),
        fold=bool(batch_norms(model)) and fold(model) is not None,
        channels_last=images
        and base.precision in {"float32", "bf16"}
        and torch.backends.mkldnn.is_available(),
    )


def _is_compiled(model: nn.Module) -> bool:
    return any(
        module._compiled_call_impl is not None or hasattr(module, "_orig_mod")
        for module in model.modules()
    )


def _batch_size(bench: Bench, base: Plan, images: bool) -> int | None:
    try:
        width = _widest(bench, base)
    except Exception as error:  # whatever a model may do on a single sample
        log.info("A single sample does not tell how wide the model is: %s", error)
        return None
    size = max((s for s in SIZES if s * width <= CACHE * base.threads), default=SIZES[0])
    return size if images or size > bench.batch_size else None


def _widest(bench: Bench, base: Plan) -> int:
    """Return the bytes of the widest result that an operation has for one sample.

    Raises:
        ValueError: If none was seen, as of TorchScript.
    """
    model = bench.problem.model
    bench.lay_out(base)
    one = bench.data["train"].first(1).to(base.device, dtype_of(base, bench.types))
    half = half_of(base, bench.types) if cast_of(base) is None else None  # the model's own weights
    inputs, named, _ = split_batch(copied(one.cut(1)[0]), half)
    with in_eval_mode(model), torch.no_grad(), fixed_randomness(), no_autocast():
        with _Watch(model) as watch:
            model(*inputs, **named)
    if not watch.widest:
        raise ValueError("its operations cannot be seen")
    return watch.widest


class _Watch(TorchFunctionMode):  # one that sees what torch does inside would import for a second
    """Sees every call of torch, and how many bytes it returns that are no weights."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._weights = {_place(weight) for weight in slots(model)}
        self.widest = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        results = function(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            if isinstance(result, Tensor) and _place(result) not in self._weights:
                self.widest = max(self.widest, result.nbytes)
        return results


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
