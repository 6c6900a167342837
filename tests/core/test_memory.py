"""The memory that may be taken is asked of everybody who limits it."""

import pytest

from landscape_lib.core.memory import available_memory, peak_memory

KB = "MemTotal: 9000 kB\nMemAvailable: 5000 kB\n"


def system(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return available_memory(root)


def test_without_a_limit_it_is_what_the_kernel_calls_available(tmp_path):
    files = {"proc/meminfo": KB, "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}
    assert system(tmp_path, files) == 5000 * 1024


def test_a_system_that_does_not_say_is_not_guessed(tmp_path):
    assert available_memory(tmp_path) is None


@pytest.mark.parametrize("outer", ["max", "90000"], ids=["inner", "outer"])
def test_each_control_group_around_the_process_may_be_the_narrowest(tmp_path, outer):
    files = {
        "proc/meminfo": KB,
        "proc/self/cgroup": "0::/slice/job\n",
        "sys/fs/cgroup/slice/memory.max": outer,
        "sys/fs/cgroup/slice/memory.current": "80000",
        "sys/fs/cgroup/slice/job/memory.max": "100000",
        "sys/fs/cgroup/slice/job/memory.current": "70000",
        "sys/fs/cgroup/slice/job/memory.stat": "anon 1\ninactive_file 5000\nactive_file 300\n",
    }
    wanted = {"max": 100000 - 70000 + 5300, "90000": 10000}[outer]
    assert system(tmp_path, files) == wanted


def test_the_older_control_groups_are_asked_as_well(tmp_path):
    """In a container the path is the host's, and only the root is there."""
    files = {
        "proc/meminfo": KB,
        "proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/123\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "64000",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "60000",
        "sys/fs/cgroup/memory/memory.stat": "inactive_file 9\ntotal_inactive_file 1000\n",
    }
    assert system(tmp_path, files) == 5000


def test_a_group_over_its_limit_leaves_nothing(tmp_path):
    files = {
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/memory.max": "100",
        "sys/fs/cgroup/memory.current": "170",
    }
    assert system(tmp_path, files) == 0


def test_here_it_is_more_than_nothing():
    assert available_memory() > 2**20


def test_the_peak_is_this_process_own_and_not_that_of_the_one_that_started_it(tmp_path):
    """After ``exec``, getrusage still counts what the process held before it."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/status").write_text("VmPeak:\t99 kB\nVmHWM:\t  12 kB\n")
    assert peak_memory(tmp_path) == 12 * 1024
    assert peak_memory(tmp_path / "elsewhere") > 2**20  # where the kernel says nothing
