"""How the loss changes with the weights, to second order, and how it differs between samples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map

from landscape_lib.core.direction import Direction, movable
from landscape_lib.core.lending import in_eval_mode, with_batch_statistics
from landscape_lib.core.meters import (
    AccuracyMeter,
    FunctionMeter,
    LossMeter,
    hold_against,
    meters_for,
)
from landscape_lib.core.metrics import WeightDecay, penalty_of
from landscape_lib.core.randomness import fixed_randomness, reseed
from landscape_lib.core.samples import Samples, copied, split_batch
from landscape_lib.core.sampling import standard_error
from landscape_lib.core.ties import ties
from landscape_lib.core.together import called_with, slot_names

PROBABILITIES = (nn.NLLLoss, nn.BCELoss, nn.KLDivLoss)


class UnmeasurableError(RuntimeError):
    """Say why something about a metric cannot be measured here."""


@dataclass(frozen=True)
class Derivatives:
    """A loss, its gradient, and its Hessian times some vectors, at the model's weights.

    Attributes:
        value: The loss on the samples.
        gradient: Shape (weights,), float64, in the order of ``movable``.
        products: H v for every vector v, each of shape (weights,), float64.
    """

    value: float
    gradient: Tensor
    products: tuple[Tensor, ...]


@dataclass(frozen=True)
class Spread:
    """The loss of every sample:  L = sum(totals) / sum(weights).

    Attributes:
        totals: Shape (samples,), float64: what each sample adds.
        weights: Shape (samples,), float64: what each sample is divided by; all ones for a mean
            over samples.
        count: How many samples the whole data set has, of which these are some.
    """

    totals: Tensor
    weights: Tensor
    count: int

    def mean(self) -> float:
        """Return the loss on these samples."""
        return float(self.totals.sum() / self.weights.sum())

    def standard_error(self) -> float:
        """Return the sampling error of the loss on the whole data set.

        That on these n samples, the standard error of a ratio, times sqrt(n / N) for all N; see
        ``sampling.standard_error``.  NaN for one sample.
        """
        here = standard_error(self.totals, self.weights)
        return float(here) * (len(self.totals) / self.count) ** 0.5


def combined(spreads: Sequence[Spread], factors: Sequence[float]) -> Spread:
    """Return what each sample adds to a weighted sum of losses at several points.

    All points are judged on the same samples, so most of the sampling error of a difference
    cancels: the combination's own standard error is the one that counts.
    """
    pairs = zip(spreads, factors, strict=True)
    totals = torch.stack([factor * spread.totals for spread, factor in pairs]).sum(0)
    return Spread(totals, spreads[0].weights, spreads[0].count)


class Objective:
    """One loss of a model as a function of its parameters, on fixed samples, in eval mode.

    L(w) = sum_i t_i(w) / sum_i w_i, and the penalty on the weights where the metric has one: the
    value that the evaluator gives on the same samples.
    Derivatives are by all floating-point parameters, frozen ones too, and by no buffer.  The model
    is only read: its parameters are replaced for the length of a forward pass.

    Args:
        model: The network, on the samples' device.
        metrics: A loss module, or a mapping of metrics.
        key: Which of the metrics, by its key of the ``train`` split.
        samples: On their device, in the precision that derivatives are to have.
        batch_size: Samples a batch; None: the loader's own.
        of: How many samples the whole data set has; left out, as many as there are here.

    Raises:
        UnmeasurableError: If the metric is of a kind that keeps no graph.
    """

    def __init__(
        self,
        model: nn.Module,
        metrics: nn.Module | Mapping[str, Any],
        key: str,
        samples: Samples,
        batch_size: int | None = None,
        of: int | None = None,
    ) -> None:
        self.model, self.key, self.samples = model, key, samples
        self.batch_size, self.of = batch_size, of or samples.count
        moving = movable(model)
        self.names = tuple(moving)
        self._shapes = [weight.shape for weight in moving.values()]
        self.device = next(iter(moving.values())).device
        self._tied = ties(dict(model.named_parameters()))  # other tensors in the same memory
        with self._reading(), torch.no_grad():
            batches = samples.cut(batch_size)
            first = self._forward(batches[0])
            meter = meters_for(model, metrics, "train", *first).get(key)
            rest = (split_batch(batch) for batch in batches[1:])
            run = lambda inputs, named: model(*inputs, **named)  # noqa: E731
            hold_against([] if meter is None else [meter], rest, first, run)
        self._penalty = _penalty(metrics, key)
        if meter is None or getattr(meter, "finish", None) is not None:
            raise UnmeasurableError(f"{key} is no mean over samples")
        if isinstance(meter, AccuracyMeter) or not isinstance(meter, LossMeter | FunctionMeter):
            raise UnmeasurableError(f"{key} is counted, not averaged: it has no derivative")
        if any(isinstance(part, nn.Parameter) for part in meter.held):
            raise UnmeasurableError(
                f"{key} holds weights of the model in a list of its own, where they cannot be "
                "differentiated by; it can if it holds the model, or a module of it"
            )
        self._meter = meter
        self._whole = _Judged(model, self._judge_outputs)
        self._summed = getattr(meter, "reduction", None) == "sum"

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(shape.numel() for shape in self._shapes)

    def flat(self, tensors: Sequence[Tensor] | Direction) -> Tensor:
        """Return tensors, one a parameter, as one float64 vector on the samples' device."""
        return torch.cat([t.detach().to(self.device, torch.float64).reshape(-1) for t in tensors])

    def derivatives(
        self, vectors: Sequence[Tensor] = (), pause: Callable[[], None] = lambda: None
    ) -> Derivatives:
        """Return the loss, its gradient, and the Hessian times some vectors, in one pass.

        H v is the gradient of <gradient, v>: exact but for rounding, without a step size.  Of a
        network of pieces, as ReLU makes them, it is the Hessian within the piece; kinks between
        pieces, which differences over a step see, are not in it.

        Args:
            vectors: Shape (weights,) each.
            pause: Called between batches; may raise to abandon the work.

        Raises:
            UnmeasurableError: If the loss does not depend on the weights through autograd.

        Source:
            Pearlmutter (1994), Fast Exact Multiplication by the Hessian.
        """
        halves = [self._split(vector) for vector in vectors]
        sums = [torch.zeros(self.size, dtype=torch.float64, device=self.device) for _ in vectors]
        gradient = torch.zeros(self.size, dtype=torch.float64, device=self.device)
        total, weight = 0.0, 0.0
        with self._reading(), _twice_differentiable(self.model):
            for batch in self.samples.cut(self.batch_size):
                pause()
                leaves = self._leaves()
                part, share = self._judge(dict(zip(self.names, leaves, strict=True)), batch)
                if not part.requires_grad:
                    raise UnmeasurableError(
                        f"{self.key} does not depend on the weights through autograd: it is "
                        "counted, detached, or computed without gradients"
                    )
                first = _gradient(part, leaves, deeper=bool(vectors))
                gradient += self.flat(first)
                for vector, held in zip(halves, sums, strict=True):
                    held.add_(self.flat(_product(first, vector, leaves)))
                total, weight = total + float(part.detach()), weight + float(share)
        return Derivatives(total / weight, gradient / weight, tuple(s / weight for s in sums))

    def slope(
        self,
        weights: Mapping[str, Tensor],
        by: Sequence[Tensor],
        batch: Any,
        *,
        batch_statistics: bool = False,
    ) -> tuple[float, list[Tensor]]:
        """Return the loss of one batch at other weights, and its gradient.

        Args:
            weights: What stands for the model's own entries, by name, as a graph.
            by: What the gradient is taken by.
            batch: On the samples' device.
            batch_statistics: Batch norms use those of the batch, as in training.
        """
        with self._reading(), _differentiable(self.model):
            with with_batch_statistics(self.model) if batch_statistics else nullcontext():
                part, share = self._judge(weights, batch)
                loss = part / share
                return float(loss.detach()), _gradient(loss, by, deeper=False)

    def spread(self, pause: Callable[[], None] = lambda: None) -> Spread:
        """Return the loss of every sample at the model's weights.

        Raises:
            UnmeasurableError: If a sample alone has no loss, or the samples' do not add up to the
                whole: then there is no sampling error to tell.
        """
        totals: list[Tensor] = []
        weights: list[Tensor] = []
        whole, count = 0.0, 0.0
        with self._reading(), torch.no_grad():
            penalty = self._penalty_at({})
            for batch in self.samples.cut(self.batch_size):
                pause()
                outputs, targets = self._forward(batch)
                part, share = self._weighed(outputs, targets, penalty)
                whole, count = whole + float(part), count + float(share)
                for alone in _one_by_one(outputs, targets):
                    part, share = self._weighed(*alone, penalty)
                    totals.append(part)
                    weights.append(torch.as_tensor(share, dtype=torch.float64, device=self.device))
        found = Spread(torch.stack(totals).cpu(), torch.stack(weights).cpu(), self.of)
        apart = abs(found.mean() - whole / count)
        if apart > 1e-4 * abs(whole / count) + 1e-9:
            raise UnmeasurableError(
                f"the {self.key} of a batch is not the mean over its samples, so the samples' "
                "spread does not tell its sampling error"
            )
        return found

    @torch.no_grad()
    def value_of_zero(self, pause: Callable[[], None] = lambda: None) -> float:
        """Return the loss of outputs that are all zero: they say nothing about any input.

        For class scores that is the loss of guessing, ln(classes) for cross-entropy; for a squared
        error, of always answering zero.

        Raises:
            UnmeasurableError: If zero is no answer: outputs are probabilities, their logarithms,
                or no tensors.
        """
        if isinstance(getattr(self._meter, "loss", None), PROBABILITIES):
            raise UnmeasurableError(
                f"outputs for {type(self._meter.loss).__name__} are probabilities or their "  # type: ignore[union-attr]
                "logarithms, of which zero is no guess"
            )
        total, weight = 0.0, 0.0
        with self._reading():
            penalty = self._penalty_at({})
            for batch in self.samples.cut(self.batch_size):
                pause()
                outputs, targets = self._forward(batch)
                if not any(map(_is_real, tree_leaves(outputs))):
                    raise UnmeasurableError("outputs are no tensors that could be set to zero")
                part, share = self._weighed(tree_map(_zeros, outputs), targets, penalty)
                total, weight = total + float(part), weight + float(share)
        return total / weight

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with in_eval_mode(self.model), fixed_randomness(), ExitStack() as stack:
            for kind in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
                stack.enter_context(torch.autocast(kind, enabled=False))
            yield

    def _leaves(self) -> list[Tensor]:
        return [weight.detach().clone().requires_grad_() for weight in self._weights()]

    def _weights(self) -> list[Tensor]:
        own = dict(self.model.named_parameters())
        return [own[name] for name in self.names]

    def _judge(self, weights: Mapping[str, Tensor], batch: Any) -> tuple[Tensor, Any]:
        tied = {n: t.of(weights[t.name]) for n, t in self._tied.items() if t.name in weights}
        weights = {**weights, **tied}
        reseed()
        inputs, named, targets = split_batch(copied(batch))
        slots = slot_names(self.model, weights).items()
        own = {f"network.{slot}": weights[name] for slot, name in slots}
        total, weight = called_with(self._whole, own, (inputs, named, targets), {})
        return self._added(total, weight, self._penalty_at(weights))

    def _forward(self, batch: Any) -> tuple[Any, Any]:
        reseed()
        inputs, named, targets = split_batch(copied(batch))
        return self.model(*inputs, **named), targets

    def _judge_outputs(self, outputs: Any, targets: Any) -> tuple[Tensor, Any]:
        total, weight, *_ = self._meter.judge(outputs, self._meter.known(outputs, targets))
        if self._summed:  # a sum is the mean of what is summed, times the whole data set's count
            leaf = next(t for t in tree_leaves((targets, outputs)) if isinstance(t, Tensor))
            weight = len(leaf) / self.of
        return total, weight

    def _weighed(self, outputs: Any, targets: Any, penalty: Tensor | float) -> tuple[Tensor, Any]:
        total, weight = self._judge_outputs(outputs, targets)
        return self._added(total, weight, penalty)

    def _added(self, total: Tensor, weight: Any, penalty: Tensor | float) -> tuple[Tensor, Any]:
        return total.double() + penalty * weight, weight  # what the weights add, in shares

    def _penalty_at(self, weights: Mapping[str, Tensor]) -> Tensor | float:
        return 0.0 if self._penalty is None else self._penalty.of(self.model, weights)

    def _split(self, vector: Tensor) -> list[Tensor]:
        parts = vector.split([shape.numel() for shape in self._shapes])
        return [
            part.reshape(weight.shape).to(weight.device, weight.dtype)
            for part, weight in zip(parts, self._weights(), strict=True)
        ]


