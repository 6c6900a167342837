"""What the model is worth, here and at every point of a grid."""

import logging
import math
import unicodedata
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from landscape_lib.core.batchnorm import Reestimation, Reestimator
from landscape_lib.core.blame import blamed_on_the_batch, blamed_on_the_metric
from landscape_lib.core.children import children_ended
from landscape_lib.core.direction import Direction, no_direction
from landscape_lib.core.errors import InputError, NoPointError
from landscape_lib.core.failures import Failure, told_of
from landscape_lib.core.folding import Folded, fold
from landscape_lib.core.graphs import Replays, UnrecordableError
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.keys import errors_of, results_of
from landscape_lib.core.lending import borrowed, in_eval_mode, is_spread, lay_out_weights, slots
from landscape_lib.core.means import Judged
from landscape_lib.core.meters import (
    Known,
    MeanMeter,
    Meter,
    hold_against,
    meters_for,
    refuse_stray_labels,
    writes_nothing,
)
from landscape_lib.core.metrics import WeightDecay, class_names, penalty_of
from landscape_lib.core.pending import Read, Values, columns_read, values_read
from landscape_lib.core.perturbation import excursion
from landscape_lib.core.plan import Plan, choose_device, plain_plan
from landscape_lib.core.precision import (
    HALF,
    cast_of,
    dtype_of,
    half_of,
    own_types,
    round_as,
    rounding_kept,
)
from landscape_lib.core.randomness import fixed_randomness, reseed
from landscape_lib.core.room import watched
from landscape_lib.core.samples import (
    ResidentLoader,
    Samples,
    as_batches,
    copied,
    gather,
    split_batch,
)
from landscape_lib.core.sampling import resamples
from landscape_lib.core.surface import (
    BOOTSTRAP_ERROR,
    STANDARD_ERROR,
    Label,
    Shard,
    is_beside,
    metrics_of,
)
from landscape_lib.core.surroundings import kept_surroundings
from landscape_lib.core.together import Cast, Together
from landscape_lib.core.writes import (
    WRITTEN,
    Written,
    WrittenError,
    counters_of,
    put_back_if_written,
    tensors_in,
    unwritten,
)

log = logging.getLogger(__name__)

LONGEST_NAME = 100  # bytes
_SPOILT = (
    "The model or a metric wrote to its inputs, targets or outputs at this point, and to none of "
    "them at the first one: nobody made copies, and the data may no longer be what they were. Let "
    "it write to a copy of its own (inputs.clone()), and evaluate anew."
)

Point = tuple[float, ...]
Outcome = Values | Failure
Reading = Callable[[], Sequence[Outcome]]  # waits for what a device has been given to do
Parts = tuple[tuple[Any, ...], dict[str, Any], Any]  # inputs, named inputs, targets


class Launches(Protocol):
    """Evaluates a model at a group of points that ``go`` takes it to."""

    def launch(
        self, model: nn.Module, points: Sequence[Point], go: Callable[[Point], None]
    ) -> Reading:
        """Begin with points; return what waits for values, or for why there are none."""


ValuesAt = Callable[[nn.Module], Mapping[str, float]] | Launches


