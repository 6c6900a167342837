"""A second host, stood in for on this one."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

FLOCK = """\
#include <errno.h>
#include <stdlib.h>
int flock(int descriptor, int how) {
    const char *told = getenv("FLOCK_ERRNO");
    errno = told ? atoi(told) : 0;
    return errno ? -1 : 0;
}
"""


def shim(folder: Path) -> Path:
    """Compile a library that, preloaded, makes every flock do nothing: granted, or refused.

    Refused with the error of ``FLOCK_ERRNO``, where that is set and not 0.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc) to replace flock with; apt-get install gcc")
    (folder / "flock.c").write_text(FLOCK)
    made = folder / "flock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, folder / "flock.c"], check=True)
    return made


# What a host has of its own, at its start: a name, and whatever lies over a path that is shared.
START = """\
set -e
hostname "$1"; shift
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift
exec "$@"
"""
# The kernel here shows the disk as what it is; each host is told what the folder lies on instead.
SITE = """\
import os
from pathlib import Path

from landscape_lib.utils import sharing

sharing.MOUNTS = Path(os.environ["HOSTS_MOUNTS"])
"""


@dataclass
class Host:
    """A host: network, name, start and machine of its own, on a folder that others share.

    Attributes:
        name: Its name.
        own: A folder for what only it has.
        mount: How it sees the shared folder, as a line of ``/proc/self/mountinfo``.
    """

    name: str
    own: Path
    mount: str

    def __post_init__(self) -> None:
        self.own.mkdir()
        self.over: list[str] = []
        for path in ("/proc/sys/kernel/random/boot_id", "/etc/machine-id"):
            self.hide(Path(path), f"{self.name} {path}\n")
        (self.own / "mounts").write_text(f"{self.mount}\n")
        (self.own / "sitecustomize.py").write_text(SITE)

    def hide(self, shared: Path, content: str = "") -> None:
        """Let a file be another one here: a lock on it is then this host's alone."""
        mine = self.own / f"{len(self.over)}"
        mine.write_text(content)
        self.over += [str(mine), str(shared)]

    def command(self, command: list[str]) -> list[str]:
        """Return the command that runs another on this host."""
        spaces = ["unshare", "--net", "--uts", "--mount"]
        return [*spaces, "sh", "-c", START, "sh", self.name, *self.over, "--", *command]

    def environment(self, given: dict[str, str]) -> dict[str, str]:
        """Return the environment of what runs on this host."""
        path = f"{self.own}{os.pathsep}{given['PYTHONPATH']}"
        return {**given, "PYTHONPATH": path, "HOSTS_MOUNTS": str(self.own / "mounts")}


def need_namespaces() -> None:
    """Skip where this system lets nobody stand in for a second host."""
    tried = (
        subprocess.run(
            ["unshare", "--net", "--uts", "--mount", "true"], capture_output=True, check=False
        )
        if shutil.which("unshare")
        else None
    )
    if tried is None or tried.returncode or not os.path.exists("/etc/machine-id"):
        pytest.skip(
            "two hosts are stood in for by namespaces, which root alone may make (unshare --net "
            "--uts --mount): sudo uv run pytest -n 0 tests/pipeline/test_two_hosts.py"
        )
