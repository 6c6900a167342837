"""What an experiment is, once its config is read: every choice made, nothing left open."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from landscape_lib.config.checkpoints import files_of
from landscape_lib.config.settings import (
    AXES,
    ComparisonSettings,
    DirectionSettings,
    EvaluationSettings,
    FigureSettings,
    ParaviewSettings,
    Train,
    VerdictSettings,
)
from landscape_lib.core.errors import InputError
from landscape_lib.core.grid import Grid, Refinement
from landscape_lib.core.spec import Asked


@dataclass(frozen=True)
class Frame:
    """Which checkpoint of a training stands in a film for a moment of it.

    Attributes:
        film: Name of the run whose film it is: its directions, and the ends of its axes, hold.
        checkpoints: All of the training, as they are named.
        number: Which frame, from 0.
        count: How many frames the film has.
    """

    film: str
    checkpoints: tuple[str, ...]
    number: int
    count: int

    @property
    def checkpoint(self) -> str:
        """The checkpoint's file, found when it is asked for: training may still be to come.

        Raises:
            InputError: If there are fewer checkpoints than frames, or a pattern fits no file.
        """
        files = files_of(self.checkpoints)
        if len(files) < self.count:
            raise InputError(
                f"{self.film}: over_training has {len(files)} checkpoints for {self.count} frames; "
                f"say 'frames: {max(len(files), 2)}', or name more of them."
            )
        last, gaps = len(files) - 1, max(self.count - 1, 1)
        return files[(2 * self.number * last + gaps) // (2 * gaps)]  # rounded: exact at both ends


RESULTS = Path("results")


@dataclass(frozen=True)
class Experiment:
    """One run of a config: a landscape, and how it is computed and drawn.

    Attributes:
        name: The run's name in the config.
        problem: Function that builds the problem, ``path/to/file.py:function`` or
            ``package.module:function``.
        grid: Where on the landscape we look.
        trajectory: Checkpoints of trainings, as they are named, by what pictures call them.
        auto: Names of the axes whose ends are still to be found; ``grid`` has them from -1 to 1.
        args: Keyword arguments of that function.
        files: Other files that the problem reads.
        train: How ``model.pt`` is made, where the pipeline makes it.
        shards: Number of parts, or ``"auto"``.
        directions: One for each axis of the grid.
        evaluation: How the metrics are computed.
        figures: How the pictures look.
        paraview: What the ParaView files hold.
        verdict: What is measured for the verdict beside the surface.
        frame: Which moment of a training it shows, where it belongs to a film.
        frames: Names of the runs that are the frames of its film.
        film: The film's file format, ``gif`` or ``mp4``.
        metrics: What stands for the problem's own metrics; None: nothing does.
        members: The runs that differ from this one in the seed alone, itself first; empty where
            there are none.
        results: The folder of all runs' results, relative to the working directory.
        refinement: How exact an adaptive grid is to be; None where every point is evaluated.
    """

    name: str
    problem: str
    grid: Grid
    args: dict[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    train: Train | None = None
    shards: int | Literal["auto"] = "auto"
    directions: tuple[DirectionSettings, ...] = ()
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    figures: FigureSettings = field(default_factory=FigureSettings)
    paraview: ParaviewSettings = field(default_factory=ParaviewSettings)
    verdict: VerdictSettings = field(default_factory=VerdictSettings)
    auto: tuple[str, ...] = ()
    trajectory: dict[str, tuple[str, ...]] = field(default_factory=dict)
    frame: Frame | None = None
    frames: tuple[str, ...] = ()
    film: str = "gif"
    metrics: Asked | None = None
    members: tuple[str, ...] = ()
    results: Path = RESULTS
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        given = tuple(self.directions) or (DirectionSettings(),) * len(self.grid.axes)
        object.__setattr__(self, "directions", given)
        if len(given) != len(self.grid.axes):
            raise InputError(
                f"There are {len(given)} directions for the {len(self.grid.axes)} axes of the "
                f"grid; give one for each."
            )

    def under(self, results: Path) -> "Experiment":
        """Return the run with its results, and those of its film, in another folder."""
        found = replace(self, results=results)
        if self.frame is None:
            return found
        plane = found.folder.with_name(self.frame.film) / "directions.h5"
        here = (one.model_copy(update={"path": plane.as_posix()}) for one in self.directions)
        return replace(found, directions=tuple(here))

    @property
    def folder(self) -> Path:
        """Where everything of this run is written, relative to the working directory."""
        return self.results / self.name

    @property
    def range_path(self) -> Path:
        """The file with the ends of its axes, where they are found: of a frame, its film's."""
        owner = self.folder if self.frame is None else self.folder.with_name(self.frame.film)
        return owner / "range.json"

    @property
    def trajectories(self) -> dict[str, tuple[str, ...]]:
        """What pictures show of trainings: what is asked for, else what a PCA was made from."""
        if self.trajectory:
            return self.trajectory
        for direction in self.directions:
            if direction.checkpoints is not None:
                return {"checkpoints": direction.checkpoints}
        return {}

    def path(self, *parts: str) -> Path:
        """Return a path below the run's folder."""
        return self.folder.joinpath(*parts)

    def settings(self, part: str) -> str:
        """Return what one part says, as canonical JSON: same meaning, same string.

        Args:
            part: ``problem`` (with args and files), ``train``, ``grid`` (without shards),
                ``refinement``, ``directions``, ``trajectory``, ``evaluation``, ``figures``,
                ``paraview``, ``verdict`` or ``metrics``.

        Raises:
            InputError: If there is no such part.
        """
        if part not in _PARTS:
            raise InputError(f"There is no part {part!r}; choose one of {list(_PARTS)}.")
        told = _by_name(_PARTS[part](self))
        return json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


