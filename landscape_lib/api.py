"""The library's interface: a model, its data, a loss; then curves, surfaces, pictures."""

import logging
import operator
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from torch import nn

from landscape_lib.config import DirectionSettings, EvaluationSettings, VerdictSettings
from landscape_lib.core.direction import (
    Direction,
    create_random_direction,
    get_states,
    get_weights,
    only_in_layers,
    orthogonalize,
)
from landscape_lib.core.ensemble import Ensemble
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Axis, Grid, Refinement
from landscape_lib.core.perturbation import states_kept
from landscape_lib.core.plan import Plan, choose_device, plain_plan
from landscape_lib.core.samples import Samples, as_batches, gather
from landscape_lib.core.surface import CURVATURE, Surface, Trajectory
from landscape_lib.core.topology import Basin, merge_tree
from landscape_lib.core.trajectory import create_pca_directions, project_snapshots
from landscape_lib.problems.checkpoint import fitted
from landscape_lib.problems.problem import Problem
from landscape_lib.steps.agreement import Verification
from landscape_lib.steps.bench import Bench, lay_out
from landscape_lib.steps.bending import bent
from landscape_lib.steps.directions import toward
from landscape_lib.steps.eigendirections import hessian_directions
from landscape_lib.steps.evaluate import Work
from landscape_lib.steps.landscape import Place, compute, judged
from landscape_lib.steps.live_code import code_kept
from landscape_lib.steps.over_training import by_moment
from landscape_lib.steps.recorded import recorded_plans, recorded_problem
from landscape_lib.steps.shown import enclosing
from landscape_lib.steps.trajectory import states_of
from landscape_lib.steps.verify import chosen, compared, refuse_another_problem
from landscape_lib.utils.fingerprint import hash_model
from landscape_lib.utils.locks import alone
from landscape_lib.utils.signals import Stops
from landscape_lib.viz.names import SEEDS, file_name

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from landscape_lib.viz.showing import Pictures

log = logging.getLogger("landscape_lib")

DIRECTIONS = ("random", "target", "pca", "hessian")
Range = tuple[float | str, float | str, int]
Checkpoints = str | Path | Mapping[str, Any] | nn.Module | Sequence[Any]
AUTO_COUNT = 51


