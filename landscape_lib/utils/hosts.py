"""Which process on which host wrote something, and whether it still lives."""

import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path

BOOT = Path("/proc/sys/kernel/random/boot_id")
MACHINE = Path("/etc/machine-id")


@dataclass(frozen=True)
class Process:
    """A process, told from every other one on every host, also after a reboot.

    Attributes:
        host: The host's name.
        machine: The machine's id, empty where it has none.
        boot: The id of the host's start, the same in all of its containers.
        space: The space that process ids are counted in; a container has its own.
        pid: The process id.
        started: When it began, in the kernel's ticks since the start: ids come round again.
    """

    host: str
    machine: str
    boot: str
    space: str
    pid: int
    started: str

    @classmethod
    def this(cls) -> "Process":
        """Return this process."""
        pid = os.getpid()
        return cls(host_name(), _text(MACHINE), _text(BOOT), _space(), pid, _started(pid))

    def same_kernel(self, other: "Process") -> bool:
        """Tell whether both run on the same start of the same machine."""
        return self.boot == other.boot and (bool(self.boot) or self.host == other.host)

    def rebooted(self, other: "Process") -> bool:
        """Tell whether the other's machine is this one's, started anew since."""
        same = (self.host, self.machine) == (other.host, other.machine)
        return same and bool(self.machine and self.boot and other.boot) and self.boot != other.boot

    def sees_end_of(self, other: "Process") -> bool:
        """Tell whether the other ran where this one sees process ids, and runs no more."""
        visible = self.same_kernel(other) and self.space == other.space
        return visible and bool(other.started) and _started(other.pid) != other.started


def host_name() -> str:
    """Return this host's name, as a surface's attribute ``host`` has it."""
    return platform.node()


def name_for_files() -> str:
    """Return this host's name with nothing in it that a file name or a shell stumbles over."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", host_name()).lstrip("-.")[:64] or "host"


def up_s() -> float:
    """Return for how many seconds this host has been up."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _space() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process began; empty where there is none, or it has ended."""
    told = _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()  # a name may hold spaces
    return told[19] if len(told) > 19 and told[0] not in {"Z", "X"} else ""