_PARTS: Mapping[str, Callable[[Experiment], Any]] = {
    "problem": lambda run: {
        "problem": run.problem,
        "args": run.args,
        "files": sorted(set(run.files)),
    },
    "train": lambda run: run.train and run.train.settings(),
    "grid": lambda run: {
        name: ["auto", "auto", axis.count]
        if name in run.auto
        else [float(axis.low), float(axis.high), axis.count]
        for name, axis in zip(AXES[: len(run.grid.axes)], run.grid.axes, strict=True)
    },
    "refinement": lambda run: run.refinement and asdict(run.refinement),
    "directions": lambda run: {
        name: direction.settings()
        for name, direction in zip(AXES[: len(run.directions)], run.directions, strict=True)
    },
    "trajectory": lambda run: run.trajectories,
    "evaluation": lambda run: run.evaluation.settings(),
    "figures": lambda run: run.figures.settings(),
    "paraview": lambda run: run.paraview.settings(),
    "verdict": lambda run: run.verdict.settings(),
    "metrics": lambda run: run.metrics and run.metrics.plain(),
}


def _by_name(value: Any) -> Any:
    """Give every mapping keys that are strings and stay apart: 1 is not '1'."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else f"{type(key).__name__} {key}": _by_name(item)
            for key, item in value.items()
        }
    return [_by_name(item) for item in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Config:
    """The runs of one config file.

    Attributes:
        path: The file, as it was named.
        runs: Every experiment by its name, in the order of the file.
        comparison: How the pictures of several runs look.
        results: The folder of all results, relative to the working directory.
    """

    path: Path
    runs: Mapping[str, Experiment]
    comparison: ComparisonSettings = field(default_factory=ComparisonSettings)
    results: Path = RESULTS

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of the runs that have pictures of their own: all but the frames of films."""
        return tuple(name for name, run in self.runs.items() if run.frame is None)

    @property
    def compared(self) -> tuple[str, ...]:
        """The names of the runs that are compared: none where they are fewer than two.

        Where nobody says which, those that a run brings along as its seeds are left out: they have
        a picture of their own.
        """
        seeds = {name for run in self.runs.values() for name in run.members[1:]}
        every = tuple(name for name in self.shown if name not in seeds)
        names = every if self.comparison.runs is None else self.comparison.runs
        return names if len(names) > 1 else ()

    def run(self, name: str) -> Experiment:
        """Return one experiment.

        Raises:
            InputError: If there is no such run; the message lists those there are.
        """
        if name not in self.runs:
            raise InputError(
                f"{self.path}: there is no run {name!r}; choose one of {list(self.runs)}."
            )
        return self.runs[name]
