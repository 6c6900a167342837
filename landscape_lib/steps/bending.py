"""Where a path between two minima bends so that the loss along it is low."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from landscape_lib.config import DirectionSettings
from landscape_lib.core.bend import CURVES
from landscape_lib.core.curvature import Objective, UnmeasurableError
from landscape_lib.core.direction import Direction, movable, noise_stream, refuse_bent
from landscape_lib.core.errors import InputError
from landscape_lib.core.lending import borrowed
from landscape_lib.core.plan import Plan
from landscape_lib.core.samples import Samples
from landscape_lib.steps.bench import Bench, settings_kept
from landscape_lib.steps.objective import objective_of, smooth_loss
from landscape_lib.utils.hashing import canonical, hash_text
from landscape_lib.utils.progress import Progress
from landscape_lib.utils.storage import content_hash, load_directions, save_directions

log = logging.getLogger(__name__)

VERSION = 1  # of what a bend is trained by: another number, and kept ones are not taken


def bent(
    bench: Bench,
    plan: Plan,
    chord: Direction,
    settings: DirectionSettings,
    folder: Path | None = None,
    pause: Callable[[], None] = lambda: None,
) -> Direction:
    """Return the path to what lies at 1, its bend trained so that the loss along it is low.

    The bend theta minimises  E_t L(phi_theta(t)),  t uniform in [0, 1], phi as ``core.bend`` has
    it; L is the first loss of the training data that torch differentiates, as it is evaluated: with
    frozen running statistics, those along the path, or each batch's own where they are estimated
    anew.  theta begins half-way between the ends, and every batch draws a t; Adam's rate falls
    evenly to zero.  The model is afterwards what it was.

    Args:
        bench: The problem.
        plan: Where, in which precision and batches gradients are taken.
        chord: Straight to the other model.
        settings: Shape of the path, and how its bend is trained.
        folder: Where bends are kept: one that was trained before is read.  None keeps none.
        pause: Called between batches; may raise to abandon the work.

    Raises:
        InputError: If torch differentiates no loss of the problem, training diverges, or the way
            to the other model moves some layers alone.

    Source:
        Garipov et al. (2018), Loss Surfaces, Mode Connectivity, and Fast Ensembling of DNNs,
        section 3.  They train by gradient descent with momentum.
    """
    if "layers" in chord.attributes:
        refuse_bent([replace(chord, bend=chord)], "move in some layers alone")
    keys = ("curve", "bend_epochs", "bend_rate", "bend_seed")
    told = {key: getattr(settings, key) for key in keys}
    parts = [VERSION, bench.parts["fingerprint"], content_hash([chord]), plan.batch_size, told]
    mark = hash_text(canonical(parts))
    kept = None if folder is None else folder / f"bend-{mark[:16]}.h5"
    if kept is not None and kept.exists():
        log.info("%s: this path was trained before.", kept)
        (bend,) = load_directions(kept)
    else:
        bend = _trained(bench, plan, chord, settings, pause)
        if kept is not None and settings.bend_epochs:
            kept.parent.mkdir(parents=True, exist_ok=True)
            save_directions(kept, [bend])
    return replace(chord, bend=bend, attributes={**chord.attributes, **told})


def _trained(
    bench: Bench,
    plan: Plan,
    chord: Direction,
    settings: DirectionSettings,
    pause: Callable[[], None],
) -> Direction:
    half = [tensor / 2 for tensor in chord]
    if settings.bend_epochs:
        with borrowed(bench.problem.model), settings_kept():
            samples = bench.evaluator(plan).data["train"]
            try:
                objective = objective_of(
                    bench, smooth_loss(bench, samples), samples, plan.batch_size
                )
            except UnmeasurableError as error:
                raise InputError(f"curve: {settings.curve}: {error}.") from error
            training = _Training(bench, objective, chord, half, settings)
            half = training.run(pause)
    try:
        return Direction(chord.names, tuple(half), {"dir_type": chord.attributes["dir_type"]})
    except InputError as error:
        raise InputError(
            f"curve: {settings.curve}: training diverged ({error}) Take a smaller bend_rate."
        ) from error


class _Training:
    """The bend of one path, on its way to where the loss along the path is low."""

    def __init__(
        self,
        bench: Bench,
        objective: Objective,
        chord: Direction,
        half: list[Tensor],
        settings: DirectionSettings,
    ) -> None:
        self._objective, self._settings = objective, settings
        self._fresh = bench.reestimation is not None
        moving = movable(bench.problem.model, str(chord.attributes["dir_type"]))
        self._names = chord.names
        self._base = [weight.detach().clone() for weight in moving.values()]
        like = list(zip(self._base, chord, half, strict=True))
        self._chord = [d.to(base.device, base.dtype) for base, d, _ in like]
        self._bend = [d.to(base.device, base.dtype, copy=True) for base, _, d in like]
        pairs = zip(self._names, self._bend, strict=True)
        # running statistics follow the weights half-way, as they are: the loss has no slope by them
        self._leaves = [d.requires_grad_() for name, d in pairs if name in objective.names]

    def run(self, pause: Callable[[], None]) -> list[Tensor]:
        """Train, and return theta - w0, in float64."""
        stream = noise_stream(self._settings.bend_seed)
        samples, size = self._objective.samples, self._objective.batch_size
        each = len(samples.cut(size))
        epochs = self._settings.bend_epochs
        optimizer = torch.optim.Adam(self._leaves)
        progress = Progress("bend of the path", epochs * each, size or 1, "step")
        losses: list[float] = []
        try:
            for epoch in range(epochs):
                losses = []
                for batch in _shuffled(samples, size, stream):
                    pause()
                    left = 1 - (epoch * each + len(losses)) / (epochs * each)
                    optimizer.param_groups[0]["lr"] = self._settings.bend_rate * left
                    losses.append(self._step(float(stream.random()), batch))
                    optimizer.step()
                    progress.step()
        finally:
            progress.close()
        log.info(
            "%s of the path: %.6g in the last of %d epochs, a mean over the whole path.",
            self._objective.key,
            np.mean(losses),
            epochs,
        )
        return [tensor.detach().to("cpu", torch.float64) for tensor in self._bend]

    def _step(self, t: float, batch: Any) -> float:
        """Put the gradient at a place of the path into the bend; return the loss there."""
        a, b = CURVES[self._settings.curve](t)
        rows = zip(self._names, self._base, self._bend, self._chord, strict=True)
        weights = {name: base + (a * bend + b * chord) for name, base, bend, chord in rows}
        loss, slope = self._objective.slope(
            weights, self._leaves, batch, batch_statistics=self._fresh
        )
        for leaf, gradient in zip(self._leaves, slope, strict=True):
            leaf.grad = gradient
        return loss


def _shuffled(samples: Samples, size: int | None, stream: np.random.Generator) -> Iterator[Any]:
    """Yield all samples in batches, in a new order; what cannot be cut, batch by batch."""
    if not samples.whole:
        batches = samples.cut(size)
        for number in stream.permutation(len(batches)):
            yield batches[int(number)]
        return
    order = torch.from_numpy(stream.permutation(samples.count))
    for rows in order.split(size or samples.batch_size or samples.count):
        few = tree_map(
            lambda leaf, n=rows: leaf[n.to(leaf.device)] if isinstance(leaf, Tensor) else leaf,
            samples.batches[0],
        )
        yield few if samples.form is None else tree_map(samples.form, few)
