# The config, the runs in it, and what each result depends on.
import functools
import logging
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import flag
from snakemake.path_modifier import PATH_MODIFIER_FLAG
from snakemake_interface_executor_plugins.settings import ExecMode, SharedFSUsage

from landscape_lib import config as landscape_config
from landscape_lib.cli import said_of_refusal
from landscape_lib.config.module import handed_over
from landscape_lib.core.errors import InputError
from landscape_lib.steps import estimates
from landscape_lib.steps.dependencies import Dependencies
from landscape_lib.steps.stored import StoredResults, unlink_results
from landscape_lib.utils import pipeline
from landscape_lib.utils.bucket import Bucket
from landscape_lib.utils.dates import end_tomorrow
from landscape_lib.utils.heartbeat import tell_of_killed
from landscape_lib.utils.runlock import drop_stale_lock
from landscape_lib.viz.names import file_name

logging.getLogger("landscape_lib").addHandler(logging.StreamHandler())

IS_MODULE = not workflow.modifier.is_main_snakefile()

# Snakemake itself puts a module's prefix before the paths that rules name.
PATHS = workflow.modifier.path_modifier
RESULTS = PATHS.replace_prefix("results/").rstrip("/")
if workflow.exec_mode == ExecMode.DEFAULT:  # held for as long as this process lives
    try:
        RUN_LOCK = drop_stale_lock(
            ours=not IS_MODULE, unlocking="--unlock" in sys.argv, results=Path(RESULTS)
        )
    except OSError as error:
        print(f"Error: {said_of_refusal(error) or error}", file=sys.stderr)
        sys.exit(1)
    end_tomorrow(RESULTS, RUN_LOCK.now())


def read_config():
    """Return the one config file's path and its runs: a module's own, else --configfile's."""
    if IS_MODULE:
        return handed_over(config, RESULTS)
    given = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    if len(given) > 1 or workflow.config_settings.config:
        sys.exit(
            "Error: settings come from one file: put them there and name it with --configfile."
        )
    path = given[0] if given else "config/config.yaml"
    path = (
        f"./{path}" if path.startswith("-") else path
    )  # or programs take it for an option
    return path, landscape_config.load(path)


def results_in_storage():
    """Return how results lie in object storage, as --default-storage-provider says, or None.

    A job on another machine gets the user's files from there as well.
    """
    asked = workflow.storage_settings
    if asked.default_storage_provider is None:
        if workflow.exec_mode == ExecMode.DEFAULT:
            unlink_results(RESULTS, asked.local_storage_prefix)
        return None
    found = StoredResults(
        workflow.storage_registry.default_storage_provider,
        asked.default_storage_provider,
        asked.default_storage_prefix,
        state=lambda: len(checkpoints.created_output),
    )
    os.environ.update(found.environment())  # for the jobs' programs
    found.link(RESULTS)
    if workflow.remote_exec and OWN_SOURCES:
        Bucket(found.url).bring_inputs()
    return found


def publish_inputs():
    """Copy the user's files into object storage, once it is known that jobs will run."""
    if STORE and OWN_SOURCES and workflow.exec_mode == ExecMode.DEFAULT:
        Bucket(STORE.url).publish(DEPENDS.inputs_here())


@functools.cache
def made_by_others(path):
    """Tell whether the workflow that this one is a module of has a rule that makes a file."""
    others = (one for one in workflow.rules if one.module_globals is not globals())
    return any(one.is_producer(path) for one in others)


# Whether each job's machine has sources of its own, and none of this folder's.
OWN_SOURCES = SharedFSUsage.SOURCES not in workflow.storage_settings.shared_fs_usage

try:
    STORE = results_in_storage()
    CONFIG, settings = read_config()
    DEPENDS = Dependencies(
        settings,
        others=made_by_others if IS_MODULE else None,
        fetch=STORE.fetch if STORE else None,
    )
    if not workflow.dryrun:
        publish_inputs()
except InputError as error:
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(2)

RUNS = list(DEPENDS.config.runs)
SHOWN = DEPENDS.config.shown  # all but the moments of trainings
SURFACE_PICTURES = {  # kinds, and what the report calls them
    "2dcontour": "contour lines",
    "2dcontourf": "filled contours",
    "2dheat": "heat map",
    "3dsurface": "relief",
}
SCRIPTS = os.path.relpath(pipeline.SCRIPTS)


wildcard_constraints:
    run="|".join(re.escape(run) for run in RUNS),
    key=r"(?!flat\.vtp|loss_and_accuracy_1d)[A-Za-z0-9._%-]+",  # those files have rules of their own
    k="[0-9]+",
    n="[0-9]+",
    round="[0-9]+",
    format="pdf|png|svg",


# A job that was killed says nothing itself, and Snakemake names only the signal.
onerror:
    for run in RUNS:
        tell_of_killed(DEPENDS.config.run(run).path("journal"))