class Evaluator:
    """Evaluates metrics of a model on the whole of its data.

    A loss module, or a dict of metrics, shares one forward pass per batch; a function
    ``f(net, dataloader, use_cuda)`` runs its own loop over resident batches.  Call it with the
    model to get ``{key: float}``.

    Attributes:
        notes: By key, what a reader must know of how a metric is averaged.
        unrecorded: Why batches are not replayed though the plan says so; empty where they are, or
            will be.  Values are the same.

    Args:
        model: The network at the centre; used once here, to see what it returns.
        metrics: As ``Problem.metrics``.
        data: For every split its samples, ``train`` first.
        plan: How to evaluate.
        reestimation: That running statistics of batch norms are estimated anew at every point, and
            on what; None: they are what they are.
        standard_error: Whether every metric comes with its sampling error, from the same pass, as
            ``standard_error/<key>``; NaN where samples cannot be told apart.
        bootstrap: Over how many bootstrap samples of the data the spread of every metric is taken,
            as ``bootstrap_error/<key>``; 0: none.  2 bytes a sample and draw.
    """

    def __init__(
        self,
        model: nn.Module,
        metrics: Any,
        data: Mapping[str, Samples],
        plan: Plan | None = None,
        reestimation: Reestimation | None = None,
        *,
        standard_error: bool = False,
        bootstrap: int = 0,
    ) -> None:
        self.standard_error = standard_error
        self.bootstrap = bootstrap
        self.plan = plan or Plan()
        self.device = torch.device(self.plan.device)
        types = own_types(model)
        self._half = half_of(self.plan, types)
        dtype = dtype_of(self.plan, types)
        self.metrics = metrics
        self.own_loop = not isinstance(metrics, nn.Module | Mapping)
        handed = None if self.own_loop and self.plan.precision == "model" else dtype
        self.data = {
            split: samples.to(self.device, handed, channels_last=self.plan.channels_last)
            for split, samples in data.items()
        }
        self._statistics: Reestimator | None = None
        if reestimation is not None:
            train = next(iter(data))
            few = reestimation.among(data[train])
            same = few is data[train] and handed == dtype
            laid_out = few.to(self.device, dtype, channels_last=self.plan.channels_last)
            there = self.data[train] if same else laid_out
            narrow = self._half if cast_of(self.plan) is None else None
            self._statistics = Reestimator(model, there, narrow)
        # a model to its inputs, as nn.ReLU(inplace=True) in front does; metrics to outputs or
        # targets, which other metrics need as well
        self._model_writes = self._metrics_write = False
        self._careful: set[str] = set()  # splits that a metric of the user's own judges
        self._spoilt = ""  # why data are no longer what they were
        self._meters: dict[str, dict[str, Meter]] = {}
        self._ready: dict[str, list[Parts]] = {}
        self._resident: dict[str, list[Tensor]] = {}  # what counts the writes to all of these
        self._known: dict[tuple[str, int, str], Known] = {}
        self._settled = False  # whether a first point was evaluated, and weights are numbers
        self._folded: Folded | None = None
        self._together: Together | None = None
        self._cast: Cast | None = None
        self._replays: Replays | None = None
        self._weighed: dict[tuple[str, int, str], tuple[Any, Any]] = {}  # sums' and parts' divisors
        self.unrecorded = ""
        self._call: Callable[..., Any] | None = None  # what stands for the model
        self.notes: dict[str, str] = {}
        self._classes = {split: class_names(samples.dataset) for split, samples in data.items()}
        self._penalties = _penalties(metrics)
        _check_names(metrics, data)
        if self.plan.graph:
            self._replays = Replays(self.device)
        if self.own_loop:
            self._refuse_for_a_loop()
            self._loaders = {
                split: ResidentLoader(samples, self.plan.batch_size)
                for split, samples in self.data.items()
            }
        else:
            self._batches = {
                split: samples.cut(self.plan.batch_size) for split, samples in self.data.items()
            }
            self._drawn = {
                split: resamples(samples.count, bootstrap).to(self.device)
                for split, samples in self.data.items()
                if bootstrap
            }
            self._settle(model)
            self._make_ready()
            self._prepare(model)

    def _refuse_for_a_loop(self) -> None:
        """Refuse what cannot be done to a function that calls the model itself.

        Raises:
            InputError: If the plan wants it.
        """
        if self.plan.points_at_once > 1:
            raise InputError(
                "A metric function that runs its own loop sees one point at a time. Set "
                "points_at_once: 1 in evaluation.plan."
            )
        if self.plan.graph:
            raise InputError(
                "A metric function that runs its own loop is called as it is, and never recorded. "
                "Set graph: false in evaluation.plan."
            )
        if cast_of(self.plan) is not None:
            raise InputError(
                f"Precision {self.plan.precision!r} rounds weights and inputs around the model's "
                "forward pass, and a metric function that runs its own loop calls the model "
                "itself. Say 'precision: float32' and use torch.autocast in the function; or give "
                "the model as model.bfloat16() and say 'precision: model'."
            )

    @property
    def points_at_once(self) -> int:
        """How many points it is best asked for at once."""
        return self.plan.points_at_once

    @property
    def runs_ahead(self) -> bool:
        """Whether the next point may be begun before the values of one are read."""
        return self.device.type == "cuda" and not self.own_loop

    def __call__(self, model: nn.Module, pause: Callable[[], None] = lambda: None) -> Values:
        """Evaluate the model as it is now.

        Args:
            model: In eval mode.
            pause: Called between batches; may raise to abandon the point.

        Raises:
            InputError: If a metric is not a number, or two have one key.
        """
        return self.several(model, [()], lambda point: None, pause)[0]

    def several(
        self,
        model: nn.Module,
        points: Sequence[Point],
        go: Callable[[Point], None],
        pause: Callable[[], None] = lambda: None,
    ) -> list[Values]:
        """Evaluate the model at points.

        Args:
            model: In eval mode.
            points: Where.
            go: Moves the model to a point.
            pause: Called between batches; may raise to abandon the points.

        Raises:
            InputError: If a metric is not a number, or two have one key.
        """
        values: list[Values] = []
        with no_autocast():
            for start in range(0, len(points), self.plan.points_at_once):
                group = points[start : start + self.plan.points_at_once]
                values += self.launch(model, group, go, pause)()
        return values

    def launch(
        self,
        model: nn.Module,
        points: Sequence[Point],
        go: Callable[[Point], None],
        pause: Callable[[], None] = lambda: None,
    ) -> Read:
        """Begin to evaluate as many points as the plan takes at once, or fewer.

        Returns:
            What waits for their values.  Where the device works on its own, the next points may be
            begun before.

        Raises:
            InputError: If two metrics have one key.
        """
        with nullcontext() if self._statistics is None else in_eval_mode(model):
            return self._at(model, points, go, pause)

    def _at(
        self,
        model: nn.Module,
        points: Sequence[Point],
        go: Callable[[Point], None],
        pause: Callable[[], None],
    ) -> Read:
        if self._spoilt:
            raise InputError(self._spoilt)
        try:
            return self._read_at(model, points, go, pause)
        except WrittenError as error:
            if self._settled:
                self._spoilt = _SPOILT
                raise InputError(_SPOILT) from error
            self._take_copies()
            return self._read_at(model, points, go, pause)

    def _take_copies(self) -> None:
        """From now on, hand everybody copies: somebody writes to what others need.

        Raises:
            InputError: If points are evaluated at once, where that can't be done.
        """
        if self._together is not None:
            raise InputError(_not_together(WRITTEN))
        self._model_writes = self._metrics_write = True
        self._ready.clear()
        self._resident.clear()
        self._known.clear()
        if self._replays is not None:
            self._give_up_recording(WRITTEN)

    def _read_at(
        self,
        model: nn.Module,
        points: Sequence[Point],
        go: Callable[[Point], None],
        pause: Callable[[], None],
    ) -> Read:
        penalties = self._take_points(model, points, go, pause)
        found: dict[str, Any] = {}
        for split in self.data:
            if self.own_loop:
                values = self._run_function(model, split)
            else:
                values = self._run_meters(model, split, pause)
            twice = found.keys() & values.keys()
            if twice:
                raise InputError(
                    f"Two metrics would be called {sorted(twice)[0]!r}; rename the split or the "
                    "metric."
                )
            found |= values
        for key, penalty in penalties.items():
            found[key] = found.get(key, 0.0) + penalty
        if not self._settled:
            self._read_weights()
            self._settled = True
        if self._together is None:
            return values_read(found)
        return columns_read(found, len(points))

    @torch.no_grad()
    def _take_points(
        self,
        model: nn.Module,
        points: Sequence[Point],
        go: Callable[[Point], None],
        pause: Callable[[], None],
    ) -> dict[str, Tensor]:
        """Take over the weights at points; return what these alone add to metrics, by key.

        That is computed from the model's own weights: what stands for the model may have folded its
        norms into them.
        """
        columns: dict[str, list[Tensor]] = {key: [] for key in self._penalties}
        for place in range(self.plan.points_at_once):  # never fewer: others would have other bits
            go(points[min(place, len(points) - 1)])
            for key, penalty in self._penalties.items():
                columns[key].append(penalty.of(model))
            if self._statistics is not None:
                self._statistics.estimate(model, pause)
            self._take(place)
        if self._replays is not None:
            self._replays.reading(tuple(tensor.data_ptr() for tensor in slots(model)))
        alone = self._together is None
        return {key: c[0] if alone else torch.stack(c) for key, c in columns.items()}

    def _take(self, place: int) -> None:
        """Take over the model's weights as they are now, where something stands for the model."""
        if self._folded is not None:
            self._folded.refresh()
        if self._cast is not None:
            self._cast.refresh()
        if self._together is not None:
            self._together.take(place)

    def _run_function(self, model: nn.Module, split: str) -> dict[str, Any]:
        found = self.metrics(model, self._loaders[split], self.device.type == "cuda")
        if not isinstance(found, Mapping) or not found:
            raise InputError(
                f"The metric function returned {found!r:.60}; wanted a dict with at least one "
                "metric, as {'ce': 0.3}."
            )
        for name in found:
            check_metric_name(name)
        values = {f"{split}_loss_{name}": value for name, value in found.items()}
        nothing = dict.fromkeys(values, math.nan)
        return values | self._beside(nothing, nothing)

    def _beside(self, standard: Mapping[str, Any], bootstrap: Mapping[str, Any]) -> dict[str, Any]:
        """Spell errors as what is known beside their metrics, those that are asked for."""
        asked = (
            (STANDARD_ERROR, standard, self.standard_error),
            (BOOTSTRAP_ERROR, bootstrap, self.bootstrap),
        )
        return {f"{kind}{key}": e for kind, errors, on in asked if on for key, e in errors.items()}

    @torch.no_grad()
    def _run_meters(
        self, model: nn.Module, split: str, pause: Callable[[], None]
    ) -> dict[str, Any]:
        meters = self._meters[split]
        for meter in meters.values():
            meter.reset()
        stay = self._settled and split in self._resident  # then one look at all of them is enough
        add = self._add_batch if stay or self._model_writes else self._add_watched
        with unwritten(self._resident.get(split, [])):
            for number, parts in enumerate(self._each(split)):
                pause()
                if not self._replayed(model, split, number, parts):
                    add(model, split, number, parts)
        return self._results(split)

    def _add_watched(self, model: nn.Module, split: str, number: int, parts: Parts) -> None:
        """Add a batch that nobody may write to; at the first point it is put back, too."""
        guarded = unwritten if self._settled else put_back_if_written
        with guarded(tensors_in(parts)):
            self._add_batch(model, split, number, parts)

    def _add_batch(self, model: nn.Module, split: str, number: int, parts: Parts) -> None:
        if self._together is not None:
            self._add_together(self._together, split, parts)
        elif self._metrics_write:
            self._add_copied(model, split, parts)
        else:
            self._add(model, split, number, parts)

    def _results(self, split: str) -> dict[str, Any]:
        """Return the result of every meter; of several numbers one key each.

        Raises:
            InputError: If two have one key.
        """
        found: dict[str, Any] = {}
        standard: dict[str, Any] = {}
        spread: dict[str, Any] = {}
        for key, meter in self._meters[split].items():
            values = results_of(key, meter, self._classes[split])
            twice = found.keys() & values.keys()
            if twice:
                name = sorted(twice)[0]
                raise InputError(f"Two metrics would be called {name!r}; rename one of them.")
            found |= values
            if self.standard_error:
                standard |= errors_of(values, meter.standard_error())
            if self.bootstrap:
                spread |= errors_of(values, meter.bootstrap_error(self._drawn[split]))
        if not self._settled:
            for key in found:
                check_metric_name(key.removeprefix(f"{split}_loss_"))
        return found | self._beside(standard, spread)

    def _add(self, model: nn.Module, split: str, number: int, parts: Parts) -> None:
        inputs, named, targets = parts
        outputs = self._outputs(model, inputs, named)
        if split in self._careful:
            with unwritten(tensors_in((outputs, targets))):
                self._judge(split, number, outputs, parts)
        else:
            self._judge(split, number, outputs, parts)

    def _judge(self, split: str, number: int, outputs: Any, parts: Parts) -> None:
        for key, meter in self._meters[split].items():
            known = self._known.get((split, number, key))
            if known is None:
                known = meter.known(outputs, parts[2])
                if split in self._ready and not _is_larger(known.targets, parts):
                    self._known[split, number, key] = known
            if isinstance(meter, MeanMeter):
                judged = meter.judge(outputs, known)
                meter.sum_up(judged)
                if self._replays is not None and self._settled:
                    self._weighed[split, number, key] = judged.weight, judged.weights
            else:
                meter.add(outputs, known)

    def _read_weights(self) -> None:
        """Make numbers of the weights that the first point found, with one read."""
        weights = {at: k.weight for at, k in self._known.items() if isinstance(k.weight, Tensor)}
        found = {at: weight for at, weight in weights.items() if not weight.ndim}
        if found:
            numbers = torch.stack(list(found.values())).tolist()
            for at, number in zip(found, numbers, strict=True):
                self._known[at] = self._known[at].weighing(number)

    def _add_copied(self, model: nn.Module, split: str, parts: Parts) -> None:
        inputs, named, targets = parts
        outputs = self._outputs(model, inputs, named)
        for meter in self._meters[split].values():
            mine = copied((outputs, targets))
            meter.add(mine[0], meter.known(*mine))

    def _add_together(self, together: Together, split: str, parts: Parts) -> None:
        for key, judged in self._judged_together(together, split, parts).items():
            self._mean_meters(split)[key].sum_up(judged)

    def _mean_meters(self, split: str) -> dict[str, MeanMeter]:
        return {k: m for k, m in self._meters[split].items() if isinstance(m, MeanMeter)}

    def _judged_together(self, together: Together, split: str, parts: Parts) -> dict[str, Judged]:
        """Return a batch's sums at all places, by key."""
        inputs, named, targets = parts
        meters = self._mean_meters(split)
        alike: dict[str, Judged] = {}  # what is the same at all points: the weights

        def sums(outputs: Any) -> dict[str, list[Tensor]]:
            outputs = self._judgeable(outputs)
            careful = split in self._careful
            with unwritten(tensors_in(outputs)) if careful else nullcontext():
                judged = {k: m.judge(outputs, m.known(outputs, targets)) for k, m in meters.items()}
            alike.update(judged)
            return {
                k: [j.total] if j.each is None else [j.total, j.each] for k, j in judged.items()
            }

        found = together.judge(inputs, named, sums)
        return {
            key: alike[key]._replace(total=total, each=each[0] if each else None)
            for key, (total, *each) in found.items()
        }

    # ----------------------------------------------------------------------- batches as recorded

    def _replayed(self, model: nn.Module, split: str, number: int, parts: Parts) -> bool:
        """Add a batch by replaying what was recorded for its shape; tell whether that was done.

        Two points are evaluated before anything is recorded: at the first weights become numbers,
        at the second is seen what sums are divided by.
        """
        if self._replays is None or not self._settled:
            return False
        try:
            if self._together is not None:
                found = self._replayed_together(self._replays, self._together, split, parts)
            elif any((split, number, key) not in self._weighed for key in self._meters[split]):
                return False
            else:
                found = self._replayed_alone(self._replays, model, split, number, parts)
        except UnrecordableError as error:
            self._give_up_recording(str(error))
            return False
        for key, judged in found.items():
            self._mean_meters(split)[key].sum_up(judged)
        return True

    def _replayed_together(
        self, replays: Replays, together: Together, split: str, parts: Parts
    ) -> dict[str, Judged]:
        return replays(split, parts, lambda given: self._judged_together(together, split, given))

    def _replayed_alone(
        self, replays: Replays, model: nn.Module, split: str, number: int, parts: Parts
    ) -> dict[str, Judged]:
        meters = self._mean_meters(split)
        known = {key: self._known[split, number, key] for key in meters}
        told = {
            key: (one.targets, one.kept, one.weights, one.count, one.places)
            for key, one in known.items()
        }

        def work(given: Any) -> dict[str, list[Tensor | None]]:
            (inputs, named, _), told = given
            outputs = self._outputs(model, inputs, named)
            found = {}
            for key, (targets, kept, weights, *_) in told.items():
                mine = replace(known[key], targets=targets, kept=kept, weights=weights)
                judged = meters[key].judge(outputs, mine)
                found[key] = [judged.total, judged.each]
            return found

        judged = {}
        for key, (total, each) in replays(split, (parts, told), work).items():
            weight, weights = self._weighed[split, number, key]
            judged[key] = Judged(total, weight, each, weights)
        return judged

    def _give_up_recording(self, reason: str) -> None:
        """Go on without, with the same values."""
        self.unrecorded, self._replays = reason, None
        self._weighed.clear()
        log.info("Batches are not replayed as CUDA graphs: %s", reason)

    def _why_unrecordable(self, model: nn.Module) -> str:
        """Return what keeps batches from being recorded, as far as it is known beforehand."""
        meters = [meter for own in self._meters.values() for meter in own.values()]
        reasons = {
            WRITTEN: self._metrics_write or self._model_writes,
            "data are sent to the device batch by batch": len(self._ready) < len(self.data),
            "torchmetrics keep accounts of their own": not all(
                isinstance(meter, MeanMeter) for meter in meters
            ),
            "the model lies on several devices": is_spread(model),
            "the model has sparse tensors": any(
                tensor.layout != torch.strided for tensor in slots(model)
            ),
        }
        return next((reason for reason, found in reasons.items() if found), "")

    def _standing_for(self, model: nn.Module) -> Callable[..., Any]:
        return model if self._call is None else self._call

    def _outputs(self, model: nn.Module, inputs: Any, named: Any) -> Any:
        return self._judgeable(self._standing_for(model)(*inputs, **named))

    def _judgeable(self, outputs: Any) -> Any:
        """Return outputs as metrics see them: what is in half precision in float32.

        A loss of a sample in bfloat16 has two to three digits.
        """
        own = self.plan.precision in {"model", "bf16"}
        return tree_map(_widened, outputs) if own else outputs

    def _each(self, split: str) -> Iterator[Parts]:
        """Yield the inputs, named inputs and targets of each batch, where they may be used."""
        if split in self._ready:
            yield from self._ready[split]
            return
        for batch in self._batches[split]:
            yield split_batch(copied(batch) if self._model_writes else batch, self._half)

    def _make_ready(self) -> None:
        """Take batches apart once where they are what is evaluated, and nobody writes to them."""
        for split, samples in self.data.items():
            if samples.form is None and not self._model_writes:
                self._ready[split] = [split_batch(b, self._half) for b in self._batches[split]]
                self._resident[split] = counters_of(tensors_in(self._ready[split]))

    def _prepare(self, model: nn.Module) -> None:
        """Make of the model what the plan evaluates.

        Raises:
            InputError: If the plan folds norms, and there are none that can be folded, or
                evaluates points at once, and model or metrics cannot.
        """
        self._call = self._cast = None
        network = model
        if self.plan.fold:
            self._folded = fold(model)
            if self._folded is None:
                raise InputError(
                    "The plan folds batch norms, but this model has none that can be folded, or "
                    "cannot be traced so that it follows its weights. Set fold: false in "
                    "evaluation.plan."
                )
            self._call, network = self._folded, self._folded.graph
        if self.plan.points_at_once > 1:
            self._put_together(model, network)
        elif kind := cast_of(self.plan):
            self._call = self._cast = Cast(network, kind)
        if self.plan.compile:
            self._call = torch.compile(self._standing_for(model))
        if self._replays is not None and (reason := self._why_unrecordable(model)):
            self._give_up_recording(reason)

    def _put_together(self, model: nn.Module, network: nn.Module) -> None:
        """Get ready for several points in one pass, and try it out.

        Raises:
            InputError: If model or metrics do what ``torch.func.vmap`` cannot.
        """
        meters = [meter for own in self._meters.values() for meter in own.values()]
        if self._model_writes or self._metrics_write:
            reason = WRITTEN
        elif any(getattr(meter, "held", ()) for meter in meters):
            reason = "a metric holds the model, whose weights differ from point to point"
        elif not all(isinstance(meter, MeanMeter) for meter in meters):
            reason = "torchmetrics keep accounts of one point"
        else:
            self._together = Together(network, self.plan.points_at_once, cast_of(self.plan))
            try:
                for split in self._batches:
                    with (
                        in_eval_mode(model),
                        torch.no_grad(),
                        fixed_randomness(),
                        no_autocast(),
                    ):
                        for place in range(self.plan.points_at_once):
                            self._together.take(place)
                        self._add_together(self._together, split, next(self._each(split)))
                return
            except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
                reason = str(error).partition("\n")[0]
        raise InputError(_not_together(reason))

    def _targets(self, split: str) -> list[Any]:
        """Return the targets of every batch; of the first alone where others must be fetched."""
        there = self._batches[split][:1] if self.data[split].form else self._batches[split]
        return [split_batch(batch)[2] for batch in there]

    def _settle(self, model: nn.Module) -> None:
        if kind := cast_of(self.plan):
            self._call = Cast(model, kind)
        with (
            watched(self.device),
            in_eval_mode(model),
            torch.no_grad(),
            fixed_randomness(),
            others_code(),
        ):
            for split in self._batches:
                self._settle_split(model, split)

    def _settle_split(self, model: nn.Module, split: str) -> None:
        inputs, named, targets = split_batch(copied(self._batches[split][0]), self._half)
        write = Written((inputs, named, targets))
        with blamed_on_the_batch(model, split, (inputs, named, targets)):
            outputs = self._outputs(model, inputs, named)
        self._model_writes |= write.now()
        refuse_stray_labels(self.metrics, outputs, self._targets(split))
        meters = meters_for(model, self.metrics, split, outputs, targets)
        rest = (split_batch(batch, self._half) for batch in self._batches[split][1:])
        hold_against(meters.values(), rest, (outputs, targets), partial(self._outputs, model))
        write = Written((outputs, targets))
        for key, meter in meters.items():
            if isinstance(meter, MeanMeter) and (self.standard_error or self.bootstrap):
                meter.samples = self.data[split].count
            meter.reset()
            with blamed_on_the_metric(key, outputs, targets):
                meter.add(outputs, meter.known(outputs, targets))
            if getattr(meter, "note", ""):
                self.notes[key] = meter.note  # type: ignore[union-attr]
        self._metrics_write |= write.now()
        if not all(map(writes_nothing, meters.values())):
            self._careful.add(split)
        self._meters[split] = meters


