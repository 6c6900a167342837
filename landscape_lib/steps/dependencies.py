"""What each step's result depends on, found out before anything runs.

The pipeline asks this while it reads its rules, so nothing heavy is imported here, and no user's
code is run: settings are read from the config, contents are hashed, code is parsed.
"""

import logging
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape_lib.config import Config, Experiment, FigureSettings, Frame
from landscape_lib.config.checkpoints import files_of
from landscape_lib.core import EVALUATION_VERSION
from landscape_lib.core.errors import InputError
from landscape_lib.core.gap import GAP, gaps
from landscape_lib.problems.source import (
    code_files,
    is_local,
    locate,
    metrics_code,
    split_name,
    trees_hash,
)
from landscape_lib.steps.report import read_probe, reading
from landscape_lib.steps.shapes import RoundShape, refuse_strange
from landscape_lib.utils.hashing import HashCache, canonical, hash_text
from landscape_lib.utils.pipeline import SCRIPTS
from landscape_lib.utils.records import read_record
from landscape_lib.utils.retries import is_retried
from landscape_lib.viz.names import (
    LOSS_AND_ACCURACY,
    PERSISTENCE,
    SEEDS,
    SPECTRUM,
    file_name,
    rated_splits,
)

log = logging.getLogger(__name__)

SHARD_ORDER = "coarse to fine"  # of a grid's points: shards of another order don't fit together
SHARD_SECONDS = 300.0  # of evaluation in a shard: starting Python costs under 2 % of it
SHARD_POINTS = 100_000  # at most, in one process: a million journal entries take 1 GB of memory
VERDICTS = ("verdict.json", "verdict.html")
FIGURES = ("2dcontour", "2dcontourf", "2dheat", "3dsurface")
DRAWING_SCRIPTS = (
    "plot_surface.py",
    "plot_curves.py",
    "plot_persistence.py",
    "plot_spectrum.py",
    "plot_gap.py",
    "plot_seeds.py",
    "export_vtp.py",
    "export_flat.py",
    "export_trajectory.py",
    "compare_runs.py",
    "make_explorer.py",
    "make_all_explorer.py",
    "plot_over_training.py",
    "export_over_training.py",
    "explore_over_training.py",
)
_LIBRARY = Path(__file__).resolve().parents[1]


