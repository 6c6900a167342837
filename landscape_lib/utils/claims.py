"""How processes share a machine's GPUs: each takes one that no other has."""

import contextlib
import fcntl
import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from landscape_lib.core.errors import InputError
from landscape_lib.utils.locks import not_in_children

log = logging.getLogger(__name__)

POLL_S = 0.5


@contextlib.contextmanager
def claimed(
    names: Sequence[str], check: Callable[[], None] = lambda: None, folder: Path | None = None
) -> Iterator[int]:
    """Hold one of the named devices; yield its place among them.

    The claim is an advisory lock on a file of the device's name, so the kernel drops it when the
    process dies, however it dies.  Where all devices are taken, it waits, and says so once.  A
    single device is never waited for: a scheduler has chosen it, or there is no other.

    Args:
        names: What each device is called by every process on this machine, such as its UUID;
            whatever part of the devices a process sees, and in whatever order.
        check: Called while it waits; raises to give up.
        folder: Of the locks; the user's own below the system's temporary folder.

    Raises:
        InputError: If the folder of the locks is somebody else's.
    """
    folder = folder or own_folder()
    with contextlib.ExitStack() as held:
        number = _first_free(names, folder, held)
        if number is None and len(names) > 1:
            log.info("All %d GPUs are at work for other processes; waiting for one.", len(names))
        while number is None and len(names) > 1:
            check()
            time.sleep(POLL_S)
            number = _first_free(names, folder, held)
        yield number or 0


def _first_free(names: Sequence[str], folder: Path, held: contextlib.ExitStack) -> int | None:
    for number, name in enumerate(names):
        path = folder / f"gpu-{hashlib.sha256(name.encode()).hexdigest()[:32]}.lock"
        handle = path.open("a")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.close()
        except OSError as error:  # a file system without locks
            handle.close()
            log.warning("No file locks in %s (%s); GPU %d is shared.", folder, error.strerror, 0)
            return 0
        else:
            held.enter_context(handle)
            held.enter_context(not_in_children(handle))
            return number
    return None


def own_folder() -> Path:
    """Make the folder of this user's locks, on this machine alone, and return it.

    Raises:
        InputError: If the folder is a link, or somebody else's.
    """
    folder = Path(tempfile.gettempdir()) / f"landscape-lib-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise InputError(
            f"{folder} is not your own folder, so GPUs can't be claimed there. Set TMPDIR to a "
            "folder of your own, or name a GPU: 'device: cuda:0'."
        )
    return folder