def _penalties(metrics: Any) -> dict[str, WeightDecay]:
    """Return what metrics say of the weights, by key: of the training data, as these decay."""
    named = metrics.items() if isinstance(metrics, Mapping) else ()
    found = {f"train_loss_{name}": penalty_of(metric) for name, metric in named}
    return {key: penalty for key, penalty in found.items() if penalty is not None}


def _widened(leaf: Any) -> Any:
    return leaf.float() if isinstance(leaf, Tensor) and leaf.dtype in HALF else leaf


def _is_larger(targets: Any, batch: Any) -> bool:
    """Tell whether targets made ready for a metric take more memory than their batch."""
    mine, whole = (
        sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(nest) if _is_tensor(leaf))
        for nest in (targets, batch)
    )
    return mine > whole


def _is_tensor(leaf: Any) -> bool:
    return isinstance(leaf, Tensor)


def _not_together(reason: str) -> str:
    return (
        f"Points cannot be evaluated at once: {reason}. Set points_at_once: 1 in evaluation.plan."
    )


def check_metric_name(name: Any, what: str = "metric") -> None:
    """Refuse names that could leave the results folder or break a file.

    Raises:
        InputError: If the name is empty, no text, too long, or holds ``/``, ``..`` or control
            characters.
    """
    wrong = (
        not isinstance(name, str)
        or not name.strip()
        or "/" in name
        or ".." in name
        or any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name)
    )
    if wrong:
        raise InputError(
            f"The {what} name {name!r} is refused: a name must be text, not empty, without '/', "
            "'..' or control characters."
        )
    if len(name.encode()) > LONGEST_NAME:
        raise InputError(
            f"The {what} name {name[:20]!r}... is longer than {LONGEST_NAME} bytes; shorten it."
        )


