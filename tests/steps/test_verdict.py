"""The verdict of a run on disk: measured, judged, written, logged."""

import json
import subprocess
import sys

import pytest

from landscape_lib.core.errors import InputError
from landscape_lib.steps.centre import measure_centre
from landscape_lib.steps.directions import make_directions
from landscape_lib.steps.evaluate import evaluate_shard
from landscape_lib.steps.merge import merge_shards
from landscape_lib.steps.probe import probe
from landscape_lib.steps.verdict import make_verdict, read_centre
from landscape_lib.utils.signals import Stops


def finished(run):
    probe(run, run.path("probe.json"))
    make_directions(run, run.path("directions.h5"))
    shard = run.path("shards", "0-of-1.h5")
    evaluate_shard(run, 0, 1, shard, Stops())
    merge_shards(run, [shard], run.path("surface.h5"))
    return run


def judged(run):
    make_verdict(run, run.path("verdict.json"), run.path("verdict.html"))
    return json.loads(run.path("verdict.json").read_text())


def test_a_run_is_measured_judged_and_told(run, caplog):
    caplog.set_level("INFO")
    here = finished(run(grid={"x": [-1, 1, 5], "y": [-0.5, 0.5, 3]}))
    measure_centre(here, here.path("centre.json"), Stops())
    verdict = judged(here)
    assert verdict["run"] == "own"
    states = {check["id"]: check["state"] for check in verdict["checks"]}
    assert states["centre"] == "good"
    assert states["roughness"] == "unknown"  # 5 steps are too few
    numbers = {number["name"]: number["value"] for number in verdict["numbers"]}
    assert numbers["value at the centre"] is not None
    assert numbers["Hessian trace"] is not None
    page = here.path("verdict.html").read_text()
    assert all(check["title"].replace("'", "&#x27;") in page for check in verdict["checks"])
    told = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("good    Is the value at the centre") for line in told)


def test_measuring_and_judging_twice_give_the_same_bytes(run):
    here = finished(run(grid={"x": [-1, 1, 5], "y": [0, 1, 4]}))
    found = []
    for _ in range(2):
        measure_centre(here, here.path("centre.json"), Stops())
        judged(here)
        names = ("centre.json", "verdict.json", "verdict.html")
        found.append([here.path(name).read_bytes() for name in names])
    assert found[0] == found[1]


def test_a_problem_that_changed_is_refused(run):
    here = finished(run())
    changed = run(args={"shift": 0.5})
    with pytest.raises(InputError, match="the problem is not the one that was probed"):
        measure_centre(changed, here.path("centre.json"), Stops())


def test_a_missing_or_damaged_centre_says_what_to_do(run):
    here = finished(run())
    with pytest.raises(InputError, match="there is no such file; run measure_centre first"):
        judged(here)
    for text in ("{", '{"format": "landscape verdict"}', "[]"):
        here.path("centre.json").write_text(text)
        with pytest.raises(InputError, match="it is damaged"):
            read_centre(here.path("centre.json"))


def test_merging_and_judging_need_no_torch():
    code = (
        "import sys; import landscape_lib.steps.merge, landscape_lib.steps.verdict; "
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
