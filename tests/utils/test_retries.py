"""A shard with failed points is made again when that is asked for, and then not once more."""

from landscape_lib.utils.retries import is_retried, write_retried


def test_a_shard_is_made_again_once_for_its_failed_points_and_stays_made(tmp_path):
    shard = tmp_path / "0-of-1.h5"

    def run(on_error, failed):
        """Tell what its params say, before it is made and from then on."""
        before = is_retried(shard, on_error)
        write_retried(shard, on_error, failed)
        return before

    assert run("nan", 2) is False
    assert is_retried(shard, "nan") is False  # the same command: nothing
    assert is_retried(shard, "stop") is True  # asked for: its params differ
    assert run("stop", 0) is True
    assert is_retried(shard, "stop") is True  # and stay as they were when it was made
    assert is_retried(shard, "nan") is True


def test_a_shard_without_failed_points_leaves_nothing(tmp_path):
    shard = tmp_path / "0-of-1.h5"
    for on_error in ("nan", "stop"):
        write_retried(shard, on_error, 0)
        assert is_retried(shard, "stop") is False
    assert not list(tmp_path.iterdir())
    write_retried(shard, "nan", 1)
    (tmp_path / "0-of-1.failed.json").write_text("{")
    assert is_retried(shard, "stop") is False