def _check_names(metrics: Any, data: Mapping[str, Samples]) -> None:
    for name in metrics if isinstance(metrics, Mapping) else ():
        check_metric_name(name)
    for split in data:
        check_metric_name(split, "split")


def prepare(
    data: Any, splits: Mapping[str, Any] | None = None, folder: Path | None = None
) -> dict[str, Samples]:
    """Gather the samples of the data and of every split, ``train`` first.

    Those that are larger than memory lie in ``folder``, or the system's for temporary files.

    Raises:
        InputError: If data are empty.
    """
    return {
        "train": gather(data, "train", folder),
        **{n: gather(split, n, folder) for n, split in (splits or {}).items()},
    }


def measure(
    model: nn.Module,
    values_at: ValuesAt,
    directions: Sequence[Direction],
    grid: Grid,
    indices: Sequence[int] | np.ndarray,
    *,
    known: Mapping[Point, Outcome] | None = None,
    record: Callable[[Point, Outcome], None] = lambda point, found: None,
    keys: Sequence[str] = (),
) -> Shard:
    """Evaluate the model at points of a grid, always from its own weights.

    The model, its modes, the global random state and the process's settings (see
    ``core.surroundings``) are afterwards what they were, also after an exception.  Every point
    starts from the same ones; which settings somebody changed is logged once.

    Points at which ``values_at`` returns a ``Failure`` in place of values become NaN.

    Args:
        model: At its trained weights, the centre.
        values_at: The model's metrics; keys must be the same everywhere.
        directions: One an axis.
        grid: Where the points belong.
        indices: Flat row-major indices of the points, in the order in which they are evaluated.
        known: Values, or failures, of points that need no evaluation, by coordinates.
        record: Called with every point's coordinates, and its values or failure, as soon as they
            are there.
        keys: The metric keys that are expected; left out, those of the first point.

    Returns:
        The shard with the values of all ``indices``.

    Raises:
        InputError: If the number of directions is not that of the axes, an index comes twice, or
            the metric keys differ between points.
        NoPointError: If every point failed, and nobody said which keys are expected.
    """
    if len(directions) != len(grid.axes):
        raise InputError(f"{len(directions)} directions for a grid of {len(grid.axes)} axes.")
    if not len(indices) or len(np.unique(indices)) < len(indices):
        raise InputError("A shard's indices must be different ones, and at least one.")
    known = dict(known or {})
    points = [tuple(float(step) for step in point) for point in grid.points(indices)]
    there = (known[point] for point in points if point in known)
    keys = keys or next((tuple(metrics_of(v)) for v in there if not isinstance(v, Failure)), ())
    missing = [point for point in points if point not in known]
    changed: set[str] = set()
    with (
        excursion(model, directions) as trip,
        fixed_randomness(),
        no_autocast(),
        kept_surroundings() as surroundings,
    ):

        def go(point: Point) -> None:
            trip.move(point)
            reseed()

        def begin(group: Sequence[Point]) -> Reading:
            with children_ended():
                read = _launched(values_at, model, group, go)
            _tell_changed(surroundings.put_back(), changed)
            return read

        def keep(group: Sequence[Point], read: Reading) -> None:
            nonlocal keys
            for point, values in zip(group, read(), strict=True):
                keys = keys if isinstance(values, Failure) else _same_keys(values, keys, point)
                record(point, values)
                known[point] = values

        size = getattr(values_at, "points_at_once", 1)
        ahead = getattr(values_at, "runs_ahead", False)
        _walk(missing, size, begin, keep, ahead=ahead)
    if trip.clamped:
        log.warning("%d running variances became negative and were held at zero.", trip.clamped)
    return _shard_of(grid, indices, [known[point] for point in points], points, keys)


