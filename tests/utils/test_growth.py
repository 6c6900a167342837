"""Memory that grows from point to point is told of once, and any other is not."""

import pytest

from landscape_lib.utils.growth import LEAST, Growth, resident_memory

MB = 10**6


def told(memory, total, available, caplog, each_s=2.0):
    """Evaluate ``total`` points, of which ``memory(n)`` says what is held after the n-th."""
    at = {"points": 0, "s": 0.0}
    growth = Growth(
        "own shard 1 of 2",
        "The metric function hoards",
        total,
        resident=lambda: memory(at["points"]),
        available=lambda: available,
        clock=lambda: at["s"],
    )
    caplog.clear()
    for _ in range(total):
        at["points"] += 1
        at["s"] += each_s
        growth.step()
    return [record.getMessage() for record in caplog.records]


def test_a_leak_that_will_not_fit_is_told_once_with_the_rate_and_who(caplog):
    (said,) = told(lambda n: 500 * MB + 20 * MB * n, 1000, 2000 * MB, caplog)
    assert "own shard 1 of 2: memory grows by 20 MB a point" in said
    assert "enough for about 100 of the" in said
    assert "The metric function hoards keeps something from point to point" in said


@pytest.mark.parametrize(
    "memory",
    [
        lambda n: 500 * MB,
        lambda n: 500 * MB + 20 * MB * n,  # what is left fits
        lambda n: 500 * MB + min(n, 8) * 1000 * MB,  # caches fill while it gets warm
        lambda n: 500 * MB + (n % 3) * 1000 * MB,  # it comes and goes
        lambda n: 500 * MB + (LEAST // 400) * n,  # it crawls
        lambda n: None,  # a system that doesn't say
    ],
    ids=["steady", "fits", "warm-up", "saw", "crawls", "unknown"],
)
def test_no_false_alarm(memory, caplog):
    available = 10**12 if memory(1) == 520 * MB else 100 * MB
    assert told(memory, 300, available, caplog) == []


def test_quick_points_are_not_looked_at_one_by_one(caplog):
    asked = []

    def memory(n):
        asked.append(n)
        return 500 * MB

    told(memory, 1000, MB, caplog, each_s=0.01)
    assert len(asked) <= 11


def test_memory_that_is_taken_is_seen():
    before = resident_memory()
    if before is None:
        pytest.skip("this system has no /proc/self/statm; run it on Linux")
    held = bytearray(b"1" * 2**26)
    after = resident_memory()
    assert after is not None
    assert after - before >= 2**25
    assert len(held) == 2**26
