"""Files of the future are dated to now, and no other is touched."""

import os
import time

from landscape_lib.utils.dates import end_tomorrow


def dated(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (seconds, seconds))
    return path


def test_only_files_of_the_future_get_another_date(tmp_path, caplog):
    now = time.time()
    old = dated(tmp_path / "results/a/old.h5", now - 3600)
    new = [dated(tmp_path / f"results/a/{n}.h5", now + 3600 * n) for n in (1, 50)]
    assert end_tomorrow(tmp_path / "results", time.time()) == 2
    assert old.stat().st_mtime == now - 3600
    assert all(abs(path.stat().st_mtime - now) < 60 for path in new)
    assert "2 files below" in caplog.text
    assert end_tomorrow(tmp_path / "results", time.time()) == 0


def test_what_may_not_be_dated_is_named(tmp_path, caplog, monkeypatch):
    path = dated(tmp_path / "results/a.h5", time.time() + 3600)
    real = os.utime

    def refused(name, *times):
        if str(name) == str(path):
            raise PermissionError(1, "Operation not permitted")
        real(name, *times)

    monkeypatch.setattr(os, "utime", refused)
    end_tomorrow(tmp_path / "results", time.time())
    assert f"{path}: its date lies in the future, and stays: Operation not permitted" in caplog.text


def test_no_results_yet_is_nothing_to_do(tmp_path):
    assert end_tomorrow(tmp_path / "none", time.time()) == 0
