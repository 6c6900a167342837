"""How a problem is evaluated fastest on this machine, and whether that can be trusted."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape_lib.config import EvaluationSettings
from landscape_lib.core.direction import Direction, create_random_direction, no_direction
from landscape_lib.core.errors import InputError
from landscape_lib.core.evaluator import Evaluator, Values, disagreement, measure
from landscape_lib.core.failures import Limits
from landscape_lib.core.folding import fold
from landscape_lib.core.graphs import RECORDERS
from landscape_lib.core.grid import Axis, Grid
from landscape_lib.core.lending import in_eval_mode
from landscape_lib.core.memory import lacks_memory
from landscape_lib.core.plan import Plan, choose_device
from landscape_lib.core.precision import agreement
from landscape_lib.core.randomness import fixed_randomness
from landscape_lib.steps.bench import Bench
from landscape_lib.steps.guarding import Evaluates, Guarded
from landscape_lib.steps.objective import first_batch
from landscape_lib.steps.usual import SIZES, usual_plan
from landscape_lib.utils.hashing import canonical, hash_text
from landscape_lib.utils.records import read_record, write_record

log = logging.getLogger(__name__)

AGREEMENT = 1e-5  # relative, in float32; what rounds more has more
LOOSE = 1e-3  # the same of a plan that is only asked whether it moves as the plain model does
NEAR = 0.1  # so far from the centre it is asked, or one that is given: rounding is hardly worse
SHARE = 0.05  # of the estimated run that the search may cost
TINY_S = 20.0  # a run that is estimated to last less is not worth a search
TINY_GPU_S = 2.0  # the same on a GPU, and the seconds that a search there may always take
COMPILE_S = 1800.0  # of a run that pays for the minute that compiling may take
WORTH_IT = 0.95  # another plan is taken when it needs at most this share of the best one's time
TRIALS = 24  # about so many timings a search makes
RUNS = 3  # of a trial, the first to get warm
RECORDED = 3  # more of what is replayed: after two it is recorded
CHECKED = 24  # samples that check the plan of a tiny run, or one that is given
PAYS = 32  # times as many are evaluated in a run that pays for this check
FEWEST = 64  # samples of a trial
LONGEST_S = 0.2  # that a trial of the plain model takes: longer ones tell no more
TOGETHER = (4, 16, 64)  # points at once
START = {"cpu": 64, "cuda": 1024}  # the batch size where the search begins


def settled_plan(
    bench: Bench,
    wishes: EvaluationSettings,
    grid: Grid,
    folder: Path | None,
    others: Plan | None = None,
) -> Plan:
    """Return the plan of a problem; once chosen it is kept in a folder and used again.

    It is the same whatever the grid: choosing anew must never throw points away.

    Args:
        bench: The problem.
        wishes: What the settings say.
        grid: How large the run is.
        folder: The journal's; None keeps nothing.
        others: What another model of this network is evaluated with: taken over, where it is
            right here too, so that both are evaluated alike.
    """
    asked = wishes.model_copy(update={"standard_error": True})  # no reason for another plan
    told = canonical([bench.parts["fingerprint"], asked.settings()])
    name = f"plan-{hash_text(told)}.json"
    kept = _kept(folder / name) if folder else None
    plan = kept or _taken_over(bench, wishes, others) or choose_plan(bench, wishes, grid)
    if folder and not kept:
        write_record(folder / name, plan.told())
    return plan


def _taken_over(bench: Bench, wishes: EvaluationSettings, others: Plan | None) -> Plan | None:
    """Return another model's plan where settings leave it open, and it agrees on a few samples."""
    if others is None or wishes.plan != "auto":
        return None
    base = others.plain()
    right = others == base or _is_right(bench.first(CHECKED), others, base)
    return others if right else None