# Snakemake never compares a params function that takes the output: renaming the config, or
# standing in another folder, is no reason to run anything again.
def the_config(wildcards, output):
    """Return what stands after --config: the file, and where results lie if not in results/."""
    elsewhere = [] if RESULTS == "results" else ["--results", RESULTS]
    stored = ["--store", STORE.url] if STORE else []
    return [CONFIG, *elsewhere, *stored]


def the_scripts(wildcards, output):
    return SCRIPTS


def or_stop(ask, *args):
    """Ask, and turn a user's mistake into Snakemake's own error: one message, no traceback."""
    try:
        return ask(*args)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def placed(paths):
    """Mark paths that have a module's prefix already, so that they don't get it once more."""
    if RESULTS == "results":
        return paths
    return [
        flag(PATHS.apply_default_storage(path), PATH_MODIFIER_FLAG) for path in paths
    ]


def of_run(run, file):
    """Return a run's file as an input."""
    return placed([DEPENDS.config.run(run).path(file).as_posix()])


# Where a checkpoint is met by a job that comes into the DAG only after another checkpoint, Snakemake
# never asks that job again.  Hence whatever leads to a run's surface, at any depth, settles it.
def settle(*runs):
    """Wait for what decides which jobs lead to surfaces: probes, and rounds of adaptive grids."""
    for run in runs:
        checkpoints.probe.get(run=run)
        if DEPENDS.config.run(run).refinement:
            rounds_of(run)


def targets_of(run):
    """Return a run's input function: one a run, so that a failing probe stops its own run only."""
    frames = DEPENDS.config.run(run).frames
    rounds = [frame for frame in frames if DEPENDS.config.run(frame).refinement]

    def targets(wildcards):
        settle(run, *rounds)
        return placed(or_stop(DEPENDS.targets, run))

    return targets


def comparison_targets(wildcards):
    """Return the pictures of several runs: an input function of their own, as each run has."""
    settle(*DEPENDS.config.compared)
    return placed(or_stop(DEPENDS.comparison_targets))


def made_files(wildcards):
    """Return models that this pipeline makes itself, whatever their date, and their hash files.

    And what rules of another workflow make, where this one is its module.
    """
    hashes = DEPENDS.files(wildcards.run)
    models = placed([path.removesuffix(".sha256") for path in hashes])
    return [*placed([*hashes, *DEPENDS.inputs(wildcards.run)]), *map(ancient, models)]


def films_probe(wildcards):
    """Return the probe of the run in whose film this one is a moment: its plan is taken over.

    Its date counts: a checkpoint that waits for another one, and then turns out to be up to date,
    is never met by the jobs that wait for it.
    """
    frame = DEPENDS.config.run(wildcards.run).frame
    return [] if frame is None else of_run(frame.film, "probe.json")


def shards_of(wildcards):
    """Return the run's shards; how many they are is known after the probe.

    Those of an adaptive grid are known round by round, until one needs none.
    """
    checkpoints.probe.get(run=wildcards.run)
    if DEPENDS.config.run(wildcards.run).refinement:
        return [path for found in rounds_of(wildcards.run) for path in found[1:]]
    n = or_stop(DEPENDS.shard_count, wildcards.run)
    return [
        path
        for k in range(n)
        for path in of_run(wildcards.run, f"shards/{k}-of-{n}.h5")
    ]


def rounds_of(run, until=None):
    """Return each round's file and its shards: of all rounds, or of those before one."""
    found = []
    while until is None or len(found) < until:
        file = checkpoints.choose_points.get(run=run, round=len(found)).output[0]
        shards = or_stop(DEPENDS.round_shards, run, len(found))
        if not shards:
            break
        found.append([file, *placed(shards)])
    return found


def rounds_before(wildcards):
    """Return what a round's points are chosen from; the first is chosen once there is a probe."""
    checkpoints.probe.get(run=wildcards.run)
    before = rounds_of(wildcards.run, until=int(wildcards.round))
    return [path for found in before for path in found]


def range_of(wildcards):
    """Return the file with the ends of the axes, where the config leaves them open."""
    run = DEPENDS.config.run(wildcards.run)
    return placed([run.range_path.as_posix()]) if run.auto else []


def trajectory_of(wildcards):
    """Return the file with the ways of trainings, where the run shows any."""
    shown = DEPENDS.config.run(wildcards.run).trajectories
    return of_run(wildcards.run, "trajectory.json") if shown else []


def moments_of(wildcards):
    """Return the surfaces of a run's moments of training, once all their probes are there."""
    frames = DEPENDS.config.run(wildcards.run).frames
    settle(*frames)
    return [path for frame in frames for path in of_run(frame, "surface.h5")]


def sheets_of(wildcards):
    """Return what ParaView plays, one file a moment of training."""
    frames, sheet = (
        DEPENDS.config.run(wildcards.run).frames,
        f"paraview/{wildcards.key}.vtp",
    )
    settle(*frames)
    return [path for frame in frames for path in of_run(frame, sheet)]


def surface_of(wildcards):
    """Return the run's surface, unless it has no such metric: then say so before computing."""
    settle(wildcards.run)
    or_stop(DEPENDS.keys, wildcards.run, wildcards.key)
    return of_run(wildcards.run, "surface.h5")