class Dependencies:
    """Answers, for every run of a config, what would make a step's result another one.

    Args:
        config: The whole config.
        cache: Remembers the hashes of big files between starts.
        others: Tells whether a rule of another workflow, of which the pipeline is a module, makes
            a file; asked after this object is made, when all rules are known.
        fetch: Brings a result here before it is read, where results lie in object storage.
    """

    def __init__(
        self,
        config: Config,
        cache: HashCache | None = None,
        others: Callable[[str], bool] | None = None,
        fetch: Callable[[Path], None] | None = None,
    ) -> None:
        self.config = config
        self._fetch = fetch
        self._others = others
        self._cache = cache or HashCache()
        self._code_files: dict[str, dict[Path, int]] = {}
        for experiment in config.runs.values():
            self._refuse_undeclared(experiment)
            self._check_files(experiment)
            self._check_style(experiment.figures, f"runs.{experiment.name}.figures")
            self._check_film(experiment)
        self._check_style(config.comparison, "comparison")
        self._cache.save()

    def directions(self, run: str) -> str:
        """Return what the directions depend on: their settings, and the model's content."""
        experiment = self.config.run(run)
        models: list[Any] = [
            self._content(path)
            for settings in experiment.directions
            for path in (settings.model, settings.path)
            if path is not None
        ]
        models += [self._checkpoints(d.checkpoints) for d in experiment.directions if d.checkpoints]
        parts = [self._content_of(experiment), experiment.settings("directions"), models]
        return self._saved([*parts, *self._curved(experiment)])

    def _curved(self, experiment: Experiment) -> list[str]:
        """Return what derivatives depend on beside the model: the loss's code."""
        if not self.bends(experiment.name):
            return []
        wishes = experiment.evaluation
        code = self._code(split_name(experiment.problem)[0])
        told = [code, wishes.precision, *self._metrics(experiment)]
        if any(one.curve != "none" for one in experiment.directions):
            told += [wishes.batch_norm, str(wishes.batch_norm_samples), str(wishes.batch_size)]
        return told

    def bends(self, run: str) -> bool:
        """Tell whether directions take derivatives, and so want a GPU where there is one."""
        asked = self.config.run(run).directions
        return any(one.kind == "hessian" or one.curve != "none" for one in asked)

    def trajectory(self, run: str) -> str:
        """Return what trajectories depend on beside the directions: checkpoints, and the model."""
        experiment = self.config.run(run)
        named = experiment.trajectories.items()  # a list: their order decides their colours
        ways = [[name, self._checkpoints(checkpoints)] for name, checkpoints in named]
        return self._saved([self._content_of(experiment), ways])

    def problem(self, run: str) -> str:
        """Return what the problem's values depend on: content, code, evaluation settings."""
        experiment = self.config.run(run)
        code = self._code(split_name(experiment.problem)[0])
        parts = [self._content_of(experiment), code, experiment.settings("evaluation")]
        return self._saved([*parts, EVALUATION_VERSION, *self._metrics(experiment)])

    def _code(self, place: str) -> str:
        """Hash a module's code; what it imports is looked for anew when one of its files changed.

        Every shard asks, and looking for some hundred modules on Python's path takes milliseconds.
        """
        files = self._code_files.get(place)
        if files is None or files != _dated(files):
            files = self._code_files[place] = _dated(code_files(place))
        return trees_hash(files)

    def _metrics(self, experiment: Experiment) -> list[str]:
        """Return what metrics that the config names depend on; nothing where it names none."""
        asked = experiment.metrics
        if asked is None:
            return []
        return [canonical(self._by_content(asked.plain())), metrics_code(asked, self._code)]

    def shard(self, run: str, name: str) -> str:
        """Return what a shard depends on beside its directions: problem, grid, plan, keys.

        And on whether points that failed in it are to be evaluated again.

        Args:
            run: Of which run.
            name: The shard's file below the run's folder.
        """
        report, experiment = self.report(run), self.config.run(run)
        probed = [report.get(name) for name in ("problem", "plan", "keys")]
        again = is_retried(experiment.path(name), experiment.evaluation.on_error)
        told = [self.problem(run), experiment.settings("grid"), probed, SHARD_ORDER]
        return self._saved([*told, *(["failed points again"] if again else [])])

    def points(self, run: str) -> str:
        """Return what the choice of an adaptive grid's points depends on beside their shards."""
        experiment = self.config.run(run)
        grid = [experiment.settings(part) for part in ("grid", "refinement")]
        told = [*grid, experiment.shards, self.report(run).get("labels")]
        return hash_text(canonical(told) + self._choosing)

    def merging(self, run: str) -> str:
        """Return what a surface depends on beside its shards."""
        experiment = self.config.run(run)
        return self.points(run) if experiment.refinement else experiment.settings("grid")

    def round_shards(self, run: str, number: int) -> list[str] | None:
        """Return the shards of one round of an adaptive grid; None where none is needed any more.

        Raises:
            InputError: If the round's file is damaged.
        """
        folder = self.config.run(run).path("rounds")
        path = folder / f"{number}.json"
        self._bring(path)
        with reading(path, "choose_points"):
            found = read_record(path)
            refuse_strange(found, RoundShape)
        count = int(found["shards"])
        shards = [(folder / f"{number}/{k}-of-{count}.h5").as_posix() for k in range(count)]
        return shards or None

    def training(self, run: str) -> str:
        """Return what a trained model depends on: the config's ``train:``, not its code."""
        return self.config.run(run).settings("train")

    def figures(self, run: str) -> str:
        """Return what pictures depend on beside the surface."""
        experiment = self.config.run(run)
        style = self._style(experiment.figures)
        return hash_text(experiment.settings("figures") + style + self._drawing)

    def paraview(self, run: str) -> str:
        """Return what ParaView files depend on beside the surface."""
        return hash_text(self.config.run(run).settings("paraview") + self._drawing)

    def explorer(self, run: str) -> str:
        """Return what the explorer depends on beside the surface."""
        return hash_text(self.config.run(run).figures.cmap + self._drawing + self._page)

    def flat(self, run: str) -> str:
        """Return what ParaView's flat file depends on beside the surface."""
        return hash_text(f"{self.config.run(run).paraview.interp}{self._drawing}")

    def comparison(self) -> str:
        """Return what pictures of several runs depend on beside their surfaces."""
        settings = self.config.comparison
        told = canonical([settings.model_dump(mode="json"), self.config.compared])
        return hash_text(told + self._style(settings) + self._drawing)

    def range(self, run: str) -> str:
        """Return what a range that is found by itself depends on beside the directions."""
        return self._saved([self.problem(run), self.config.run(run).auto])

    def centre(self, run: str) -> str:
        """Return what the centre's measurements depend on beside surface and directions."""
        asked = self.config.run(run).settings("verdict")
        return self._saved([self.problem(run), asked, self._measuring])

    def verdict(self, run: str) -> str:
        """Return what a verdict depends on beside the surface and the centre's measurements."""
        figures = self.config.run(run).figures
        return hash_text(canonical([figures.vmin, figures.vmax]) + self._judging)

    def files(self, run: str) -> list[str]:
        """Return the hash files of what the pipeline makes itself and the run depends on."""
        experiment = self.config.run(run)
        return [f"{path}.sha256" for path in self._made_for(experiment)]

    def inputs(self, run: str) -> list[str]:
        """Return what the run reads and other workflows' rules make, or is still to be made.

        Snakemake watches these files as it does any rule's input.
        """
        if self._others is None:
            return []
        experiment = self.config.run(run)
        lists = _checkpoint_lists(experiment)
        known = {_plain(path) for path in self._read(experiment)}
        named = {_plain(path) for path in _texts(experiment.args)}
        named |= {_plain(name) for names in lists for name in names}
        coming = {path for path in known if not Path(path).exists()}
        return sorted(
            (coming | {path for path in named | known if self._others(path)}) - self._made()
        )

    def inputs_here(self) -> dict[Path, str]:
        """Return every file below the working directory that runs read or import, and its hash.

        What lies elsewhere is named: other machines must have it at the same place.
        """
        found = {Path(path) for run in self.config.runs.values() for path in self._brought(run)}
        files = {file for path in found for file in _files_in(path)}
        here = {file for file in files if file.is_relative_to(Path.cwd())}
        for file in sorted(files - here):
            log.warning("%s lies outside of this folder: every job must find it there.", file)
        hashes = {file.relative_to(Path.cwd()): self._cache.hash(file) for file in sorted(here)}
        self._cache.save()
        return hashes

    def _brought(self, experiment: Experiment) -> set[str]:
        """Return the files and folders of a run that the user brought, its code among them."""
        named = [*self._read(experiment), *_texts(experiment.args), *self._found(experiment)]
        named += [str(experiment.figures.style), str(self.config.comparison.style)]
        made = self._made() | self._planes()
        files = {path for path in named if _plain(path) not in made and _exists(path)}
        code = [experiment.problem]
        code += [] if experiment.train is None else [experiment.train.function]
        code += experiment.metrics.imported() if experiment.metrics else []
        own = {path for name in code for path in code_files(split_name(name)[0])}
        return files | {str(path) for path in own if is_local(path)}

    def report(self, run: str) -> dict[str, Any]:
        """Return ``probe.json``, or nothing where there is none.

        Raises:
            InputError: If it is damaged.
        """
        path = self.config.run(run).path("probe.json")
        self._bring(path)
        return read_probe(path) if path.exists() else {}

    def keys(self, run: str, key_file: str | None = None) -> list[str]:
        """Return the run's metric keys.

        Raises:
            InputError: If ``key_file`` is not the file name of one of them.
        """
        keys = list(self.report(run).get("keys", ()))
        if key_file is not None and key_file not in map(file_name, keys):
            raise InputError(f"{run}: there is no metric {key_file!r}; it has {', '.join(keys)}.")
        return keys

    def shard_count(self, run: str) -> int:
        """Return how many shards the grid is cut into."""
        experiment = self.config.run(run)
        if experiment.shards != "auto":
            return int(experiment.shards)
        return shard_count(experiment, float(self.report(run)["seconds_per_point"]))

    def threads(self, run: str) -> int:
        """Return the cores that a shard keeps busy: its plan's threads, and one beside a GPU.

        One also where no plan is known yet; a damaged one is the shard's to refuse.
        """
        found = self.report(run).get("plan")
        plan = found if isinstance(found, dict) else {}
        threads = plan.get("threads")
        if not isinstance(threads, int) or str(plan.get("device")).startswith("cuda"):
            return 1
        return max(1, threads)

    def targets(self, run: str) -> list[str]:
        """Return every file that the run is for."""
        experiment = self.config.run(run)
        surface = experiment.path("surface.h5").as_posix()
        if experiment.frame is not None:
            return [surface]
        verdict = [experiment.path(name).as_posix() for name in VERDICTS]
        explorer = experiment.path("explorer.html").as_posix()
        keys = self.keys(run)
        more = [*film_targets(experiment, keys), *seeds_targets(experiment)]
        return [surface, explorer, *picture_targets(experiment, keys), *verdict, *more]

    def sharing(self, key_file: str) -> list[str]:
        """Return the surfaces of the runs that are compared and have a metric.

        Raises:
            InputError: If fewer than two have it.
        """
        having = [run for run in self.config.compared if key_file in map(file_name, self.keys(run))]
        if len(having) < 2:
            raise InputError(
                f"The metric {key_file!r} is measured by {having or 'no run'} of those compared, "
                f"{list(self.config.compared)}; a comparison needs two."
            )
        return [self.config.run(run).path("surface.h5").as_posix() for run in having]

    def comparison_targets(self) -> list[str]:
        """Return every picture of several runs: one for each metric that two of them share."""
        names = Counter(file_name(key) for run in self.config.compared for key in self.keys(run))
        return [
            (self.config.results / "comparison" / f"{name}.{ending}").as_posix()
            for name, count in names.items()
            if count > 1
            for ending in self.config.comparison.formats
        ]

    def _style(self, figures: FigureSettings) -> str:
        """Return the content of a style sheet, or the name of one of matplotlib's."""
        style = figures.style
        return self._cache.hash(style) if style is not None and _is_file(style) else str(style)

    @cached_property
    def _drawing(self) -> str:
        steps = ("pictures", "explorer", "shown", "over_training")
        parts = [*(f"steps/{name}.py" for name in steps), "core/topology.py", "core/gap.py"]
        drawing = [*parts, *_modules("viz")]
        return _code(drawing, DRAWING_SCRIPTS)

    @cached_property
    def _measuring(self) -> str:
        steps = ("centre", "derivatives", "hessian", "objective", "spectrum")
        parts = [*(f"steps/{name}.py" for name in steps), "core/curvature.py", "core/geometry.py"]
        return _code(parts, ["measure_centre.py"])

    @cached_property
    def _choosing(self) -> str:
        return _code(_modules("adaptive"), ["choose_points.py"])

    @cached_property
    def _judging(self) -> str:
        mathematics = ["core/geometry.py", "core/topology.py"]
        judging = ["steps/verdict.py", *mathematics, *_modules("verdict")]
        return _code(judging, ["make_verdict.py"])

    @property
    def shared_targets(self) -> list[str]:
        """What all runs together are for: with more than one, a page that shows them all."""
        page = self.config.results / "explorer.html"
        return [page.as_posix()] if len(self.config.shown) > 1 else []

    @cached_property
    def _page(self) -> str:
        return hash_text(
            "".join(p.read_text("utf-8") for p in sorted((_LIBRARY / "viz/page").glob("*.*")))
        )

    def _saved(self, parts: Any) -> str:
        self._cache.save()
        return hash_text(canonical(parts))

    def _check_files(self, experiment: Experiment) -> None:
        """Refuse now what would stop a step later.

        Raises:
            InputError: If code or a file that the config names is not there.
        """
        locate(split_name(experiment.problem)[0])
        for path in experiment.metrics.imported() if experiment.metrics else ():
            locate(split_name(path)[0])
        if experiment.train is not None:
            locate(split_name(experiment.train.function)[0])
        made = self._made()
        own = experiment.path("model.pt").as_posix()
        users = [name for e in self.config.runs.values() for name in self._made_for(e)]
        if experiment.train is not None and own not in users:
            raise InputError(
                f"{self.config.path}: runs.{experiment.name}.train makes {own}, but no run uses "
                f"it: name it in args, as {{checkpoint: {own}}}."
            )
        coming = self._others is not None  # a rule that is read later may make it
        for path in [*([] if coming else self._read(experiment)), *self._found(experiment)]:
            if _plain(path) not in made | self._planes() and not Path(path).exists():
                raise InputError(
                    f"{self.config.path}: runs.{experiment.name}: {path}: there is no such file "
                    f"(looked in {Path.cwd()})."
                )

    def _refuse_undeclared(self, experiment: Experiment) -> None:
        """Refuse what only a folder brings from one job to the next.

        Raises:
            InputError: If results lie in object storage, and a run shows how another was trained.
        """
        named = [name for names in _checkpoint_lists(experiment) for name in names]
        coming = next(filter(self._trained_with, named), None)
        if self._fetch is not None and coming is not None:
            raise InputError(
                f"{self.config.path}: runs.{experiment.name}: {coming}: checkpoints that training "
                "leaves here do not reach other jobs through object storage. Train without it "
                "first, move the checkpoints out of results/, and name them."
            )

    def _found(self, experiment: Experiment) -> list[str]:
        """Return the checkpoints that must be there already.

        Raises:
            InputError: If a pattern fits none, or one is named twice.
        """
        try:
            return [
                path
                for one in _checkpoint_lists(experiment)
                for path in files_of([name for name in one if not self._to_be_made(name)])
            ]
        except InputError as error:
            raise InputError(f"{self.config.path}: runs.{experiment.name}: {error}") from None

    def _check_style(self, figures: FigureSettings, place: str) -> None:
        """Refuse a style sheet that looks like a file and isn't there; names are checked later.

        Raises:
            InputError: If it isn't.
        """
        style = figures.style
        if style is not None and not _is_file(style) and {"/", "."} & set(style):
            raise InputError(
                f"{self.config.path}: {place}.style: {style}: there is no such file (looked in "
                f"{Path.cwd()})."
            )

    def _check_film(self, experiment: Experiment) -> None:
        """Refuse now what would stop a film after everything was evaluated.

        Raises:
            InputError: If there are too few checkpoints, or ffmpeg is missing for an mp4.
        """
        place = f"{self.config.path}: runs.{experiment.name}"
        if experiment.frames and experiment.film == "mp4" and shutil.which("ffmpeg") is None:
            raise InputError(f"{place}.film: mp4 needs the program ffmpeg; say 'film: gif'.")
        frame = experiment.frame
        if frame is not None and not any(map(self._to_be_made, frame.checkpoints)):
            frame.checkpoint  # noqa: B018 - raises where there is none

    def _to_be_made(self, name: str) -> bool:
        """Tell whether a checkpoint is made here, or is not there and may be made elsewhere."""
        elsewhere = (
            self._others is not None and not Path(name).exists() and not set(name) & set("*?[")
        )
        return elsewhere or bool(self._trained_with(name))

    def _read(self, experiment: Experiment) -> list[str]:
        """Return the files that a run surely reads; its ``args`` may name more."""
        return [*experiment.files, *self._direction_files(experiment)]

    def _direction_files(self, experiment: Experiment) -> list[str]:
        named = [p for d in experiment.directions for p in (d.model, d.path)]
        return [path for path in named if path is not None]

    def _made(self) -> set[str]:
        return {
            e.path("model.pt").as_posix() for e in self.config.runs.values() if e.train is not None
        }

    def _planes(self) -> set[str]:
        """Return the directions that films' frames take over from their run."""
        films = [e for e in self.config.runs.values() if e.frames]
        return {film.path("directions.h5").as_posix() for film in films}

    def _made_for(self, experiment: Experiment) -> list[str]:
        made = self._made() | (self._planes() if experiment.frame else set())
        named = [*_texts(experiment.args), *experiment.files, *self._direction_files(experiment)]
        named += _texts(experiment.metrics.plain()) if experiment.metrics else []
        lists = _checkpoint_lists(experiment)
        makers = {self._trained_with(name) for names in lists for name in names}
        return sorted(({_plain(path) for path in named} | makers) & made)

    def _trained_with(self, name: str) -> str:
        """Return the model whose training leaves these checkpoints; nothing for other files."""
        for model in self._made():
            if _plain(name).startswith(f"{Path(model).with_name('checkpoints').as_posix()}/"):
                return model
        return ""

    def _checkpoints(self, named: Sequence[str]) -> list[Any]:
        """Return the content of checkpoints in order; of those made here, that of their model."""
        found: list[Any] = []
        for name in named:
            model = self._trained_with(name)
            files = [name] if model or self._others_make(name) else files_of([name])
            found += [[path, self._content(model or path)] for path in files]
        return found

    def _content_of(self, experiment: Experiment) -> list[Any]:
        files = [self._content(path) for path in experiment.files]
        parts = [experiment.problem, self._by_content(experiment.args), files]
        return parts if experiment.frame is None else [*parts, self._moment(experiment.frame)]

    def _moment(self, frame: Frame) -> list[Any]:
        """Return the content of a frame's checkpoint; of one made here, that of its model."""
        makers = [self._trained_with(name) for name in frame.checkpoints]
        if any(makers):
            return [frame.number, frame.count, self._checkpoints(frame.checkpoints)]
        return [self._content(frame.checkpoint)]

    def _by_content(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): self._by_content(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._by_content(item) for item in value]
        if isinstance(value, str) and self._is_content(value):
            return self._content(value)
        return value

    def _is_content(self, text: str) -> bool:
        made = _plain(text) in self._made() or self._others_make(text)
        return made or _is_file(text)

    def _content(self, path: str) -> str:
        """Hash a file.

        One that the pipeline makes is watched through its hash file instead, and one that another
        workflow makes as an ordinary input.
        """
        if self._others_make(path) or _plain(path) in self._planes():
            return "made"
        if _plain(path) not in self._made():
            return self._cache.hash(path)
        return self._by_hand(Path(path))

    def _bring(self, path: Path) -> None:
        if self._fetch is not None:
            self._fetch(path)

    def _others_make(self, path: str) -> bool:
        return self._others is not None and self._others(_plain(path))

    def _by_hand(self, path: Path) -> str:
        """Return a made file's hash where it is no longer what the pipeline made, else nothing."""
        if self._fetch is not None:  # what is here is a copy, of some other day perhaps
            return "made"
        try:
            made = Path(f"{path}.sha256").read_text("utf-8").split()[0]
            found = self._cache.hash(path)
        except (OSError, IndexError, InputError):
            return "made"
        return "made" if found == made else found