class _Judged(nn.Module):
    """A network and who judges it, in one: a metric that holds the network sees the same weights.

    Whoever holds the network's weights, as in a penalty, would otherwise see its own.
    """

    def __init__(self, network: nn.Module, judge: Callable[[Any, Any], tuple[Tensor, Any]]) -> None:
        super().__init__()
        self.network, self._judge = network, judge

    def forward(self, inputs: Any, named: Any, targets: Any) -> tuple[Tensor, Any]:
        return self._judge(self.network(*inputs, **named), targets)


def _penalty(metrics: nn.Module | Mapping[str, Any], key: str) -> WeightDecay | None:
    named = metrics if isinstance(metrics, Mapping) else {}
    return penalty_of(named.get(key.removeprefix("train_loss_")))


def _gradient(of: Tensor, by: Sequence[Tensor], *, deeper: bool) -> list[Tensor]:
    return list(
        torch.autograd.grad(of, by, create_graph=deeper, allow_unused=True, materialize_grads=True)
    )


def _product(gradient: Sequence[Tensor], vector: Sequence[Tensor], by: Any) -> list[Tensor]:
    pairs = zip(gradient, vector, strict=True)
    along = torch.stack([(g * v).sum(dtype=torch.float64) for g, v in pairs]).sum()
    if not along.requires_grad:  # linear in the weights
        return [torch.zeros_like(weight) for weight in by]
    return list(
        torch.autograd.grad(along, by, retain_graph=True, allow_unused=True, materialize_grads=True)
    )