def members_of(wildcards):
    """Return the surfaces of a run's seeds, its own first."""
    members = DEPENDS.config.run(wildcards.run).members
    probes = {
        member: DEPENDS.config.run(member).path("probe.json") for member in members
    }
    settle(*(member for member, probe in probes.items() if probe.exists()))
    return [path for member in members for path in of_run(member, "surface.h5")]


def seeds_of(wildcards):
    """Return the file of a run's seeds, unless the run has no such metric."""
    surface_of(wildcards)
    members_of(wildcards)
    return of_run(wildcards.run, "seeds.h5")


def key_of(wildcards):
    """Return the metric key that a file name spells."""
    keys = DEPENDS.keys(wildcards.run)
    return next((key for key in keys if file_name(key) == wildcards.key), wildcards.key)


# Threads are no reason to run anything again: Snakemake does not compare them.
def all_cores(wildcards):
    """Return all cores of this machine that Snakemake was given; on a cluster's, one.

    There, ``--cores`` is what the whole cluster may lend, and a job's own Snakemake sees all that
    its node has, whatever the scheduler gave the job.
    """
    elsewhere = workflow.non_local_exec or workflow.remote_exec
    return 1 if elsewhere else workflow.resource_settings.cores or 1


def plans_threads(wildcards):
    return or_stop(DEPENDS.threads, wildcards.run)


# What a cluster is asked for.  Each retry asks for twice as much.  On one machine nothing of it
# counts, and it is no reason to run anything again.
def doubled(amount, attempt):
    return amount * 2 ** (attempt - 1)


def memory_to_evaluate(wildcards, attempt):
    return doubled(estimates.memory_mb(or_stop(DEPENDS.report, wildcards.run)), attempt)


def minutes_of_shard(wildcards, attempt):
    probed = or_stop(DEPENDS.report, wildcards.run)
    experiment = DEPENDS.config.run(wildcards.run)
    return doubled(
        estimates.shard_minutes(experiment, probed, int(wildcards.n)), attempt
    )


def minutes_of_range(wildcards, attempt):
    probed = or_stop(DEPENDS.report, wildcards.run)
    return doubled(estimates.range_minutes(probed), attempt)


def minutes_of_centre(wildcards, attempt):
    probed = or_stop(DEPENDS.report, wildcards.run)
    experiment = DEPENDS.config.run(wildcards.run)
    return doubled(estimates.centre_minutes(experiment, probed), attempt)


def surfaces_with(wildcards):
    """Return the surfaces of the runs that have a metric, where they are two or more."""
    settle(*DEPENDS.config.compared)
    return placed(or_stop(DEPENDS.sharing, wildcards.key))


def every_surface(wildcards):
    """Return every run's surface, trajectories and verdict, once all probes are there: nothing waits in vain."""
    settle(*SHOWN)
    shown = [run for run in SHOWN if DEPENDS.config.run(run).trajectories]
    wanted = [(run, file) for run in SHOWN for file in ("surface.h5", "verdict.json")]
    wanted += [(run, "trajectory.json") for run in shown]
    return [path for run, file in wanted for path in of_run(run, file)]


def shared_key_of(wildcards):
    """Return the metric key that a file name of the comparison spells."""
    keys = [key for run in DEPENDS.config.compared for key in DEPENDS.keys(run)]
    return next((key for key in keys if file_name(key) == wildcards.key), wildcards.key)


def on_trajectory(wildcards):
    return or_stop(DEPENDS.trajectory, wildcards.run)


def on_problem(wildcards):
    return or_stop(DEPENDS.problem, wildcards.run)


def gpus_for_directions(wildcards):
    return int(DEPENDS.bends(wildcards.run))


def on_directions(wildcards):
    return or_stop(DEPENDS.directions, wildcards.run)


def on_shard(wildcards):
    """Return what a shard of the whole grid depends on, or one of a round of an adaptive grid."""
    number = wildcards.get("round")
    folder = "shards" if number is None else f"rounds/{number}"
    name = f"{folder}/{wildcards.k}-of-{wildcards.n}.h5"
    return or_stop(DEPENDS.shard, wildcards.run, name)


def on_points(wildcards):
    return or_stop(DEPENDS.points, wildcards.run)


def on_training(wildcards):
    return DEPENDS.training(wildcards.run)


def on_grid(wildcards):
    return or_stop(DEPENDS.merging, wildcards.run)


def on_figures(wildcards):
    return DEPENDS.figures(wildcards.run)


def on_flat(wildcards):
    return DEPENDS.flat(wildcards.run)


def on_comparison(wildcards):
    return DEPENDS.comparison()


def on_paraview(wildcards):
    return DEPENDS.paraview(wildcards.run)


def on_range(wildcards):
    return or_stop(DEPENDS.range, wildcards.run)


def on_centre(wildcards):
    return or_stop(DEPENDS.centre, wildcards.run)


def on_verdict(wildcards):
    return DEPENDS.verdict(wildcards.run)


def on_explorer(wildcards):
    return DEPENDS.explorer(wildcards.run)