def picture_targets(experiment: Experiment, keys: Sequence[str]) -> list[str]:
    """Return every picture and ParaView file of a run with these metrics."""
    folder = experiment.folder.as_posix()
    names = [file_name(key) for key in keys]
    curve = len(experiment.grid.axes) == 1
    kinds = ("1d",) if curve else FIGURES
    drawn = [f"{name}_{kind}" for name in names for kind in kinds]
    if experiment.figures.topology:
        drawn += [f"{name}_{PERSISTENCE}" for name in names]
    if curve and rated_splits(keys):
        drawn.append(f"{LOSS_AND_ACCURACY}_1d")
    if experiment.verdict.density:
        drawn.append(SPECTRUM)
    drawn += [f"{file_name(key)}_{GAP}" for key in gaps(keys)]
    if experiment.members:
        drawn += [f"{name}_{SEEDS}" for name in names]
    figures = [
        f"{folder}/figures/{name}.{ending}"
        for name in drawn
        for ending in experiment.figures.formats
    ]
    if curve:
        return figures
    sheets = [f"{name}.vtp" for name in names]
    ways = [f"trajectory/{name}" for name in sheets] if experiment.trajectories else []
    files = (*sheets, "flat.vtp", "open.py", *ways)
    return figures + [f"{folder}/paraview/{name}" for name in files]