def _shard_of(
    grid: Grid,
    indices: Sequence[int] | np.ndarray,
    outcomes: Sequence[Outcome],
    points: Sequence[Point],
    keys: Sequence[str],
) -> Shard:
    """Put what was found at points into columns; NaN where evaluating failed.

    Raises:
        NoPointError: If it failed everywhere, and no keys are given.
    """
    failures = {p: o for p, o in zip(points, outcomes, strict=True) if isinstance(o, Failure)}
    if not keys:
        first = next(iter(failures))
        raise NoPointError(f"Not one point could be evaluated. At {first}: {failures[first]}")
    ascending = np.argsort(indices)
    found: list[Values] = []
    for place in ascending:
        outcome, point = outcomes[place], points[place]
        values = dict.fromkeys(keys, math.nan) if isinstance(outcome, Failure) else outcome
        _same_keys(values, keys, point)
        found.append(values)
    columns = {key: np.array([values[key] for values in found]) for key in keys}
    names = sorted({key for values in found for key in values if is_beside(key)})
    beside = {name: np.array([values.get(name, math.nan) for values in found]) for name in names}
    own = np.asarray(indices)[ascending]
    failed = np.array([points[place] in failures for place in ascending], dtype=bool)
    told = tuple(told_of(failures))
    return Shard(grid, own, columns, beside=beside, failed=own[failed], failures=told)


