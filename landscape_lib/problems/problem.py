"""What a user brings: a trained model, the data it is judged on, and the metrics that judge it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import check_metric_name
from landscape_lib.core.spec import is_said
from landscape_lib.problems.naming import metrics_from


@dataclass(frozen=True)
class Problem:
    """A model, its data, its metrics.

    Attributes:
        model: The network with its trained weights; the centre of the landscape.
        data: A ``Dataset``, a ``DataLoader`` or another iterable of batches, or a tuple of tensors
            ``(inputs, targets)``.  A batch may be any nest of tensors that ends in the targets.
        metrics: One of

            * a loss module: keys ``train_loss``, and ``train_acc`` (percent) where outputs are
              class scores and targets classes;
            * ``{name: loss module | function(outputs, targets) -> per-sample tensor |
              torchmetrics.Metric}``: keys ``train_loss_<name>``, one forward pass for all;
            * a function ``f(net, dataloader, use_cuda) -> {name: float}``: keys
              ``train_loss_<name>``;
            * any of these in words, as the config has them: ``"cross_entropy"``, ``["mse", "l1"]``,
              ``{"top": "top5", "mine": my_function}``.
        splits: More data under other names; ``{"test": test_set}`` adds ``test_loss`` and so on.
    """

    model: nn.Module
    data: Any
    metrics: (
        nn.Module | Mapping[str, Any] | Callable[..., Mapping[str, float]] | str | Sequence[Any]
    ) = field(default_factory=nn.CrossEntropyLoss)
    splits: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.model, nn.Module):
            raise InputError(
                f"Problem.model is a {type(self.model).__name__}; it must be a torch.nn.Module."
            )
        if is_said(self.metrics):
            object.__setattr__(self, "metrics", metrics_from(self.metrics))
        _refuse_empty(self.model)
        _refuse_inference(self.model)
        if isinstance(self.metrics, Mapping) and not self.metrics:
            raise InputError("Problem.metrics is an empty dict; name at least one metric.")
        if not (isinstance(self.metrics, Mapping) or callable(self.metrics)):
            raise InputError(
                f"Problem.metrics is a {type(self.metrics).__name__}; it must be a loss module, a "
                "dict of metrics, or a function f(net, dataloader, use_cuda) -> dict."
            )
        if not isinstance(self.splits, Mapping):
            raise InputError(
                f"Problem.splits is a {type(self.splits).__name__}; it must be a dict of data, "
                "as {'test': test_set}."
            )
        _refuse_names(self.splits)


def _refuse_names(splits: Mapping[str, Any]) -> None:
    """Refuse names of splits that are no names, or the data's, or begin as another's metrics.

    Raises:
        InputError: If there is one.
    """
    for name in splits:
        check_metric_name(name, "split")
        if name == "train":
            raise InputError("A split is called 'train', which is the name of the data themselves.")
        for other in ("train", *splits):
            if f"{name}_".startswith(f"{other}_loss_"):
                raise InputError(
                    f"A split is called {name!r}: its metrics could not be told from those of "
                    f"{other!r}, {other}_loss_<name>. Choose another name."
                )


def _refuse_empty(model: nn.Module) -> None:
    """Refuse a model without its numbers, before anything is made of it.

    Raises:
        InputError: If a tensor is on the meta device.
    """
    named = [*model.named_parameters(), *model.named_buffers()]
    empty = [name for name, tensor in named if tensor.is_meta]
    if not empty:
        return
    hooked = any(hasattr(module, "_hf_hook") for module in model.modules())
    remedy = (
        "accelerate has offloaded them, and fetches them layer by layer, so that they cannot be "
        "moved. Load the model whole: without device_map, or with one that names neither 'cpu' nor "
        "'disk' beside a GPU; in half precision (dtype=torch.bfloat16) where memory is short"
        if hooked
        else "the model was built empty. Fill it with load_state_dict(..., assign=True), or build "
        "it outside torch.device('meta')"
    )
    raise InputError(
        f"Problem.model has no numbers for {len(empty)} of its tensors ({', '.join(empty[:3])}"
        f"{', ...' if len(empty) > 3 else ''}): {remedy}."
    )


def _refuse_inference(model: nn.Module) -> None:
    """Refuse a model that torch lets nobody write to.

    Raises:
        InputError: If a tensor was made in inference mode, and this is not it.
    """
    named = [*model.named_parameters(), *model.named_buffers()]
    sealed = [n for n, tensor in named if not is_lazy(tensor) and tensor.is_inference()]
    if sealed and not torch.is_inference_mode_enabled():
        raise InputError(
            f"Problem.model: {sealed[0]!r} was made in torch.inference_mode(), and cannot be "
            "written to outside of it. Build, load and first call the model under torch.no_grad() "
            "or as it is."
        )