def film_targets(experiment: Experiment, keys: Sequence[str]) -> list[str]:
    """Return every file that shows a run's training; none where it has no frames."""
    if not experiment.frames:
        return []
    folder = experiment.folder.as_posix()
    names = [file_name(key) for key in keys]
    endings = (*experiment.figures.formats, experiment.film)
    drawn = [f"{folder}/over_training/{name}.{ending}" for name in names for ending in endings]
    lists = [f"{folder}/paraview/over_training/{name}.pvd" for name in names]
    return [
        f"{folder}/over_training.html",
        *drawn,
        *(lists if len(experiment.grid.axes) > 1 else ()),
    ]


def seeds_targets(experiment: Experiment) -> list[str]:
    """Return the file with the mean and spread over a run's seeds, where it has any."""
    return [experiment.path("seeds.h5").as_posix()] if experiment.members else []


def _checkpoint_lists(experiment: Experiment) -> list[Sequence[str]]:
    """Return every list of checkpoints that a run names: of its directions, of its trajectories."""
    named = [d.checkpoints for d in experiment.directions if d.checkpoints is not None]
    frame = [] if experiment.frame is None else [experiment.frame.checkpoints]
    return [*named, *experiment.trajectories.values(), *frame]


def shard_count(experiment: Experiment, seconds_per_point: float, points: int | None = None) -> int:
    """Return how many shards points are cut into.

    ``auto``: about five minutes of evaluation each, and at most 100,000 points.

    Args:
        experiment: The run.
        seconds_per_point: As the probe measured it.
        points: How many there are; None: the whole grid.
    """
    points = experiment.grid.size if points is None else points
    if experiment.shards != "auto":
        return min(int(experiment.shards), points)
    seconds = seconds_per_point * points
    least = math.ceil(points / SHARD_POINTS)
    return max(1, least, min(points, math.ceil(seconds / SHARD_SECONDS)))