class LossLandscape:
    """The loss landscape of a model around its trained weights: w(a, b) = w0 + a d1 + b d2.

    Curves (``compute_1d``) and surfaces (``compute_2d``) of a loss, or of metrics of your own, on
    the whole data set; their pictures (``plot_1d``, ``plot_2d_contour``, ``plot_2d_surface``) and
    ParaView files (``export_paraview``).  The centre w0 is the model as it is when ``compute_1d``
    or ``compute_2d`` is called; afterwards the model, its mode and device and every random state
    are what they were, also after an exception or Ctrl-C.

    Everything that is computed is kept beside ``surf_file``.  Interrupted in any way, the same call
    goes on where it stopped; with a finer or wider range only the new points are evaluated.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from landscape_lib import LossLandscape
        >>> model = nn.Linear(2, 3)
        >>> data = (torch.randn(8, 2), torch.arange(8) % 3)  # or a DataLoader
        >>> landscape = LossLandscape(model, data, nn.CrossEntropyLoss())
        >>> result = landscape.compute_2d((-1, 1, 5), (-1, 1, 4), save=False)
        >>> result["losses"].shape
        (5, 4)

    Attributes:
        net: The model.
        dataloader: The data.
        criterion: The loss module, or the metrics.
        use_cuda: Whether evaluation runs on a GPU: false where there is none.
        surf_file: Where the surface is kept.
        surface: What was computed last, as a ``Surface``.
        directions: Those of the last computation, one an axis.
        ensemble: What ``compute_seeds`` computed last, as an ``Ensemble``.

    Source:
        Li et al. (2018), Visualizing the Loss Landscape of Neural Nets.
    """

    def __init__(
        self,
        net: nn.Module,
        dataloader: Any,
        criterion: nn.Module
        | Callable[..., Mapping[str, float]]
        | Mapping[str, Any]
        | str
        | Sequence[Any]
        | None = None,
        use_cuda: bool = False,
        surf_file: str | Path | None = None,
        plan: str | Mapping[str, Any] = "auto",
        batch_norm: str = "frozen",
        batch_norm_samples: int | None = None,
        metrics: str | Sequence[Any] | Mapping[str, Any] | None = None,
        precision: str | None = None,
        standard_error: bool = True,
        splits: Mapping[str, Any] | None = None,
        bootstrap: int | None = None,
    ) -> None:
        """Bring model, data and metrics together; nothing is computed yet.

        Args:
            net: The model at its trained weights.
            dataloader: A ``DataLoader`` or another iterable of batches, a ``Dataset``, or a tuple
                of tensors ``(inputs, targets)``.  It is read once, in the data set's order, when
                it is first needed: every point of a landscape is judged on the same samples.
            criterion: One of

                * a loss module, ``nn.CrossEntropyLoss()`` by default: keys ``train_loss``, and
                  ``train_acc`` (percent) where outputs are class scores and targets classes.
                  ``nn.MSELoss`` and its kin compare class scores with one-hot classes;
                * a function ``f(net, dataloader, use_cuda) -> {name: number}``: keys
                  ``train_loss_<name>``.  It gets the model in eval mode and batches on its device;
                * a dict ``{name: loss module | function(outputs, targets) | torchmetrics.Metric}``:
                  keys ``train_loss_<name>``, one forward pass for all of them.
            use_cuda: Evaluate on a GPU; the CPU, with one warning, where there is none.
            surf_file: Where the surface is kept, ``loss_surface.h5`` by default.  A file that
                exists, of this or of an earlier tool, can be plotted and exported as it is.
            plan: How points are evaluated.  ``auto``: long runs look for the fastest way here that
                agrees with the plain model, to 1e-5, and short ones take what usually is, told by
                their shapes; it is kept with the points.  ``plain``: the
                model as it is, in the loader's batches.  Or a mapping, as ``probe.json`` shows.
            batch_norm: ``frozen``: batch norms keep the running statistics of the centre.
                ``reestimated``: at every point these are estimated anew, on the same samples of
                ``dataloader`` in the same batches; see ``docs/batch-norm.md``.
            batch_norm_samples: On how many of them; None: on all.
            metrics: The same as ``criterion``, in its place, by the config's name; both take
                metrics in words: ``"cross_entropy"``, ``["cross_entropy", "top5"]``, ``{"macro":
                {"metric": "f1"}}``; see ``docs/metrics.md``.
            precision: ``float32`` or ``float64``; ``bf16``, or on a GPU ``tf32``, which round, and
                keep in the surface's ``rounding`` by how much; or ``model``: each tensor of the
                model in the type that it has, as bfloat16.  None: float64 where a parameter is,
                else float32; weights in half precision are then evaluated exactly.
            standard_error: Whether every value comes with its sampling error, from the losses of
                the samples in the same pass; see ``docs/how-sure.md``.
            splits: More data, by name, each of a kind that ``dataloader`` may be: evaluated at the
                same points in the same pass; see ``docs/train-and-test.md``.
            bootstrap: Over how many bootstrap samples of the data the spread of every value is
                taken, too: ``surface.bootstrap_error(key)``.  None: over none.

        Raises:
            InputError: If one of them is of a kind that cannot be evaluated.
        """
        self.net = net
        self.dataloader = dataloader
        self.splits: Mapping[str, Any] = {} if splits is None else splits
        self.criterion = Problem(net, dataloader, _one_of(criterion, metrics), self.splits).metrics
        with _speaking():
            self._device = choose_device("cuda" if use_cuda else "cpu")
        self.use_cuda = self._device == "cuda"
        self.plan = plan
        self.batch_norm = batch_norm
        self.batch_norm_samples = batch_norm_samples
        self.standard_error = standard_error
        self.bootstrap = bootstrap
        self.precision = precision
        self._wishes(precision or "float32")  # checks itself
        self.surf_file = os.path.expanduser(surf_file or "loss_surface.h5")
        self.surface: Surface | None = None
        self.ensemble: Ensemble | None = None
        self.directions: list[Direction] | None = None
        self._surfaces: dict[int, Surface] = {}
        self._moments: dict[str, Surface] = {}
        self._read: dict[str, tuple[Any, Samples]] = {}

    @property
    def use_custom_metrics(self) -> bool:
        """Whether the criterion is a function or a dict, so that results have names."""
        return not isinstance(self.criterion, nn.Module)

    @property
    def custom_metrics(self) -> Any:
        """The metrics of custom mode; None in standard mode."""
        return self.criterion if self.use_custom_metrics else None

    @property
    def weights(self) -> list:
        """Copies of the model's parameters as they are now."""
        return get_weights(self.net)

    @property
    def states(self) -> dict[str, Any]:
        """A copy of the model's state_dict as it is now."""
        return get_states(self.net)

    # ------------------------------------------------------------------------------ computing

    def compute_1d(
        self,
        directions: str = "random",
        xrange: Range | str = (-1, 1, 51),
        dir_type: str = "weights",
        normalize: str = "filter",
        ignore: str | None = "biasbn",
        target_model: nn.Module | Mapping[str, Any] | None = None,
        save: bool = True,
        seed: int | None = 0,
        layers: str | Sequence[str] | None = None,
        checkpoints: Checkpoints | None = None,
        eigenvector: int = 1,
        hessian_samples: int | None = None,
        curvature: bool | int = False,
        align: str = "none",
        curve: str = "none",
        bend_epochs: int = 50,
        bend_rate: float = 0.001,
        bend_seed: int = 0,
        on_error: str = "stop",
        seconds_per_point: float | None = None,
    ) -> dict[str, Any]:
        """Evaluate the model along one direction:  w(a) = w0 + a d.

        Args:
            directions: ``random``: Gaussian noise, normalized.  ``target``: towards
                ``target_model``, so that 0 is this model and 1 the other.  ``pca``: in which the
                training that left ``checkpoints`` walked farthest, at length 1.  ``hessian``: along
                an eigenvector of the Hessian of the loss, of length 1.
            xrange: First step, last step, number of steps; both ends included.  ``"auto"``, or
                ``("auto", "auto", 51)``, with checkpoints: ends that hold their way.
            dir_type: ``weights``: all parameters move.  ``states``: running statistics as well.
            normalize: Of random directions: ``filter``, ``layer``, ``weight``, ``dfilter`` or
                ``dlayer``; see ``landscape_lib.core.direction.NORMALIZERS``.
            ignore: Of random directions, what biases and norm parameters do: ``biasbn``: stand
                still; ``none`` (also None and ``''``): move along themselves, as in the original
                program; ``scaled``: move along noise of their norm; ``biasbn_parameters``: stand
                still, while running statistics (``dir_type='states'``) go up or down entry by
                entry, each by its own size.
            target_model: The other model, or its state_dict.
            save: Keep the result in ``surf_file``, and every finished point beside it.
            seed: Where the noise begins.  None draws fresh entropy, recorded in the result's
                file; such a call does not go on after an interruption, it begins anew.
            layers: A glob on names of parameters, or a list of them: only these move.  ``layer3``
                means all below that module, ``!*.bias`` takes away.
            checkpoints: What training left along the way: paths, a pattern such as
                ``"epochs/*.pt"``, state_dicts or models; any number, read as they are needed.
            eigenvector: With ``hessian``: 1 of the largest eigenvalue, 2 of the next, -1 of the
                smallest.
            hessian_samples: Of how many samples' loss; None: of all.
            curvature: At every point also the Hessian's smallest and largest eigenvalue; a number:
                on at most so many samples.  Each point costs some 100 gradients more.
            align: ``permutation``: the target's hidden units are put in the order that brings it
                nearest to this model, which leaves its function alone; see
                ``landscape_lib.between.matching.align``.
            curve: ``bezier`` or ``chain``: to the target on a path with one bend, trained so that
                the loss along it is low; see ``docs/between-models.md``.
            bend_epochs: For how many epochs; 0 leaves the bend half-way between the models.
            bend_rate: Adam's rate at the start; it falls to zero.
            bend_seed: The order of the samples, and where on the path each batch is judged.
            on_error: Where a metric raises, or takes too long: ``stop``: the exception is yours,
                and finished points are kept.  ``nan``: the point is NaN, and it goes on;
                ``landscape.surface.failed`` tells which failed, ``.failures`` why.  The same call
                again evaluates them again.
            seconds_per_point: How long a point may take; None: as long as it takes.  A point that
                never returns to Python ends the process, a notebook's kernel too; see
                ``docs/misbehaving-metrics.md``.

        Returns:
            ``losses`` and ``accuracies`` (percent; only for class scores), arrays of shape (nx,);
            ``xcoordinates``.  In custom mode ``losses`` is ``{name: array}``, without
            ``accuracies``.  With ``curvature`` also ``hessian_min``, ``hessian_max`` and
            ``hessian_ratio``, |min / max|; with splits ``splits``, by name the same of each.  The
            sampling error of each: ``landscape.surface.standard_error(key)``.

        Raises:
            InputError: If an option makes no sense, before anything is computed.
        """
        asked = self._asked(curvature, on_error, seconds_per_point)
        if directions not in DIRECTIONS:
            raise InputError(
                f"Unknown directions {directions!r}; choose one of {list(DIRECTIONS)}."
            )
        _refuse_other_kind("target", "target_model", target_model, directions)
        _refuse_other_kind("pca", "checkpoints", checkpoints, directions)
        _refuse_align_without(target_model, align=align)
        if curve != "none" and target_model is None:
            raise InputError(f"curve is {curve!r}, but there is no other model: give a target.")
        if checkpoints is not None:
            found = self._components(checkpoints, 1, dir_type, layers)
        elif directions == "hessian":
            found = (self._eigenvectors({0: eigenvector}, dir_type, hessian_samples, layers)[0],)
        else:
            draw = (dir_type, normalize, ignore, seed, layers)
            found = (self._direction(target_model, 0, *draw, align=align, name="target_model"),)
            told = {"bend_epochs": bend_epochs, "bend_rate": bend_rate, "bend_seed": bend_seed}
            found = (self._bent(found[0], {"curve": curve, **told}, save=save),)
        ways = self._projected(found, {} if checkpoints is None else {"": checkpoints})
        return self._compute(_grid({"xrange": xrange}, ways), found, save, asked)

    def compute_2d(
        self,
        xrange: Range | str = (-1, 1, 51),
        yrange: Range | str = (-1, 1, 51),
        dir_type: str = "weights",
        normalize: str = "filter",
        ignore: str | None = "biasbn",
        x_target: nn.Module | Mapping[str, Any] | None = None,
        y_target: nn.Module | Mapping[str, Any] | None = None,
        save: bool = True,
        seed: int | None = 0,
        orthogonal: bool = False,
        layers: str | Sequence[str] | None = None,
        checkpoints: Checkpoints | None = None,
        trajectories: Mapping[str, Checkpoints] | None = None,
        directions: str = "random",
        eigenvectors: Sequence[int] = (1, 2),
        hessian_samples: int | None = None,
        curvature: bool | int = False,
        align: str = "none",
        tolerance: float | None = None,
        metric: str | None = None,
        on_error: str = "stop",
        seconds_per_point: float | None = None,
    ) -> dict[str, Any]:
        """Evaluate the model in the plane of two directions:  w(a, b) = w0 + a d1 + b d2.

        Args:
            xrange: First step, last step, number of steps along the first direction; or
                ``"auto"``, as for ``compute_1d``.
            yrange: The same along the second.
            dir_type: As for ``compute_1d``.
            normalize: As for ``compute_1d``.
            ignore: As for ``compute_1d``.
            x_target: The model at x = 1, or its state_dict; left out, x is a random direction.
            y_target: The model at y = 1; left out, y is a random direction.
            save: As for ``compute_1d``.
            seed: As for ``compute_1d``; one seed gives x and y independent noise.
            orthogonal: Take out of the second direction what lies along the first; y = 1 is then
                no longer ``y_target`` itself.  The cosine is recorded either way.
            layers: As for ``compute_1d``; on both axes.
            checkpoints: As for ``compute_1d``: the plane is that in which their training walked
                farthest (PCA), and pictures show its way.  In place of targets and random noise.
            trajectories: Ways of trainings that pictures show, by name, each as ``checkpoints``;
                left out, that of ``checkpoints``.  ``add_trajectory`` shows more afterwards.
            directions: What axes without a target are: ``random``, or ``hessian``: eigenvectors of
                the Hessian of the loss, of length 1.
            eigenvectors: Which, for x and for y: as ``eigenvector`` for ``compute_1d``.
            hessian_samples: As for ``compute_1d``.
            curvature: As for ``compute_1d``.
            align: As for ``compute_1d``, for each target.
            tolerance: Evaluate points where the surface bends, and interpolate the others to so
                much of the range of values (of their logarithms where these are positive and
                wide): 0.01 is 1 %.  ``surface.computed`` tells which were evaluated,
                ``surface.errors`` how far others may be off; see ``docs/adaptive.md``.  Left out:
                every point is evaluated.
            metric: The key that decides where, as ``train_loss``; left out: all of them.
            on_error: As for ``compute_1d``.
            seconds_per_point: As for ``compute_1d``.

        Returns:
            As ``compute_1d``, with ``ycoordinates``; arrays of shape (nx, ny):
            ``losses[i, j]`` belongs to ``xcoordinates[i], ycoordinates[j]``.

        Raises:
            InputError: If an option makes no sense, before anything is computed.
        """
        asked = self._asked(curvature, on_error, seconds_per_point)
        if directions not in {"random", "hessian"}:
            raise InputError(
                f"Unknown directions {directions!r}; choose one of ['random', 'hessian'], and give "
                "other models as x_target and y_target."
            )
        refinement = _refinement(tolerance, metric)
        targets = (x_target, y_target)
        _refuse_align_without(*targets, align=align)
        if checkpoints is not None:
            if targets != (None, None) or directions != "random":
                raise InputError(
                    "checkpoints make both directions; leave x_target, y_target and directions out."
                )
            found = self._components(checkpoints, 2, dir_type, layers)
        else:
            free = [n for n in range(2) if targets[n] is None] if directions == "hessian" else []
            curved = {axis: _pair("eigenvectors", eigenvectors)[axis] for axis in free}
            eigen = self._eigenvectors(curved, dir_type, hessian_samples, layers)
            draw = (dir_type, normalize, ignore, seed, layers)
            x, y = (
                eigen[axis]
                if axis in eigen
                else self._direction(target, axis, *draw, align=align, name=f"{'xy'[axis]}_target")
                for axis, target in enumerate(targets)
            )
            found = (x, orthogonalize(y, to=x) if orthogonal else y)
        named = trajectories or ({} if checkpoints is None else {"": checkpoints})
        ways = self._projected(found, named)
        grid = _grid({"xrange": xrange, "yrange": yrange}, ways)
        result = self._compute(grid, found, save, asked, refinement)
        self._show(ways)
        return result

    def compute_seeds(
        self,
        seeds: int | Sequence[int] = 5,
        xrange: Range = (-1, 1, 51),
        yrange: Range | None = None,
        dir_type: str = "weights",
        normalize: str = "filter",
        ignore: str | None = "biasbn",
        save: bool = True,
        orthogonal: bool = False,
        layers: str | Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Evaluate the model along random directions of several seeds, each a landscape of its own.

        Args:
            seeds: How many, from 0 on; or which.
            xrange: First step, last step, number of steps along the first direction.
            yrange: The same along the second; left out, every member is a curve.
            dir_type: As for ``compute_1d``.
            normalize: As for ``compute_1d``.
            ignore: As for ``compute_1d``.
            save: Keep every member as ``compute_1d`` keeps its curve, in ``<surf_file>`` with
                ``_seed0`` and so on in its name, and all of them in one file with ``_seeds``.
            orthogonal: As for ``compute_2d``.
            layers: As for ``compute_1d``.

        Returns:
            ``members``, a list with what ``compute_1d`` or ``compute_2d`` returns for each seed;
            ``mean`` and ``spread``, in the same form: the arithmetic mean and the standard
            deviation over seeds at every point; ``seeds``.  All of it is also ``self.ensemble``.

        Raises:
            InputError: If an option makes no sense, before anything is computed.
        """
        from landscape_lib.utils.storage import save_ensemble

        chosen = _seeds(seeds)
        ranges = {"xrange": xrange} | ({} if yrange is None else {"yrange": yrange})
        grid = _grid(ranges, ())
        told = (dir_type, normalize, ignore)
        members = {}
        for seed in chosen:
            found = [
                self._direction(None, axis, *told, seed, layers, align="none", name="")
                for axis in range(len(grid.axes))
            ]
            if orthogonal and len(found) > 1:
                found[1] = orthogonalize(found[1], to=found[0])
            place = Place(self._beside(f"seed{seed}")) if save else None
            members[f"seed {seed}"] = self._surface(grid, found, place)
        self.ensemble = Ensemble(members)
        if save:
            save_ensemble(self._beside("seeds"), self.ensemble)
        return {
            "members": [self._result(surface) for surface in members.values()],
            "mean": self._result(self.ensemble.mean),
            "spread": self._result(self.ensemble.spread),
            "seeds": list(chosen),
        }

    def add_trajectory(self, checkpoints: Checkpoints, name: str = "") -> Trajectory:
        """Show where a training walked in the plane of the last ``compute_2d``, in every picture.

        Args:
            checkpoints: What it left along the way, in its order: as for ``compute_1d``.
            name: What it is called beside others; one of the same name is replaced.

        Returns:
            ``alpha`` and ``beta``, the steps along both directions, by least squares;
            ``distance``, how far each checkpoint lies from the plane; ``in_plane``, the share of
            the way that the plane shows.  Kept in ``surf_file`` where the surface is.

        Raises:
            InputError: If there is no surface yet, its directions were not kept, the model is no
                longer the one at its centre, or a checkpoint is of another network.
        """
        self.surface, directions = self._centred()
        self.directions = list(directions)
        (way,) = self._projected(directions, {name: checkpoints})
        self._show([*(one for one in self.surface.trajectories if one.name != name), way])
        return way

    def compute_over_training(
        self, checkpoints: Checkpoints, save: bool = True
    ) -> dict[str, dict[str, Any]]:
        """Evaluate what was computed last around each checkpoint of a training, in one plane.

        w_t(a, b) = w_t + a d1 + b d2, with the weights w_t of a checkpoint; grid and directions
        are those of the last ``compute_1d`` or ``compute_2d``.  ``plot_over_training`` shows it.
        The model has its own weights again afterwards, also after an exception or Ctrl-C.

        Args:
            checkpoints: As for ``compute_1d``, in the order of training.
            save: Keep every moment in ``<surf_file>_over_training/``, and every finished point; the
                same call after an interruption goes on from there.

        Returns:
            By the names of the moments, what ``compute_1d`` or ``compute_2d`` returns.

        Raises:
            InputError: If nothing was computed yet, or a checkpoint is of another network.
        """
        last, directions = self._last()
        found: dict[str, Surface] = {}
        with alone(), states_kept(self.net):
            for number, (name, state) in enumerate(states_of(checkpoints, self.net).items()):
                weights = state.state_dict() if isinstance(state, nn.Module) else dict(state)
                self.net.load_state_dict(fitted(weights, self.net, name))
                folder = Path(f"{self.surf_file}_over_training")
                place = Place(folder / f"{number:02d}.h5") if save else None
                found[name] = self._surface(last.grid, directions, place)
        self._moments = by_moment(list(found), list(found.values()))
        return {name: self._result(surface) for name, surface in self._moments.items()}

    def to_xarray(self) -> "xarray.Dataset":
        """Return what was computed last, or what ``surf_file`` holds, with named axes.

        Raises:
            InputError: If xarray is not installed.
        """
        from landscape_lib.utils.labelled import to_xarray
        from landscape_lib.utils.storage import load_surface

        return to_xarray(self.surface or load_surface(self.surf_file))

    def verdict(
        self,
        eigenvalues: int | str = "auto",
        trace: bool | str = "auto",
        samples: int | None = None,
    ) -> dict[str, Any]:
        """Judge what was computed last: is the picture right, and which numbers may be quoted?

        Measures the model at the centre (gradient, curvature along the axes, sampling error of the
        loss), and writes ``<surf_file>_verdict.json`` and ``<surf_file>_verdict.html``.  What the
        lines mean: ``docs/verdict.md``.

        Args:
            eigenvalues: How many of the Hessian's largest; ``auto``: 3 where they cost little.
            trace: Whether the Hessian's trace is estimated; ``auto``: where it costs little.
            samples: Derivatives are taken on at most so many samples; None: on all.

        Returns:
            ``checks``, a list of lines, each with ``state`` (``good``, ``note``, ``warning``,
            ``unknown``), ``found``, ``why`` and ``do``; ``numbers``, each with its definition and
            source; ``suggested_range``.

        Raises:
            InputError: If there is no surface yet, its directions were not kept, or the model is no
                longer the one at its centre.
        """
        from landscape_lib.core.files import write_text
        from landscape_lib.verdict.judge import as_json
        from landscape_lib.verdict.page import page

        wishes = _asked("verdict", eigenvalues=eigenvalues, trace=trace, samples=samples)
        surface, directions = self._centred()
        precision = self.precision or self._exact().precision
        name = Path(self.surf_file).name
        with self._evaluating():
            bench = lambda: self._bench(precision)  # noqa: E731
            found = judged(bench, wishes, directions, surface, name)
        write_text(f"{self.surf_file}_verdict.html", page(found))
        write_text(f"{self.surf_file}_verdict.json", as_json(found))
        return found

    def verify(
        self, points: int | str = 5, seed: int | None = None, tolerance: float | None = None
    ) -> Verification:
        """Compute random points of the surface anew, and compare them with what it holds.

        Of the surface in ``surf_file``; of what was computed last where there is no such file.
        Nothing is written, and what the journal has is not read.

        Args:
            points: How many, the centre besides where the grid has it; ``"all"``.
            seed: What they are drawn with; None: another one each time.
            tolerance: Relative; None: 0, bit for bit, where the surface was computed on this
                machine, with the same versions of torch and numpy; elsewhere 1e-5, in float64
                1e-10, and two samples of an accuracy.

        Returns:
            ``rows``, each with ``point``, ``key``, ``recorded``, ``recomputed`` and the relative
            ``difference``; ``agrees``, whether all do; ``lines()``, the same to read.

        Raises:
            InputError: If there is no surface yet, or its directions were not kept, or model,
                data, metrics or settings are not what they were; the message says which.
        """
        surface, directions = self._held()
        plans, wanted = recorded_plans(surface), recorded_problem(surface)
        if not plans:
            raise InputError(f"{self.surf_file}: it does not say how its points were evaluated.")
        indices = chosen(surface, points, seed)
        told = wanted.get("evaluation", {})
        with self._evaluating(save=bool(wanted.get("code", True))) as code:
            bench = self._bench(
                plans[0].precision, code=code, curvature=told.get("curvature", False)
            )
            refuse_another_problem(bench.parts, wanted, self.surf_file)
            work = Work(bench, plans[0], directions, surface.grid, Stops())
            return compared(work, surface, indices, tolerance)

    def spectrum(
        self, eigenvalues: int = 3, samples: int | None = None, show: bool = False
    ) -> dict[str, dict[str, Any]]:
        """Measure and draw the spectrum of the Hessian: ``<surf_file>_spectrum.pdf``.

        At the model's weights as they are now; it takes no surface, and some 900 products with the
        Hessian.

        Args:
            eigenvalues: How many of the largest.
            samples: Derivatives are taken on at most so many samples; None: on all.
            show: Open the picture in a window, or inline in a notebook.

        Returns:
            ``eigenvalues``: ``values``, largest first.  ``trace``: ``value`` and
            ``standard_error``.  ``density``: ``nodes`` and ``weights``, a row for every random
            vector: the mean over rows of sum w f(node) is that of f over all eigenvalues.

        Raises:
            InputError: If an option makes no sense, or torch does not differentiate the loss.
        """
        from landscape_lib.steps.landscape import spectrum
        from landscape_lib.viz.showing import show_figures
        from landscape_lib.viz.spectrum import plot_spectrum
        from landscape_lib.viz.spectrum import spectrum as figure_of

        told = {"eigenvalues": eigenvalues, "samples": samples, "trace": True, "density": True}
        wishes = _asked("spectrum", **told)
        plan = self._exact()
        with self._evaluating():
            found = spectrum(lambda: self._bench(plan.precision), wishes, plan)
        drawn = found["density"], found["eigenvalues"].get("values", ())
        plot_spectrum(*drawn, Path(f"{self.surf_file}_spectrum.pdf"))
        if show:
            show_figures([figure_of(*drawn)])
        return found

    # ------------------------------------------------------------------------------- pictures

    def plot_1d(
        self,
        xmin: float | None = -1,
        xmax: float | None = 1,
        loss_max: float | None = 5,
        log: bool = False,
        show: bool = False,
    ) -> "Pictures":
        """Draw the curve of every metric: ``<surf_file>_<key>_1d.pdf``.

        Args:
            xmin: Steps below are left out; -1, the default, leaves out none.
            xmax: Steps above are left out; 1, the default, leaves out none.
            loss_max: Where the value axis of losses ends.  The default, 5, holds for losses with
                at least 90 % of their values below it, and some above a tenth of it; the others,
                and metrics that are to be high, get an axis of their own.
            log: Draw log10 of the losses.
            show: Open the pictures in windows, or inline in a notebook.

        Returns:
            The paths; a notebook shows the pictures, and ``.figures`` has them.

        Raises:
            InputError: If there is no curve yet.
        """
        from landscape_lib.viz.plot_1d import plot_1d_loss

        with _speaking():
            return plot_1d_loss(
                self._source(1), xmin, xmax, loss_max, log, show, prefix=self.surf_file
            )

    def plot_2d_contour(
        self,
        surf_name: str = "train_loss",
        vmin: float | None = 0.1,
        vmax: float | None = 10,
        vlevel: float | None = 0.5,
        show: bool = False,
        topology: bool = False,
    ) -> "Pictures":
        """Draw contours: ``<surf_file>_<key>_2dcontour.pdf``, ``_2dcontourf.pdf``, ``_2dheat.pdf``.

        Args:
            surf_name: A metric's key, or ``auto`` for every one.  ``train_loss``, the default,
                means every one where there is none of that name.
            vmin: Lowest level.  The three defaults hold where at least 90 % of the values lie
                between them and cross three levels; elsewhere levels are chosen by themselves.
                A value that differs from its default always wins.
            vmax: Highest level.
            vlevel: From one level to the next.
            show: Open the pictures in windows, or inline in a notebook.
            topology: Mark the minima of clear basins with dots, the passes between them with
                crosses; see ``basins``.

        Returns:
            The paths, three a metric; a notebook shows the pictures, and ``.figures`` has them.

        Raises:
            InputError: If there is no surface yet, or no such metric.
        """
        from landscape_lib.viz.plot_2d import plot_2d_contour

        with _speaking():
            return plot_2d_contour(
                self._source(2),
                surf_name,
                vmin,
                vmax,
                vlevel,
                show,
                topology,
                prefix=self.surf_file,
            )

    def plot_seeds(self, surf_name: str = "auto", show: bool = False) -> "Pictures":
        """Draw every seed, their mean and spread: ``<surf_file>_<key>_seeds.pdf``.

        Args:
            surf_name: A metric's key, or ``auto`` for every one.
            show: Open the pictures in windows, or inline in a notebook.

        Returns:
            The paths, one a metric; a notebook shows the pictures, and ``.figures`` has them.

        Raises:
            InputError: If there are no seeds yet, or no such metric.
        """
        from landscape_lib.utils.storage import load_ensemble
        from landscape_lib.viz.asked import keys_of
        from landscape_lib.viz.seeds import seeds

        kept = self._beside("seeds")
        if self.ensemble is None and not kept.exists():
            raise InputError(f"{kept} is not there yet: call compute_seeds() first.")
        found = self.ensemble or load_ensemble(kept)
        keys = keys_of(found.first, surf_name)
        return self._drawn({key: seeds(found, key) for key in keys}, SEEDS, show=show)

    def plot_gap(self, show: bool = False) -> "Pictures":
        """Draw how far metrics of the splits are above the training data's, in the last landscape.

        ``<surf_file>_<key>_gap.pdf`` for every metric of a split, as ``test_loss``; of what
        ``compute_1d`` or ``compute_2d`` computed last.

        Args:
            show: Open the pictures in windows, or inline in a notebook.

        Returns:
            The paths; a notebook shows the pictures, and ``.figures`` has them.

        Raises:
            InputError: If nothing was computed yet, or there is no metric of another data set.
        """
        from landscape_lib.core.gap import GAP, gaps
        from landscape_lib.utils.storage import load_surface
        from landscape_lib.viz.gap import gap

        surface = self.surface or load_surface(self.surf_file)
        keys = list(gaps(surface.keys))
        if not keys:
            raise InputError(
                f"There is no other data set here, only {list(surface.keys)}: give "
                "LossLandscape splits={'test': test_data}, and compute anew."
            )
        return self._drawn({key: gap(surface, key) for key in keys}, GAP, show=show)

    def plot_2d_surface(self, surf_name: str = "train_loss", show: bool = False) -> "Pictures":
        """Draw the surface in three dimensions: ``<surf_file>_<key>_3dsurface.pdf``.

        Args:
            surf_name: As for ``plot_2d_contour``.
            show: Open the pictures in windows, or inline in a notebook.

        Returns:
            The paths, one a metric; a notebook shows the pictures, and ``.figures`` has them.

        Raises:
            InputError: If there is no surface yet, or no such metric.
        """
        from landscape_lib.viz.plot_2d import plot_2d_surface

        with _speaking():
            return plot_2d_surface(self._source(2), surf_name, show, prefix=self.surf_file)

    def plot_topology(self, surf_name: str = "train_loss", show: bool = False) -> "Pictures":
        """Draw the persistence diagram: ``<surf_file>_<key>_persistence.pdf``.

        A point for every basin of what was computed last: the value at its minimum, and at the
        pass over which it joins a deeper one.  ``docs/topology.md`` says how to read it;
        ``basins`` has the numbers.

        Args:
            surf_name: As for ``plot_2d_contour``.
            show: Open the pictures in windows, or inline in a notebook.

        Returns:
            The paths, one a metric; a notebook shows the pictures, and ``.figures`` has them.

        Raises:
            InputError: If nothing was computed yet, and there is no ``surf_file``, or there is no
                such metric.
        """
        from landscape_lib.viz.persistence import plot_topology

        with _speaking():
            source = self.surface or self.surf_file
            return plot_topology(source, surf_name, show, prefix=self.surf_file)

    def basins(self, surf_name: str = "train_loss") -> tuple[Basin, ...]:
        """Return the basins of what was computed last, the most persistent first.

        Args:
            surf_name: A metric's key; of one that is to be high the peaks.

        Returns:
            Each with the place of its minimum, as indices of the grid; its value (``birth``); the
            place and the value (``death``) of the pass over which it joins a deeper one,
            ``joins``.  See ``landscape_lib.merge_tree``.

        Raises:
            InputError: If nothing was computed yet, and there is no ``surf_file``, or there is no
                such metric.
        """
        from landscape_lib.utils.storage import load_surface

        surface = self.surface or load_surface(self.surf_file)
        return merge_tree(surface[surf_name], surface.labels[surf_name].goal)

    def export_paraview(
        self,
        surf_name: str = "train_loss",
        log: bool = False,
        zmax: float | None = -1,
        interp: int | None = -1,
    ) -> "Path | list[Path]":
        """Write the surface for ParaView: ``<surf_file>_<key>.vtp``, one file a metric.

        Args:
            surf_name: As for ``plot_2d_contour``.
            log: Heights are log10 of the values; points that are not positive are missing.
            zmax: Values above are lowered to it; -1 clips nothing.
            interp: Points an axis after interpolation; -1 keeps the points measured.

        Returns:
            The path; a list of paths for ``auto``, or where ``train_loss`` means every metric.

        Raises:
            InputError: If there is no surface yet, or no such metric, or an option makes no sense.
        """
        from landscape_lib.viz.paraview import h5_to_vtp

        with _speaking():
            paths = h5_to_vtp(self._source(2), surf_name, log, zmax, interp, prefix=self.surf_file)
        return paths if surf_name == "auto" or len(paths) > 1 else paths[0]

    def plot_over_training(
        self, surf_name: str = "train_loss", film: str = "gif", show: bool = False
    ) -> "Pictures":
        """Draw what ``compute_over_training`` computed: side by side, as a film, as a page.

        ``<surf_file>_<key>_over_training.pdf`` and ``.gif`` of every metric that is meant, and
        ``<surf_file>_over_training.html``, where a slider goes through the training.

        Args:
            surf_name: As for ``plot_2d_contour``.
            film: ``gif``, or ``mp4``, which needs the program ffmpeg.
            show: Open the pictures in windows, or inline in a notebook.

        Returns:
            The paths of the pictures, one a metric; a notebook shows them.

        Raises:
            InputError: If nothing was computed yet, or there is no such metric or format.
        """
        from landscape_lib.viz.over_training import write_over_training

        if not self._moments:
            raise InputError("There are no moments of a training yet; compute_over_training first.")
        with _speaking():
            return write_over_training(self._moments, self.surf_file, surf_name, film, show=show)

    def explorer(self) -> Path:
        """Write ``<surf_file>_explorer.html``, a page to explore what was computed last with.

        It is one file, for any browser, without a network: the map and the surface in three
        dimensions, every metric, slices, scales, colours, and the values as CSV.

        Returns:
            The path.

        Raises:
            InputError: If nothing was computed yet, and there is no ``surf_file``.
        """
        from landscape_lib.viz.explorer import explore

        return explore(self.surface or self.surf_file, prefix=self.surf_file)

    # ---------------------------------------------------------------------------------- inside

    def _drawn(self, figures: "Mapping[str, Figure]", ending: str, *, show: bool) -> "Pictures":
        """Write the figures of metrics as ``<surf_file>_<key>_<ending>.pdf``."""
        from landscape_lib.viz.figures import save
        from landscape_lib.viz.showing import Pictures, show_figures

        stems = [f"{self.surf_file}_{file_name(key)}_{ending}" for key in figures]
        drawn = list(figures.values())
        paths = [
            save(figure, Path(f"{stem}.pdf"), "pdf")
            for figure, stem in zip(drawn, stems, strict=True)
        ]
        if show:
            show_figures(drawn)
        return Pictures(paths, drawn)

    def _data(self) -> dict[str, Samples]:
        """Return the samples, read when they are first needed; of other data than before anew."""
        sets = {"train": self.dataloader, **self.splits}
        folder = Path(self.surf_file).parent
        self._read = {n: read for n, read in self._read.items() if read[0] is sets.get(n)}
        for name in [name for name in sets if name not in self._read]:
            self._read[name] = (sets[name], gather(as_batches(sets[name]), name, folder))
        return {name: self._read[name][1] for name in sets}

    def _exact(self) -> Plan:
        """Return the plan that derivatives are taken with: nowhere in half precision."""
        plan = plain_plan(self.net, self._device)
        asked = {"float32", "float64"} & {self.precision}
        return replace(plan, precision=asked.pop()) if asked else plan

    def _asked(self, curvature: Any, on_error: Any, seconds_per_point: Any) -> dict[str, Any]:
        """Check, and return, what is asked of one computation beside the landscape's settings."""
        asked = {
            "curvature": curvature,
            "on_error": on_error,
            "seconds_per_point": seconds_per_point,
        }
        self._wishes("float32", **asked)
        return asked

    def _wishes(
        self, precision: str, curvature: bool | int = False, **asked: Any
    ) -> EvaluationSettings:
        plan = dict(self.plan) if isinstance(self.plan, Mapping) else self.plan
        if not isinstance(curvature, int) or (curvature is not False and curvature < 1):
            raise InputError(
                f"curvature is {curvature!r}; wanted True, False, or a number of samples from 1."
            )
        told = {
            "device": self._device,
            "precision": precision,
            "plan": plan,
            "batch_norm": self.batch_norm,
            "batch_norm_samples": self.batch_norm_samples,
            "standard_error": self.standard_error,
            "bootstrap": self.bootstrap,
            "curvature": curvature,
            **asked,
        }
        try:
            return EvaluationSettings.model_validate(told)
        except ValidationError as error:
            raise InputError(_first_of(error)) from None

    @contextmanager
    def _evaluating(self, *, save: bool = False) -> Iterator[str]:
        """Speak, and return the hash of the code that evaluates; none where nothing is saved."""
        with alone(), _speaking(), code_kept(self.net, self.criterion, needed=save) as code:
            yield code

    def _bench(self, precision: str, *, code: str = "", **asked: Any) -> Bench:
        problem = Problem(self.net, self.dataloader, self.criterion, self.splits)
        name = Path(self.surf_file).name
        wishes = self._wishes(precision, **asked)
        return lay_out(name, problem, code=code, args={}, wishes=wishes, data=self._data())

    def _eigenvectors(
        self,
        numbers: Mapping[int, int],
        dir_type: str,
        samples: int | None,
        layers: str | Sequence[str] | None,
    ) -> dict[int, Direction]:
        """Return eigenvectors of the Hessian by axis, all from one iteration; none for none.

        Raises:
            InputError: If they are asked for what is no Hessian of the weights, or twice.
        """
        if not numbers:
            return {}
        if dir_type != "weights":
            raise InputError(
                f"dir_type={dir_type!r} with directions='hessian': a Hessian is that by the "
                "weights alone; say dir_type='weights'."
            )
        for axis, number in numbers.items():
            told = {"kind": "hessian", "eigenvector": number, "samples": samples}
            try:
                DirectionSettings.model_validate(told)
            except ValidationError as error:
                wrong = _first_of(error).replace("samples is", "hessian_samples is")
                raise InputError(f"The eigenvector of axis {'xy'[axis]}: {wrong}") from None
        if len(set(numbers.values())) < len(numbers):
            raise InputError(
                f"eigenvectors={tuple(numbers.values())}: wanted two different ones, a plane."
            )
        plan = self._exact()
        with self._evaluating():
            bench = self._bench(plan.precision)
            found = hessian_directions(bench, plan, numbers, samples)
        return {axis: _in_layers(direction, layers) for axis, direction in found.items()}

    def _direction(
        self,
        target: Any,
        axis: int,
        dir_type: str,
        norm: str,
        ignore: str | None,
        seed: int | None,
        layers: str | Sequence[str] | None,
        *,
        align: str,
        name: str,
    ) -> Direction:
        self._refuse_two_ways(dir_type)
        if target is not None:
            found = toward(self.net, target, dir_type, align=align, name=name)
        else:
            found = create_random_direction(self.net, dir_type, ignore, norm, seed, axis)
        return _in_layers(found, layers)

    def _bent(self, chord: Direction, told: Mapping[str, Any], *, save: bool) -> Direction:
        """Return the path to a target, its bend trained or read; the straight line where asked.

        Raises:
            InputError: If an option makes no sense.
        """
        if told["curve"] == "none":
            return chord
        try:
            asked = DirectionSettings.model_validate({"kind": "target", **told})
        except ValidationError as error:
            raise InputError(_first_of(error)) from None
        plan = self._exact()
        with self._evaluating(save=save) as code:
            bench = self._bench(plan.precision, code=code)
            folder = Place(Path(self.surf_file)).journal if save else None
            return bent(bench, plan, chord, asked, folder)

    def _refuse_two_ways(self, dir_type: str) -> None:
        if dir_type == "states" and self.batch_norm != "frozen":
            raise InputError(
                f"dir_type='states' moves the running statistics that batch_norm="
                f"{self.batch_norm!r} estimates anew; choose one of the two."
            )

    def _compute(
        self,
        grid: Grid,
        directions: Sequence[Direction],
        save: bool,
        asked: Mapping[str, Any],
        refinement: Refinement | None = None,
    ) -> dict[str, Any]:
        place = Place(Path(self.surf_file)) if save else None
        surface = self._surface(grid, directions, place, asked, refinement)
        self.directions = list(directions)
        self.surface = self._surfaces[len(grid.axes)] = surface
        return self._result(surface)

    def _surface(
        self,
        grid: Grid,
        directions: Sequence[Direction],
        place: Place | None,
        asked: Mapping[str, Any] = MappingProxyType({}),
        refinement: Refinement | None = None,
    ) -> Surface:
        precision, save = self.precision or self._exact().precision, place is not None
        with self._evaluating(save=save) as code:
            return compute(
                lambda: self._bench(precision, code=code, **asked),
                self._wishes(precision, **asked),
                directions,
                grid,
                place,
                refinement,
            )

    def _beside(self, ending: str) -> Path:
        """Return a file beside ``surf_file``, with an ending to its name."""
        path = Path(self.surf_file)
        return path.with_name(f"{path.stem}_{ending}{path.suffix}")

    def _components(
        self,
        checkpoints: Checkpoints,
        count: int,
        dir_type: str,
        layers: str | Sequence[str] | None,
    ) -> tuple[Direction, ...]:
        self._refuse_two_ways(dir_type)
        found = create_pca_directions(self.net, states_of(checkpoints, self.net), count, dir_type)
        return tuple(_in_layers(direction, layers) for direction in found)

    def _projected(
        self, directions: Sequence[Direction], named: Mapping[str, Checkpoints]
    ) -> list[Trajectory]:
        if not isinstance(named, Mapping):
            raise InputError(
                f"trajectories={named!r}; wanted checkpoints by names, as {{'SGD': 'sgd/*.pt'}}."
            )
        return [
            project_snapshots(self.net, directions, states_of(checkpoints, self.net), name)
            for name, checkpoints in named.items()
        ]

    def _show(self, ways: Sequence[Trajectory]) -> None:
        """Put trajectories into the last surface, and into its file where that holds it."""
        from landscape_lib.utils.storage import save_trajectory

        if self.surface is None or not ways:
            return
        found = replace(self.surface, trajectories=tuple(ways))
        self.surface = self._surfaces[len(found.grid.axes)] = found
        if self._kept(found):
            save_trajectory(self.surf_file, *ways)

    def _kept(self, surface: Surface) -> bool:
        """Tell whether the file holds this surface."""
        from landscape_lib.utils.storage import load_surface

        if not Path(self.surf_file).exists():
            return False
        mark = load_surface(self.surf_file).attributes.get("fingerprint")
        return mark is not None and mark == surface.attributes.get("fingerprint")

    def _result(self, surface: Surface) -> dict[str, Any]:
        names = ("xcoordinates", "ycoordinates")
        steps = {name: axis.steps() for name, axis in zip(names, surface.grid.axes, strict=False)}
        values = {key: surface[key].copy() for key in surface.keys}
        steps |= {key: values.pop(key) for key in CURVATURE if key in values}
        splits = {name: self._of(name, values) for name in self.splits}
        return {**self._of("train", values), **steps, **({"splits": splits} if splits else {})}

    def _of(self, split: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was measured of one data set, named as results are."""
        if self.use_custom_metrics:
            prefix = f"{split}_loss_"
            found = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
            return {"losses": found}
        names = {f"{split}_loss": "losses", f"{split}_acc": "accuracies"}
        return {name: values[key] for key, name in names.items() if key in values}

    def _centred(self) -> tuple[Surface, Sequence[Direction]]:
        """Return the last surface and its directions, which start at the model as it is now.

        Raises:
            InputError: If there are none, or they start at other weights.
        """
        surface, directions = self._last()
        then = recorded_problem(surface).get("model")
        if then is not None and then != hash_model(self.net):
            raise InputError(
                "The model is not the one at the centre of the last surface: it was trained on, or "
                f"another one's surface lies in {self.surf_file}. Give it those weights again, or "
                "compute anew; compute_over_training() evaluates other weights in the same plane."
            )
        return surface, directions

    def _last(self) -> tuple[Surface, Sequence[Direction]]:
        """Return the last surface and its directions: of this object, else from their files.

        Raises:
            InputError: If there are none, or the directions are not the surface's.
        """
        if self.surface is not None and self.directions is not None:
            return self.surface, self.directions
        place = Place(Path(self.surf_file))
        if not (place.surface.exists() and place.directions.exists()):
            raise InputError(
                f"{place.surface} and {place.directions} are not both there: call compute_1d() or "
                "compute_2d() first."
            )
        return self._loaded(place)

    def _held(self) -> tuple[Surface, Sequence[Direction]]:
        """Return what the files hold; what was computed last where there are none.

        Raises:
            InputError: If there is neither, or the directions are not the surface's.
        """
        place = Place(Path(self.surf_file))
        if not place.surface.exists():
            return self._last()
        if not place.directions.exists():
            raise InputError(f"{place.directions} is not there: the surface's directions are gone.")
        return self._loaded(place)

    def _loaded(self, place: Place) -> tuple[Surface, Sequence[Direction]]:
        """Read a surface and its directions.

        Raises:
            InputError: If they do not belong together.
        """
        from landscape_lib.utils.storage import content_hash, load_directions, load_surface

        surface = load_surface(place.surface)
        directions = load_directions(place.directions, self.net)
        if content_hash(directions) != surface.attributes.get("directions"):
            raise InputError(
                f"{place.directions}: these are not the directions of {place.surface}. One of the "
                "two was written and the other was not, or moved: type the call that computed it "
                "again."
            )
        return surface, directions

    def _source(self, axes: int) -> Surface | str:
        """Return the curve or surface to draw: computed by this object, else what the file holds.

        Raises:
            InputError: If there is neither.
        """
        if axes in self._surfaces:
            return self._surfaces[axes]
        if not Path(self.surf_file).exists():
            how = "compute_1d()" if axes == 1 else "compute_2d()"
            raise InputError(
                f"{self.surf_file} is not there yet: call {how} first, or give LossLandscape a "
                "surf_file that exists."
            )
        return self.surf_file


def _refuse_align_without(*targets: Any, align: str) -> None:
    if align != "none" and all(target is None for target in targets):
        raise InputError(f"align is {align!r}, but there is no other model: give a target.")


def _one_of(criterion: Any, metrics: Any) -> Any:
    """Return what judges the model, by whichever name it came.

    Raises:
        InputError: If both are given, or it is a class or a function of torch's.
    """
    if criterion is not None and metrics is not None:
        raise InputError("criterion and metrics are the same thing; give one of the two.")
    found = metrics if criterion is None else criterion
    found = nn.CrossEntropyLoss() if found is None else found
    _refuse_what_is_no_criterion(found)
    return found


def _refuse_what_is_no_criterion(criterion: Any) -> None:
    if isinstance(criterion, type):
        raise InputError(
            f"criterion is the class {criterion.__name__}; wanted an instance of it, as "
            f"{criterion.__name__}()."
        )
    if getattr(criterion, "__module__", "") == "torch.nn.functional":
        name = getattr(criterion, "__name__", "the function")
        raise InputError(
            f"criterion is torch's {name}(outputs, targets); give the loss module of that name, or "
            f"a dict: {{{name!r}: F.{name}}}.  A bare function is called as "
            "f(net, dataloader, use_cuda) and returns a dict."
        )


def _refuse_other_kind(kind: str, name: str, given: Any, asked: str) -> None:
    if (given is not None) == (asked == kind):
        return
    if given is not None:
        raise InputError(
            f"A {name} is given, but directions is {asked!r}; say directions={kind!r}."
            if kind == "target"
            else f"{name} are given, but directions is {asked!r}; say directions={kind!r}."
        )
    what = {"target": "a target_model, the model at step 1", "pca": "checkpoints of its training"}
    raise InputError(f"directions={kind!r} needs {what[kind]}.")


def _in_layers(direction: Direction, layers: str | Sequence[str] | None) -> Direction:
    asked: Any = [layers] if isinstance(layers, str) else layers or ()
    globs = list(asked) if isinstance(asked, Iterable) else [asked]
    if not all(isinstance(glob, str) for glob in globs):
        raise InputError(
            f"layers={layers!r}; wanted a glob on names of parameters, or a list of them, as "
            "['layer3', '!*.bias']."
        )
    return only_in_layers(direction, globs) if globs else direction


def _refinement(tolerance: float | None, metric: str | None) -> Refinement | None:
    if tolerance is None and metric is not None:
        raise InputError(
            f"metric={metric!r} decides where points are evaluated, and says nothing where all "
            "are; give a tolerance as well, such as 0.01."
        )
    return None if tolerance is None else Refinement(float(tolerance), metric)


def _grid(ranges: Mapping[str, Any], ways: Sequence[Trajectory]) -> Grid:
    """Read the range of every axis; ``auto``: ends that hold trajectories.

    Raises:
        InputError: If one makes no sense, or is open where there is no trajectory.
    """
    counts = {name: _open_count(name, limits) for name, limits in ranges.items()}
    asked = [name for name, count in counts.items() if count is not None]
    if asked and not ways:
        raise InputError(
            f"{asked[0]} is 'auto', and nothing says how far: give checkpoints, or the ends, as "
            "(-1, 1, 51)."
        )
    ends = enclosing(ways, list(counts.values())) if asked else [None] * len(counts)
    return Grid(
        tuple(
            _axis(name, ranges[name] if end is None else (*end, count))
            for (name, count), end in zip(counts.items(), ends, strict=True)
        )
    )


def _open_count(name: str, limits: Any) -> int | None:
    """Return the number of steps of an axis whose ends are to be found; None of another."""
    if isinstance(limits, str) and limits == "auto":
        return AUTO_COUNT
    if isinstance(limits, list | tuple) and tuple(limits[:2]) == ("auto", "auto"):
        return _axis(name, (-1, 1, *limits[2:])).count
    return None


def _asked(call: str, **told: Any) -> VerdictSettings:
    try:
        return VerdictSettings.model_validate(told)
    except ValidationError as error:
        raise InputError(f"{call}(...): {_first_of(error)}") from None


def _first_of(error: ValidationError) -> str:
    """Say the first thing that settings refused, in one line."""
    mistake = error.errors(include_url=False)[0]
    name, allowed = mistake["loc"][0], mistake["ctx"]["allowed"]
    return f"{name} is {mistake['input']!r}; wanted {allowed}."


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Read how many seeds, or which.

    Raises:
        InputError: If they are fewer than two, or one comes twice.
    """
    wanted = "how many, from 2, or a list of different whole numbers from 0, as [0, 1, 2]"
    if isinstance(seeds, int):
        found = tuple(range(seeds))
    else:
        try:
            found = tuple(operator.index(seed) for seed in seeds)
        except TypeError:
            raise InputError(f"seeds={seeds!r}; wanted {wanted}.") from None
    if len(found) < 2 or len(set(found)) < len(found) or min(found) < 0:
        raise InputError(f"seeds={seeds!r}; wanted {wanted}.")
    return found


def _pair(name: str, found: Any) -> tuple[Any, Any]:
    """Read one entry for x and one for y.

    Raises:
        InputError: If it is something else.
    """
    try:
        x, y = found
    except (TypeError, ValueError):
        raise InputError(f"{name}={found!r}; wanted one for x and one for y, as (1, 2).") from None
    return x, y


def _axis(name: str, limits: Any) -> Axis:
    """Read ``(low, high, count)``.

    Raises:
        InputError: If it is something else.
    """
    try:
        low, high, count = limits
        axis = float(low), float(high), int(count)
    except (TypeError, ValueError, OverflowError):
        axis = None
    if axis is None or axis[2] != count:
        raise InputError(
            f"{name}={limits!r}; wanted (first step, last step, number of steps), as (-1, 1, 51)."
        )
    try:
        return Axis(*axis)
    except InputError as error:
        raise InputError(f"{name}={limits!r}: {error}") from None


@contextmanager
def _speaking() -> Iterator[None]:
    """Let the library's messages reach the terminal where the program set up no logging."""
    if log.hasHandlers() or log.level != logging.NOTSET:
        yield
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