@contextmanager
def others_code() -> Iterator[None]:
    """Run a user's code outside of a walk, as in one.

    Settings are put back, no child comes out of it, and precision is the plan's.
    """
    with kept_surroundings(), children_ended(), no_autocast():
        yield


def _tell_changed(now: Sequence[str], before: set[str]) -> None:
    """Say which settings others' code changed, each once."""
    new = [name for name in now if name not in before]
    before.update(new)
    if new:
        log.warning(
            "Model or metrics changed %s while a point was evaluated. It is put back after every "
            "point, so that no point depends on those before it; change it around your own lines "
            "alone, and back.",
            ", ".join(new),
        )


def _walk(
    missing: Sequence[Point],
    size: int,
    begin: Callable[[Sequence[Point]], Reading],
    keep: Callable[[Sequence[Point], Reading], None],
    *,
    ahead: bool,
) -> None:
    """Evaluate points in order, as many at once as ``size`` says, and keep what is found.

    Where the device works on its own, the values of a group are read while the next one is
    evaluated (``ahead``).  What was begun before an exception is kept.
    """
    begun: list[tuple[Sequence[Point], Reading]] = []
    try:
        for start in range(0, len(missing), size):
            group = missing[start : start + size]
            begun.append((group, begin(group)))
            if not ahead or len(begun) > 1:
                keep(*begun.pop(0))
    finally:
        while begun:
            keep(*begun.pop(0))


