"""How much memory this process may still take, and how much it took."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

SHARE = 0.5  # of the available memory that data may fill; the rest is the model's and others'
_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_EVENTS = ("memory.events", "memory.oom_control")  # of version 2 and version 1
_GROUPS = {  # of control groups, version 2 and version 1
    "memory.max": ("memory.current", "inactive_file", "active_file"),
    "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_inactive_file", "total_active_file"),
}


def available_memory(root: Path = Path("/")) -> int | None:
    """Return the bytes that can be taken without swapping; None where the system doesn't say.

    The least of what the kernel calls available and of what each control group around this
    process leaves of its limit.  Cached pages of files count as free: the kernel gives them up.

    Args:
        root: Where ``proc`` and ``sys`` are.

    Source:
        Linux, Documentation/filesystems/proc.rst (MemAvailable) and admin-guide/cgroup-v2.rst.
    """
    system = _table(root / "proc/meminfo").get("MemAvailable:")
    rooms = [] if system is None else [1024 * system]
    for folder in _group_folders(root):
        rooms += _left_in(folder)
    return max(0, min(rooms)) if rooms else None


def memory_limit(root: Path = Path("/")) -> int | None:
    """Return the bytes of the machine or of the smallest control group around this process.

    None where the system doesn't say.
    """
    whole = _table(root / "proc/meminfo").get("MemTotal:")
    limits = [] if whole is None else [1024 * whole]
    for folder in _group_folders(root):
        limits += [
            int(text) for name in _GROUPS if (text := _read(folder / name).strip()).isdigit()
        ]
    return min(limits) if limits else None


def ended_for_memory(
    root: Path = Path("/"), files: Sequence[str | Path] | None = None
) -> dict[str, int]:
    """Return how many processes the kernel has ended for lack of memory, by the file that counts.

    Args:
        root: Where ``proc`` and ``sys`` are.
        files: Which; left out, the machine's and those of the control groups around this process.

    Source:
        Linux, admin-guide/cgroup-v2.rst (memory.events), cgroup-v1/memory.rst (memory.oom_control).
    """
    if files is None:
        groups = _group_folders(root)
        files = [folder / name for folder in groups for name in _EVENTS]
        files.append(root / "proc/vmstat")
    counted = {str(file): _table(Path(file)).get("oom_kill") for file in files}
    return {file: count for file, count in counted.items() if count is not None}


def boot(root: Path = Path("/")) -> str:
    """Return what names this start of the machine; empty where the system doesn't say."""
    return _read(root / "proc/sys/kernel/random/boot_id").strip()


def lacks_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out, on the CPU or on a GPU."""
    import torch  # Snakemake's own process, which reads counters here, does without

    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(text in str(error) for text in _NO_MEMORY)


def forget_peak(root: Path = Path("/")) -> None:
    """Let ``peak_memory`` count from now on, where the system can: Linux.

    Source:
        Linux, Documentation/filesystems/proc.rst (clear_refs).
    """
    try:
        (root / "proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:  # then it counts from the start of the process
        return


def peak_memory(root: Path = Path("/")) -> int:
    """Return the most bytes of memory that this process had at once.

    Source:
        Linux, Documentation/filesystems/proc.rst (VmHWM).
    """
    import resource

    counted = _table(root / "proc/self/status").get("VmHWM:")
    if counted is not None:  # getrusage also counts what the process that started this one had
        return 1024 * counted
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _group_folders(root: Path) -> Iterator[Path]:
    """Go through the control groups that hold this process, outwards."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        parts = [part for part in path.split("/") if part and part != ".."]
        for depth in range(len(parts), -1, -1):  # in a container the inner ones may not be there
            yield mount.joinpath(*parts[:depth])


def _left_in(folder: Path) -> Iterator[int]:
    for limit, (usage, *cached) in _GROUPS.items():
        allowed, used = (_read(folder / name).strip() for name in (limit, usage))
        if allowed.isdigit() and used.isdigit():  # else there is none, or it is "max"
            held = _table(folder / "memory.stat")
            yield int(allowed) - int(used) + sum(held.get(name, 0) for name in cached)


def _table(path: Path) -> dict[str, int]:
    rows = [line.split() for line in _read(path).splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
