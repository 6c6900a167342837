"""A second host, stood in for on this one."""

import shutil
import subprocess
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
