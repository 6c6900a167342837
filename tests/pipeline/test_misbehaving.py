"""A metric that raises at some points, and what the config makes of it."""

import shutil

import h5py
import numpy as np

from landscape_lib.utils.storage import load_surface

SURFACE = "results/one/surface.h5"


def test_failed_points_are_nan_told_and_evaluated_again_when_that_is_asked_for(project):
    folder = project.folder
    for name in ("journal", "shards"):
        shutil.rmtree(folder / "results/one" / name)
    (folder / SURFACE).unlink()

    def set_on_error(value):
        def change(config):
            config["runs"]["one"]["evaluation"] = {"on_error": value}
            config["runs"]["one"]["grid"]["shards"] = 1

        project.configure(change)

    set_on_error("nan")
    (folder / "trouble").touch()
    before = project.points()
    output = project.run(SURFACE)
    assert project.points() - before == 20
    surface = load_surface(folder / SURFACE)
    failed = surface.failed
    assert failed is not None
    count = int(failed.sum())
    assert 0 < count < 20
    np.testing.assert_array_equal(np.isnan(surface["train_loss_height"]), failed)
    assert "points failed; their values are NaN. The first, at [" in output
    assert "RuntimeError: the metric broke (one_helper.py, line 6, in values)" in output
    with h5py.File(folder / SURFACE) as handle:
        assert handle["failed"].dims[0].label == "xcoordinates"
        assert handle.attrs["failed_points"] == count

    # Who mends what was broken, and asks for it, gets the failed points, and no others.
    (folder / "trouble").unlink()
    set_on_error("stop")
    rules, points = project.ran(SURFACE)
    assert points == count
    assert rules["one"] == {"evaluate_shard", "merge_shards"}
    whole = load_surface(folder / SURFACE)
    assert whole.failed is None
    assert np.isfinite(whole["train_loss_height"]).all()
    kept = whole["train_loss_height"][~failed]
    assert kept.tobytes() == surface["train_loss_height"][~failed].tobytes()

    # And once is enough, whatever 'on_error' says then.
    set_on_error("nan")
    assert not {"probe", "evaluate_shard", "merge_shards"} & project.due().get("one", set())