def _kept(path: Path) -> Plan | None:
    try:
        return Plan(**read_record(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        log.warning(
            "%s: it cannot be used (%s); a plan is chosen anew. Points that were evaluated with "
            "another plan are kept, and not used.",
            *(path, error),
        )
        return None


def choose_plan(bench: Bench, wishes: EvaluationSettings, grid: Grid) -> Plan:
    """Find how to evaluate a problem: as the settings say, or what is fastest here.

    A search costs at most 5 % of the estimated run (on a GPU, or two seconds).  What it finds is
    trusted after it agreed with the plain model at the centre, and at weights moved by
    filter-normalized noise as far as 1 and as the grid's farthest corner: to 1e-5, or to what the
    precision rounds, or, where rounding alone moves the plain model by more, as near to float64 as
    the plain model.  Tiny runs do without a search: they take the usual plan, trusted after it
    agreed at the centre on a few samples, and where it folds norms, nearly so a step away.  A plan
    that is given is taken after it agreed on a few samples around the centre.

    Raises:
        InputError: If the settings' ``plan:`` cannot be read, or is not right here.
    """
    plain = Plan(choose_device(wishes.device), wishes.precision, None, torch.get_num_threads())
    if isinstance(wishes.plan, dict):
        plan = _read(wishes.plan, plain)
        _refuse_wrong(bench, plan)
        return plan
    fixed = None if wishes.batch_size == "auto" else int(wishes.batch_size)
    base = replace(plain, batch_size=fixed)
    if wishes.plan == "plain" or not all(s.whole for s in bench.data.values()):
        return base
    first = bench.samples_per_point if bench.own_loop else FEWEST
    if RUNS * first > SHARE / 5 * grid.size * bench.samples_per_point:
        return _usual(bench, base, grid)  # even a first look would cost a share of this
    search = _Search(bench, base, grid.size, fixed)
    if search.run_s < (TINY_S if torch.device(base.device).type == "cpu" else TINY_GPU_S):
        return _usual(bench, base, grid)
    plan = search.best()
    if plan == base or agrees(bench, plan, base, _distances(grid)):
        return plan
    return base


def _read(told: Mapping[str, Any], plain: Plan) -> Plan:
    try:
        return Plan(**{**vars(plain), **told})
    except TypeError as error:
        raise InputError(
            f"evaluation.plan is {dict(told)}; its keys are {sorted(vars(plain))}."
        ) from error


def _refuse_wrong(bench: Bench, plan: Plan) -> None:
    """Raise unless a plan gives the plain model's values around the centre, on a few samples.

    Points are evaluated in groups, and as often as it takes until what is recorded is replayed.
    Compiling, which takes a minute and changes no more than rounding, is left out; so is a loop of
    one's own, which calls the model as it is.

    Raises:
        InputError: If it does not.
        Exception: Whatever the model or a metric raises, but for lack of memory.
    """
    plan = replace(plan, compile=False)
    plain = replace(plan.plain(), batch_size=plan.batch_size)
    if plan == plain or bench.own_loop:
        return
    few, model = _few(bench), bench.problem.model
    grid = Grid((Axis(0.0, NEAR, (RECORDED + 1 if plan.graph else 2) * plan.points_at_once),))
    direction = create_random_direction(model, seed=0)

    def values(plan: Plan) -> list[Values]:
        guarded = Guarded(few.evaluator(plan), Limits(bench.limits.on_error))
        columns = measure(model, guarded, [direction], grid, range(grid.size)).values
        return [{key: float(c[i]) for key, c in columns.items()} for i in range(grid.size)]

    try:
        found, wanted = values(plan), values(plain)
    except Exception as error:
        if not lacks_memory(error):
            raise
        return  # with half as much at once, as the run will go on, it is another plan
    wrong = _first_apart(few, plan, plain, grid.axes[0].steps().tolist(), found, wanted)
    if wrong is None:
        return
    key, apart, distance = wrong
    chosen = {name: value for name, value in plan.told().items() if value != vars(plain)[name]}
    raise InputError(
        f"evaluation.plan: with {chosen}, {key} differs by {apart:.1e} from the plain model, "
        f"{distance:g} from the centre. Does a metric or the model use a weight other than as the "
        "model's own attribute, as from a list or a closure? Leave out of the plan what is wrong "
        f"({', '.join(chosen)}), or say plan: plain."
    )


def _few(bench: Bench) -> Bench:
    """Return the problem on its first samples, or its first batch where none can be cut."""
    data = {
        name: samples.first(CHECKED) if samples.whole else first_batch(samples, None)
        for name, samples in bench.data.items()
    }
    return replace(bench, data=data, standard_error=False, bootstrap=0)


def _usual(bench: Bench, base: Plan, grid: Grid) -> Plan:
    """Return the usual plan where it pays for its check, on a few samples."""
    if PAYS * CHECKED > grid.size * bench.samples_per_point:
        return base
    plan = usual_plan(bench, base)
    if plan == base:
        return base
    size = base.batch_size
    if size is None:  # cut unlike the plain model's: does a metric depend on the batch?
        size = 2 * CHECKED // 3 if bench.batch_size >= CHECKED else CHECKED
    try:
        same = _is_right(bench.first(CHECKED), replace(plan, batch_size=size), base)
    except Exception as error:
        log.info("This plan does not run (%s): %s", _first_line(error), plan.canonical())
        return base
    return plan if same else base


def _is_right(few: Bench, plan: Plan, plain: Plan) -> bool:
    """Tell whether a plan agrees at the centre; where it folds norms, a small step away as well.

    There every weight and statistic has moved: what a folded network holds for good has not.
    """
    if not plan.fold:
        return agrees(few, plan, plain, [0.0])
    return agrees(few, plan, plain, [0.0, NEAR], "states")


def _distances(grid: Grid) -> list[float]:
    corner = float(np.abs(grid.points([0, grid.size - 1])).max())
    return sorted({0.0, 1.0, corner})


class _Search:
    """Times plans on a few samples, one choice after the other, while the budget lasts."""

    def __init__(self, bench: Bench, base: Plan, points: int, fixed: int | None) -> None:
        self._bench, self._base, self._fixed = bench, base, fixed
        self._points = points
        self._kind = torch.device(base.device).type
        self._times: dict[Plan, float] = {}
        whole = bench.data["train"]
        self._few = whole if bench.own_loop else whole.first(FEWEST)
        self._start = time.perf_counter()
        self.run_s = points * bench.samples_per_point * self._seconds(base)
        self._budget, least = SHARE * self.run_s, FEWEST
        if self._kind != "cpu":  # libraries are loaded now, which the run would have paid, too
            self._start = time.perf_counter()
            self._budget, least = max(self._budget, TINY_GPU_S), START[self._kind]
        if not bench.own_loop:
            trial_s = min(LONGEST_S, self._budget / TRIALS / RUNS)
            self._few = whole.first(max(least, int(trial_s / self._seconds(base))))

    def best(self) -> Plan:
        """Return the fastest plan found; the base where nothing is clearly faster."""
        self._times.clear()
        best = self._base
        with fixed_randomness():
            for candidates in self._choices():
                for plan in candidates(best):
                    if self._spent() > self._budget:
                        break
                    if self._time(plan) < WORTH_IT * self._time(best):
                        best = plan
        log.info(
            "Plan found among %d in %.1f s: %.2f of the plain model's time; %s",
            len(self._times),
            self._spent(),
            self._time(best) / self._time(self._base),
            best.canonical(),
        )
        return best

    def _spent(self) -> float:
        return time.perf_counter() - self._start

    def _choices(self) -> Sequence[Callable[[Plan], Iterator[Plan]]]:
        """What is tried, in turn; a user's own loop over batches is called with its own batches."""
        if self._bench.own_loop:
            return (self._layouts, self._threads)
        return (
            self._shapes,
            self._recorded,
            self._sizes,
            self._threads,
            self._together,
            self._compiled,
        )

    def _shapes(self, best: Plan) -> Iterator[Plan]:
        """Layouts and folding, at a batch size that suits the kind of machine."""
        size = self._fixed or min(START[self._kind], self._few.count)
        if fold(self._bench.problem.model) is not None:
            yield replace(best, fold=True, channels_last=True, batch_size=size)
            if self._kind != "cpu":  # exact float32 may like it there; a CPU never does
                yield replace(best, fold=True, batch_size=size)
        yield from self._layouts(replace(best, batch_size=size))
        yield replace(best, batch_size=size)

    def _layouts(self, best: Plan) -> Iterator[Plan]:
        """Images channels last, where there are any."""
        if any(isinstance(module, nn.Conv2d) for module in self._bench.problem.model.modules()):
            yield replace(best, channels_last=True)

    def _sizes(self, best: Plan) -> Iterator[Plan]:
        """Batch sizes upwards, then downwards, for as long as they are not clearly worse."""
        if self._fixed:
            return
        here = best.batch_size or self._few.batch_size or START[self._kind]
        sizes = sorted({*(s for s in SIZES if s < self._few.count), self._few.count})
        for way in ([s for s in sizes if s > here], [s for s in sizes[::-1] if s < here]):
            for size in way:
                plan = replace(best, batch_size=size)
                yield plan
                if self._times.get(plan, 0.0) > 1.1 * min(self._times.values()):
                    break

    def _threads(self, best: Plan) -> Iterator[Plan]:
        """One thread on a CPU: small layers gain nothing from more, and wait for each other."""
        if self._kind == "cpu" and best.threads > 1:
            yield replace(best, threads=1)

    def _recorded(self, best: Plan) -> Iterator[Plan]:
        """CUDA graphs, where there are any."""
        if self._kind in RECORDERS:
            yield replace(best, graph=True)

    def _together(self, best: Plan) -> Iterator[Plan]:
        """Several points at once, for as long as more of them are faster, and can be tried."""
        for count in TOGETHER:
            trial_s = RUNS * count * self._few.count * self._time(best)
            if trial_s > self._budget / 4 or 8 * count > SHARE * self._points:
                return
            plan = replace(best, points_at_once=count)
            yield plan
            if self._times.get(plan, 0.0) > min(self._times.values()):
                return

    def _compiled(self, best: Plan) -> Iterator[Plan]:
        if self.run_s >= COMPILE_S and best.points_at_once == 1:
            yield replace(best, compile=True)

    def _time(self, plan: Plan) -> float:
        if plan not in self._times:
            self._times[plan] = self._seconds(plan)
        return self._times[plan]

    def _seconds(self, plan: Plan) -> float:
        """Return seconds a sample, the best of a few runs."""
        torch.set_num_threads(plan.threads)
        model = self._bench.problem.model
        self._bench.lay_out(plan)
        try:
            evaluate = self._bench.evaluator_on({"train": self._few}, plan)
            with in_eval_mode(model):
                runs = RUNS + (RECORDED if plan.graph else 0)
                seconds = min(_timed(evaluate, model) for _ in range(runs))
            if evaluate.unrecorded:
                return float("inf")  # it is the plan without, which was tried
            return seconds / self._few.count / plan.points_at_once
        except Exception as error:
            if plan == self._base:
                raise
            log.info("This plan does not run (%s): %s", _first_line(error), plan.canonical())
            return float("inf")


def _timed(evaluate: Evaluator, model: nn.Module) -> float:
    start = time.perf_counter()
    evaluate.several(model, [()] * evaluate.points_at_once, lambda point: None)
    return time.perf_counter() - start


def _first_line(error: BaseException) -> str:
    error = error.__cause__ or error  # what the model itself raised
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def agrees(
    bench: Bench, plan: Plan, plain: Plan, distances: Sequence[float], dir_type: str = "weights"
) -> bool:
    """Tell whether a plan gives the plain model's values, and log what differs where not.

    Where a plan evaluates several points at once, each must have the same bits whatever the others
    are: else values would depend on how the grid was cut into shards.  Where it replays CUDA
    graphs, each must have the bits that it has without: else they would depend on how many came
    before.

    Args:
        bench: The problem.
        plan: Asked about.
        plain: That of the plain model.
        distances: Where, from the centre.
        dir_type: Along what; of ``states``, values away from the centre need only be near.
    """
    reach = max(distances) or 1.0
    if plan.graph and not _replays_the_same(bench, plan, reach):
        log.warning("Replaying CUDA graphs changes bits: this plan is dropped: %s", plan)
        return False
    if plan.points_at_once > 1 and not _keeps_points_apart(bench, plan, reach):
        log.warning("The bits of a point depend on its neighbours: this plan is dropped: %s", plan)
        return False
    found, wanted = (
        values_along(bench, bench.evaluator(p), distances, dir_type) for p in (plan, plain)
    )
    wrong = _first_apart(bench, plan, plain, distances, found, wanted, dir_type)
    if wrong is not None:
        log.warning(
            "%s differs by %.1e from the plain model, %g from the centre: this plan is dropped: %s "
            "Does the metric depend on the batch?",
            *(*wrong, plan.canonical()),
        )
    return wrong is None


def _first_apart(
    bench: Bench,
    plan: Plan,
    plain: Plan,
    distances: Sequence[float],
    found: Sequence[Values],
    wanted: Sequence[Values],
    dir_type: str = "weights",
) -> tuple[str, float, float] | None:
    """Return the key, by how much, and where a plan first differs from the plain model's values."""
    for distance, one, other in zip(distances, found, wanted, strict=True):
        key, apart = disagreement(one, other, bench.counted(other))
        exact = LOOSE if distance and dir_type == "states" else AGREEMENT
        if apart > agreement(plan, exact) and not _as_near_to_the_truth(
            bench, plain, ([distance], dir_type), one, other
        ):
            return key, apart, distance
    return None


def _keeps_points_apart(bench: Bench, plan: Plan, reach: float) -> bool:
    """Evaluate two groups of points, then some of them among others, and one alone."""
    evaluator, model, count = bench.evaluator(plan), bench.problem.model, plan.points_at_once
    direction = create_random_direction(model, seed=0)
    grid = Grid((Axis(-(reach or 1.0), reach or 1.0, 2 * count),))

    def values(indices: range) -> dict[str, np.ndarray]:
        guarded = Guarded(evaluator, Limits(bench.limits.on_error))
        shard = measure(model, guarded, [direction], grid, indices)
        return {**shard.values, **shard.beside}

    whole = values(range(2 * count))
    for some in (range(count // 2 + 1, count // 2 + 1 + count), range(count + 1, count + 2)):
        again = values(some)
        if any(again[k].tobytes() != v[some.start : some.stop].tobytes() for k, v in whole.items()):
            return False
    return True


def _replays_the_same(bench: Bench, plan: Plan, reach: float) -> bool:
    """Evaluate as many groups of points as are recorded and replayed, with and without."""
    model, count = bench.problem.model, (RECORDED + 1) * plan.points_at_once
    direction = create_random_direction(model, seed=0)
    grid = Grid((Axis(-reach, reach, count),))

    def values(plan: Plan) -> list[bytes]:
        shard = measure(model, bench.evaluator(plan), [direction], grid, range(count))
        return [column.tobytes() for column in {**shard.values, **shard.beside}.values()]

    return values(plan) == values(replace(plan, graph=False))


def _as_near_to_the_truth(
    bench: Bench, plain: Plan, place: tuple[list[float], str], found: Values, other: Values
) -> bool:
    """Tell whether a plan is as near to float64 as the plain model: then rounding is all it is."""
    if plain.precision == "float64":
        return False
    exact = bench.evaluator(replace(plain, precision="float64"))
    (truth,) = values_along(bench, exact, *place)
    bench.evaluator(plain)  # puts the model back into its type
    counted = bench.counted(truth)
    own = disagreement(other, truth, counted)[1]
    return disagreement(found, truth, counted)[1] <= agreement(plain, AGREEMENT) + 2 * own


def values_along(
    bench: Bench,
    evaluator: Evaluates,
    distances: Sequence[float],
    dir_type: str = "weights",
) -> list[Values]:
    """Evaluate at distances from the centre along one filter-normalized random direction.

    Of type ``weights`` it leaves biases and norms; of ``states`` it moves all that can move.

    Where the problem's ``limits`` say so, what fails away from the first of them is NaN.
    """
    limits = Limits(bench.limits.on_error)
    model = bench.problem.model
    direction = _noise(model, dir_type) if any(distances) else no_direction(model)
    found: list[Values] = []
    for step in distances:
        guarded = Guarded(evaluator, limits if found else Limits())
        place = ([direction], Grid((Axis(step, step, 1),)), [0])
        shard = measure(model, guarded, *place, keys=tuple(found[0]) if found else ())
        found.append({key: float(values[0]) for key, values in shard.values.items()})
    return found


def _noise(model: nn.Module, dir_type: str) -> Direction:
    if dir_type == "states":
        try:
            return create_random_direction(model, "states", None, seed=0)
        except InputError:  # as a complex buffer, where only weights can move
            pass
    return create_random_direction(model, seed=0)
