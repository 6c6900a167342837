"""How a run that died without cleaning up is told from one that is alive."""

import fcntl
import logging
import os
import shutil
from pathlib import Path
from typing import IO

log = logging.getLogger(__name__)

ROOM = 2**14  # bytes; locks and records of a few jobs take less


def drop_stale_lock(folder: Path = Path(".snakemake"), *, ours: bool = True) -> IO[str] | None:
    """Remove Snakemake's own lock where no run is alive, and mark this one as alive.

    Snakemake's lock is a list of file names without an owner: after ``kill -9`` or a power loss
    it stays, and every later run refuses to start.  The kernel drops an flock when its owner
    dies.  So every live run holds a shared one, and whoever can take it exclusively knows that
    no run is alive here and that the files under ``locks`` are stale.

    Args:
        folder: Snakemake's own, below the working directory.
        ours: Whether all runs in this directory are this pipeline's.  Where it is a module of
            another workflow, a run without the module may be alive and hold no flock, so
            Snakemake's lock is left alone.

    Returns:
        The handle that holds the lock: keep it for the life of the process.  None where the file
        system has no flock; a stale lock then needs ``snakemake --unlock``.

    Raises:
        OSError: If the folder cannot be written, or its disk has no room for what Snakemake
            writes there; it names the file.
    """
    folder.mkdir(exist_ok=True)
    path = folder / "run.flock"
    _refuse_a_full_disk(path)
    handle = path.open("a+")  # close-on-exec: jobs do not inherit it
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # a live run: Snakemake's own lock decides
    except OSError as error:
        log.warning("No flock here (%s): a stale lock needs snakemake --unlock.", error.strerror)
        handle.close()
        return None
    else:
        if ours and any((folder / "locks").glob("*.lock")):
            log.warning("The last run here died without cleaning up; removing its stale lock.")
            shutil.rmtree(folder / "locks")
            (folder / "locks").mkdir()
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)  # others hold it exclusively for an instant only
    except OSError as error:
        log.warning("The run's lock could not be shared: %s.", error.strerror)
    return handle


def _refuse_a_full_disk(path: Path) -> None:
    """Write a little, and take it back: of a full disk Snakemake itself gives only tracebacks.

    Raises:
        OSError: If it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)  # less the umask
    try:
        left = bytes(ROOM)
        while left:  # the system may take a part only
            left = left[os.write(descriptor, left) :]
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.ftruncate(descriptor, 0)
        os.close(descriptor)