def _launched(
    values_at: Any,
    model: nn.Module,
    group: Sequence[Point],
    go: Callable[[Point], None],
) -> Reading:
    """Ask for a group of points at once where that is known, else for one after the other."""
    launch = getattr(values_at, "launch", None)
    if launch is not None:
        return launch(model, group, go)
    values: list[Outcome] = []
    for point in group:
        go(point)
        values.append(dict(values_at(model)))
    return lambda: values


@contextmanager
def no_autocast() -> Iterator[None]:
    """Evaluate in the plan's own precision, whatever the caller's is.

    Autocast would keep the first point's weights, cast, for all the others.
    """
    kinds = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def eval_loss(
    net: nn.Module, criterion: nn.Module, loader: Any, use_cuda: bool = False
) -> tuple[float, float]:
    """Return loss and accuracy of a model as it is now, over all of its data.

    The loss is what the module would give on the whole as one batch, whatever the sizes of the
    batches.  The model is evaluated in eval mode, and is afterwards what it was.

    Args:
        net: The model.
        criterion: Any loss module.
        loader: A ``DataLoader``, a ``Dataset``, or a tuple of tensors.
        use_cuda: Evaluate on the GPU; the CPU, with a warning, where there is none.

    Returns:
        The loss, and the accuracy in percent; NaN where outputs are no class scores.

    Raises:
        InputError: If ``criterion`` is no loss module.
    """
    if not isinstance(criterion, nn.Module):
        raise InputError(
            f"eval_loss got a {type(criterion).__name__} as criterion; wanted a loss module, as "
            "nn.CrossEntropyLoss()."
        )
    plan = plain_plan(net, choose_device("cuda" if use_cuda else "cpu"))
    data = prepare(as_batches(loader))
    with borrowed(net), rounding_kept():
        round_as(plan)
        lay_out_weights(net, plan.device, dtype_of(plan, own_types(net)), channels_last=False)
        evaluate = Evaluator(net, criterion, data, plan)
        here = measure(net, evaluate, [no_direction(net)], Grid((Axis(0, 0, 1),)), [0]).values
    return float(here["train_loss"][0]), float(here.get("train_acc", np.array([np.nan]))[0])