@contextmanager
def _twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Choose kernels that can be differentiated twice: fused attention and cuDNN's RNN cannot."""
    with sdpa_kernel(SDPBackend.MATH), _differentiable(model):
        yield


@contextmanager
def _differentiable(model: nn.Module) -> Iterator[None]:
    """Choose kernels that can be differentiated in eval mode: cuDNN's RNN cannot."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    with torch.enable_grad():
        with torch.backends.cudnn.flags(enabled=False) if recurrent else nullcontext():
            yield


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _zeros(leaf: Any) -> Any:
    return torch.zeros_like(leaf) if _is_real(leaf) else leaf


def _one_by_one(outputs: Any, targets: Any) -> Iterator[tuple[Any, Any]]:
    leaves = [leaf for leaf in tree_leaves((outputs, targets)) if isinstance(leaf, Tensor)]
    counts = {len(leaf) if leaf.ndim else 0 for leaf in leaves}
    if len(counts) != 1 or 0 in counts:
        raise UnmeasurableError("outputs and targets cannot be cut into samples")
    for number in range(counts.pop()):
        yield tree_map(
            lambda leaf, n=number: leaf[n : n + 1] if isinstance(leaf, Tensor) else leaf,
            (outputs, targets),
        )


def drawn(samples: Samples, most: int) -> Samples:
    """Return at most so many samples, drawn without replacement, the same on every call.

    Samples that cannot be cut are taken batch by batch, from the first.
    """
    if samples.count <= most:
        return samples
    if not samples.whole:
        batches: list[Any] = []
        count = 0
        for batch in samples.batches:
            if count >= most:
                break
            batches.append(batch)
            count += len(next(t for t in tree_leaves(batch) if isinstance(t, Tensor) and t.ndim))
        return Samples(tuple(batches), count, False, samples.batch_size, samples.dataset)
    order = torch.randperm(samples.count, generator=torch.Generator().manual_seed(0))
    chosen = order[:most].sort().values
    few = tree_map(lambda leaf: leaf[chosen.to(leaf.device)], samples.batches[0])
    return Samples((few,), most, True, samples.batch_size, samples.dataset)
