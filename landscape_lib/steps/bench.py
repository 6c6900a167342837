"""Whose landscape it is, built and ready to be measured."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from landscape_lib.config import EvaluationSettings, Experiment
from landscape_lib.core.batchnorm import Reestimation
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, prepare
from landscape_lib.core.failures import Limits
from landscape_lib.core.keys import labels_for
from landscape_lib.core.lending import lay_out_weights
from landscape_lib.core.plan import Plan
from landscape_lib.core.precision import (
    HALF,
    Types,
    exact_precision,
    own_types,
    round_as,
    rounding_kept,
    said_of,
    types_for,
)
from landscape_lib.core.samples import DEFAULT_BATCH_SIZE, Samples
from landscape_lib.problems.build import build_problem
from landscape_lib.problems.checkpoint import load_checkpoint
from landscape_lib.problems.naming import metrics_from
from landscape_lib.problems.problem import Problem
from landscape_lib.problems.source import code_hash, metrics_code, split_name
from landscape_lib.utils.fingerprint import problem_fingerprint
from landscape_lib.utils.hashing import hash_text
from landscape_lib.utils.samplestore import load_samples, store_samples

log = logging.getLogger(__name__)

WORTH_KEEPING_S = 2.0  # samples that are read faster are read anew


@dataclass(frozen=True)
class Bench:
    """A built problem with its samples gathered and its fingerprint taken.

    Attributes:
        problem: What the user's function returned.
        data: For every split its samples.
        parts: What decides its values, part by part; ``parts["fingerprint"]`` is the hash of all.
        reestimation: How batch norms' running statistics are estimated anew at every point; None:
            they are not.
        curvature: Whether every point gets the ends of the Hessian's spectrum as well, and on how
            many samples: all (True), or at most so many.
        types: In which the model came, tensor by tensor.
        standard_error: Whether every metric comes with its sampling error.
        bootstrap: Over how many bootstrap samples its spread is taken, too; 0: over none.
        limits: What becomes of points that cannot be evaluated.
    """

    problem: Problem
    data: Mapping[str, Samples]
    parts: Mapping[str, Any]
    reestimation: Reestimation | None = None
    curvature: bool | int = False
    types: Types = field(default_factory=dict)
    standard_error: bool = True
    bootstrap: int = 0
    limits: Limits = field(default_factory=Limits)

    @property
    def own_loop(self) -> bool:
        """Whether the metrics are a function that runs its own loop over the data."""
        return not isinstance(self.problem.metrics, nn.Module | Mapping)

    @property
    def samples_per_point(self) -> int:
        """Samples that one point costs."""
        return sum(samples.count for samples in self.data.values())

    @property
    def batch_size(self) -> int:
        """Samples a batch where a plan says nothing."""
        return self.data["train"].batch_size or DEFAULT_BATCH_SIZE

    def counted(self, keys: Iterable[str]) -> frozenset[str]:
        """Return the keys that move in steps of a sample, unless all of them do."""
        labels = labels_for(self.problem.metrics, list(keys))
        found = frozenset(key for key, label in labels.items() if label.units == "%")
        return found if len(found) < len(labels) else frozenset()

    def first(self, count: int) -> "Bench":
        """Return the problem on the first samples of every split; whole for a loop of its own."""
        if self.own_loop or count >= max(samples.count for samples in self.data.values()):
            return self
        return replace(self, data={n: samples.first(count) for n, samples in self.data.items()})

    def evaluator(self, plan: Plan) -> Evaluator:
        """Move the model to where and how the plan wants it, and return what evaluates it.

        Raises:
            InputError: If the plan needs a device that this machine lacks.
        """
        if plan.device.startswith("cuda") and not torch.cuda.is_available():
            raise InputError(
                f"The plan in probe.json runs on {plan.device!r}, but there is no CUDA here. Run "
                "where there is, or remove probe.json and the journal's copy to choose anew."
            )
        torch.set_num_threads(plan.threads)
        self.lay_out(plan)
        return self.evaluator_on(self.data, plan)

    def lay_out(self, plan: Plan) -> None:
        """Move the model to where and how the plan wants it, and let torch round as it says.

        Raises:
            InputError: If the plan's GPU cannot round so.
        """
        round_as(plan)
        wanted = types_for(plan, self.types)
        lay_out_weights(self.problem.model, plan.device, wanted, channels_last=plan.channels_last)

    def exact(self, plan: Plan) -> Plan:
        """Return a plan that rounds nowhere more than float32, as derivatives need it."""
        if plan.precision in {"float32", "float64"}:
            return plan
        own = plan.precision == "model"
        return replace(plan, precision=exact_precision(self.types) if own else "float32")

    def evaluator_on(self, data: Mapping[str, Samples], plan: Plan) -> Evaluator:
        """Return what evaluates the model, where it is, on other samples."""
        problem = self.problem
        return Evaluator(
            problem.model,
            problem.metrics,
            data,
            plan,
            self.reestimation,
            standard_error=self.standard_error,
            bootstrap=self.bootstrap,
        )


def set_up(experiment: Experiment, probed: Mapping[str, Any] | None = None) -> Bench:
    """Build a run's problem, read its data once, and take its fingerprint.

    Data that take long to read are kept beside the journal when the problem is probed, and mapped
    into memory by every shard.

    Args:
        experiment: The run.
        probed: What the probe found the problem to be; None when it is the probe that asks.
    """
    problem = problem_of(experiment)
    code, args = code_hash(split_name(experiment.problem)[0]), experiment.args
    if experiment.metrics is not None:
        problem = replace(problem, metrics=metrics_from(experiment.metrics))
        code = hash_text(code + metrics_code(experiment.metrics))
        args = {"args": args, "metrics": experiment.metrics.plain()}
    sets = {"train": problem.data, **problem.splits}
    folder, hashes = experiment.path("journal"), dict((probed or {}).get("data", {}))
    known = load_samples(folder, hashes, sets) if hashes else None
    start = time.monotonic()
    bench = lay_out(
        experiment.name,
        problem,
        code=code,
        args=args,
        wishes=experiment.evaluation,
        data=known or prepare(problem.data, problem.splits, folder),
        hashes=hashes if known else None,
    )
    if probed is None and time.monotonic() - start > WORTH_KEEPING_S:
        store_samples(folder, bench.parts["data"], bench.data)
    return bench


def problem_of(experiment: Experiment) -> Problem:
    """Build a run's problem: of a frame of a film, at its checkpoint's weights.

    Raises:
        InputError: If it cannot be built, or the checkpoint does not fit the model.
    """
    problem = build_problem(experiment.problem, experiment.args)
    if experiment.frame is not None:
        checkpoint = experiment.frame.checkpoint
        problem.model.load_state_dict(load_checkpoint(checkpoint, problem.model))
    return problem


def reestimation_of(wishes: EvaluationSettings) -> Reestimation | None:
    """Return what settings say of running statistics that are estimated anew."""
    frozen = wishes.batch_norm == "frozen"
    return None if frozen else Reestimation(wishes.batch_norm_samples)


def lay_out(
    name: str,
    problem: Problem,
    *,
    code: str,
    args: Mapping[str, Any],
    wishes: EvaluationSettings,
    data: Mapping[str, Samples] | None = None,
    hashes: Mapping[str, str] | None = None,
) -> Bench:
    """Read a problem's data once, and take its fingerprint.

    Args:
        name: What to call it in the log.
        problem: At its trained weights.
        code: Hash of the code that builds model and metrics.
        args: What that code was called with.
        wishes: In what precision it is evaluated, and what else is done at every point.
        data: The problem's samples where they were read before.
        hashes: Of their content, where it is known.
    """
    reestimation = reestimation_of(wishes)
    asked: dict[str, Any] = (
        {} if reestimation is None else {"reestimated_on": reestimation.samples or "all"}
    )
    asked |= {"curvature": wishes.curvature} if wishes.curvature else {}
    asked |= {"bootstrap": wishes.bootstrap} if wishes.bootstrap else {}
    data = data or prepare(problem.data, problem.splits)
    types = own_types(problem.model)
    parts = problem_fingerprint(
        problem.model,
        data,
        code=code,
        args=args,
        evaluation={"precision": wishes.precision, **asked},
        metrics=problem.metrics,
        hashes=hashes,
    )
    log.info(
        "%s: %s parameters, %s",
        name,
        f"{sum(p.numel() for p in problem.model.parameters()):,}",
        ", ".join(f"{samples.count:,} {split} samples" for split, samples in data.items()),
    )
    if any(kind in HALF for kind in types.values()):
        log.info("%s: its weights are %s; they are %s", name, said_of(types), _how(wishes))
    errors = (wishes.standard_error, wishes.bootstrap or 0)
    wanted = (*errors, wishes.limits)
    return Bench(problem, data, parts, reestimation, wishes.curvature, types, *wanted)


def _how(wishes: EvaluationSettings) -> str:
    """Say what becomes of weights in half precision."""
    if wishes.precision == "model":
        return (
            "moved in float32, then rounded once to their own type, in which the model is "
            "evaluated. A step below that type's spacing moves few of them; 'precision: float32' "
            "shows every step."
        )
    return (
        f"moved and evaluated in {wishes.precision}, which holds them exactly. 'precision: model' "
        "evaluates the model in its own type."
    )


@contextmanager
def settings_kept() -> Iterator[None]:
    """Give torch's threads and rounding, which ``Bench.evaluator`` sets, back as they were."""
    threads = torch.get_num_threads()
    try:
        with rounding_kept():
            yield
    finally:
        torch.set_num_threads(threads)


def refuse_changed(
    found: Mapping[str, Any], wanted: Mapping[str, Any], experiment: Experiment
) -> None:
    """Raise unless a problem is the one that was probed.

    Raises:
        InputError: If any part differs; the message names the parts.
    """
    changed = [part for part in wanted if part != "fingerprint" and found.get(part) != wanted[part]]
    if changed:
        paths = [str(experiment.path(name)) for name in ("probe.json", "directions.h5")]
        raise InputError(
            f"{experiment.name}: the problem is not the one that was probed: its "
            f"{', '.join(changed)} changed (of files that args name, the content counts). Does it "
            "read a file that the config doesn't name under 'files:', or draw random numbers "
            f"without a seed? To start anew: rm -f {' '.join(paths)}, and type the same command "
            "again."
        )