def _same_keys(
    values: Mapping[str, float], wanted: Sequence[str], point: tuple[float, ...]
) -> Sequence[str]:
    found = metrics_of(values)
    if wanted and set(found) != set(wanted):
        raise InputError(
            f"The metrics returned {sorted(found)} at the point {point}, but {sorted(wanted)} "
            "before; the names must be the same at every point."
        )
    return wanted or tuple(found)


def disagreement(
    found: Mapping[str, float], wanted: Mapping[str, float], counted: Container[str] = ()
) -> tuple[str, float]:
    """Return the key that differs most between two evaluations, and by how much (relative).

    NaN agrees with NaN, an infinity with itself; anything else against them differs by inf.
    Accuracies are left out: they move in steps of a sample, and losses are the sharper test.

    Args:
        found: By key.
        wanted: By key.
        counted: Other keys to leave out, of metrics that move in such steps.
    """
    worst = ("", 0.0)
    for key, value in metrics_of(wanted).items():
        other = value if Label.of(key).units == "%" or key in counted else found[key]
        if value == other or (math.isnan(value) and math.isnan(other)):
            continue
        apart = abs(other - value) / max(abs(value), abs(other))
        apart = apart if math.isfinite(apart) else math.inf
        if apart > worst[1]:
            worst = (key, apart)
    return worst