def _modules(room: str) -> list[str]:
    return [f"{room}/{path.name}" for path in (_LIBRARY / room).glob("*.py")]


def _code(modules: Sequence[str], scripts: Sequence[str]) -> str:
    """Hash modules of ours, and the scripts that call them where they lie beside the library."""
    beside = [SCRIPTS / name for name in scripts]
    ours = [_LIBRARY / name for name in modules]
    return trees_hash([*ours, *(path for path in beside if path.is_file())])


def _dated(files: Iterable[Path]) -> dict[Path, int]:
    """Return when files were changed, 0 for those that are gone."""
    return {path: path.stat().st_mtime_ns if path.exists() else 0 for path in files}


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _plain(path: str) -> str:
    """Spell a path as the pipeline does: from the working directory, without ``./``."""
    return Path(os.path.relpath(path)).as_posix() if path and "\0" not in path else path


def _exists(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except (OSError, ValueError):
        return False


def _files_in(path: Path) -> list[Path]:
    """Return the absolute path of a file, or of every file in a folder."""
    if path.is_dir():
        return [one.absolute() for one in path.rglob("*") if one.is_file()]
    return [path.absolute()]


def _is_file(text: str) -> bool:
    try:
        return bool(text) and Path(text).is_file()
    except (OSError, ValueError):
        return False
