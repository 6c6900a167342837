"""What all scripts share: arguments, logging, signals, and what goes wrong turned into exit codes.

Exit codes: 0 done; 2 the user's input is wrong; 1 anything else; 128 + n ended by signal n.
"""

import argparse
import contextlib
import errno
import gc
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from landscape_lib.core.errors import (
    DamagedFileError,
    DisagreementError,
    InputError,
    PointTooSlowError,
)
from landscape_lib.utils.bucket import Bucket
from landscape_lib.utils.frames import users_frames
from landscape_lib.utils.signals import Stopped, Stops, exit_code, stops

log = logging.getLogger("landscape_lib")

ALL_RUNS = "all runs"

_REFUSED = {  # what the system says when it does not write, and what helps
    errno.ENOSPC: ("the disk is full, or a size limit was reached", "make space"),
    errno.EFBIG: ("the disk is full, or a size limit was reached", "make space, or raise it"),
    errno.EDQUOT: ("your quota on this disk is used up", "make space, or ask for more"),
    errno.EROFS: ("it lies on a file system that is read-only", "make it writable"),
    errno.EACCES: ("this user may not write or read there", "change the permissions"),
    errno.EPERM: ("this user may not write or read there", "change the permissions"),
    errno.EIO: ("the disk reports an error", "see what the system's log says of it"),
    errno.ESTALE: ("the network file system lost it", "mount it again"),
}
_PATHS = (  # a path that was given cannot be what it should be
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO, errno.ENOTEMPTY),
)


def parser(description: str | None, *, one_run: bool = True) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every script has, ``--run`` if it works on one."""
    found = argparse.ArgumentParser(description=description)
    default = "config/config.yaml"
    found.add_argument("--config", default=default, help=f"the config file (default: {default})")
    if one_run:
        found.add_argument("--run", required=True, help="which of the config's runs")
    else:
        found.set_defaults(run=ALL_RUNS)
    found.add_argument(
        "--results", default="results", help="the folder of all results (default: results)"
    )
    found.add_argument(
        "--store",
        metavar="s3://BUCKET/PREFIX",
        help="where results lie in object storage: journals are copied there, and from there",
    )
    found.add_argument("--log", help="a file that gets everything the terminal gets")
    return found


def store_of(args: argparse.Namespace) -> Bucket | None:
    """Return the object storage in which results lie; None where they lie in a folder alone."""
    return None if args.store is None else Bucket(args.store)


def add_format(parser: argparse.ArgumentParser, *, films: bool = False) -> None:
    """Add the argument of every script that draws; some draw what moves, too."""
    parser.add_argument(
        "--format",
        default="pdf",
        choices=("pdf", "png", "svg", *(("gif", "mp4") if films else ())),
        help="of the pictures (default: pdf)",
    )


def execute(work: Callable[[argparse.Namespace, Stops], None], args: argparse.Namespace) -> int:
    """Do the work; return the exit code, having said what went wrong."""
    level = log.level
    try:
        handlers = _start_logging(args.log)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"Error: {args.log}: cannot be the log: {error}. Name another file.\n")
        return 2
    try:
        with stops() as listener:
            return _guarded(work, args, listener)
    finally:
        for handler in handlers:
            log.removeHandler(handler)
            handler.close()
        log.setLevel(level)


def leave(code: int) -> NoReturn:
    """End the program, without a last search for cycles of garbage: they go with the process.

    In a process that imported torch that search takes a fifth of a short job.  What is registered
    to be done at exit is done.  Where Triton is loaded, as by torchmetrics, the search takes
    place: its bindings would tell the user of everything that they had not seen go.
    """
    if "triton._C.libtriton" not in sys.modules:
        gc.freeze()
    sys.exit(code)


def _guarded(
    work: Callable[[argparse.Namespace, Stops], None], args: argparse.Namespace, listener: Stops
) -> int:
    try:
        work(args, listener)
    except Stopped as stop:
        log.warning("%s: %s; everything finished is kept.", args.run, stop)
        return exit_code(stop.number)
    except (InputError, DamagedFileError) as error:
        _show_users_frames(error)
        log.error("Error: %s", error)
        return 2
    except OSError as error:
        return _about_files(error)
    except Exception as error:
        return _unexpected(error)
    return 0


def _about_files(error: OSError) -> int:
    """Say which path is wrong, or why the system did not write or read."""
    refusal = said_of_refusal(error)
    if refusal is not None:
        _show_users_frames(error)
        log.error("Error: %s", refusal)
        return 1
    if error.errno in _PATHS and error.filename and not users_frames(error):
        log.error("Error: %s: %s. Correct the path, or what lies there.", *_where(error))
        return 2
    return _unexpected(error)


def _where(error: OSError) -> tuple[str, str]:
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    return name, error.strerror or ""


def said_of_refusal(error: OSError) -> str | None:
    """Say which file the system did not write or read, why, and what helps.

    Returns:
        None where the error says something else.
    """
    name, said = _where(error)
    if error.errno in _REFUSED:
        what, helps = _REFUSED[error.errno]
    elif error.errno == errno.ENOENT and name and not Path(name).parent.is_dir():
        what, helps = "its folder was removed or unmounted meanwhile", "put it back"
    else:
        return None
    where = f"{name}: " if name else ""
    return (
        f"{where}{what} ({said}). Everything finished is kept; {helps} and type the same command "
        "again."
    )


def _unexpected(error: Exception) -> int:
    if isinstance(error, DisagreementError):
        log.error("Error: %s", error)
    elif not _show_users_frames(error):
        log.error("Error: %s", "".join(traceback.format_exception(error)))
    else:
        log.error("Error: %s: %s", type(error).__name__, error)
    return 1


def _show_users_frames(error: BaseException) -> bool:
    """Show where the user's own code raised, from its first frame on; ours are left out."""
    told = isinstance(error, InputError | PointTooSlowError)
    cause = error.__cause__ if told else error
    if cause is None:
        return False
    frames = users_frames(cause)
    if not frames:
        return False
    shown = "".join(traceback.format_list(frames))
    last = "".join(traceback.format_exception_only(cause))
    log.error("In your code:\n%s%s", shown, last.rstrip())
    return True


def _start_logging(path: str | None) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(logging.Formatter("%(message)s"))
    log.setLevel(logging.INFO)
    log.addHandler(handlers[0])
    if path:
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            handlers.append(_LogFile(path, encoding="utf-8"))
        except OSError as error:  # the work may write elsewhere, and the terminal has it all
            log.warning("%s: there is no log file: %s.", path, error.strerror)
            return handlers
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handlers[1])
    return handlers


class _LogFile(logging.FileHandler):
    """A log file that ends, with one line on the terminal, where it cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        log.removeHandler(self)
        log.warning("%s: the log ends here: %s.", self.baseFilename, error.strerror)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what it holds back is on the terminal
            super().close()
