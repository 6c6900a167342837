"""What all scripts share: arguments, logging, signals, and what goes wrong turned into exit codes.

Exit codes: 0 done; 2 the user's input is wrong; 1 anything else; 128 + n ended by signal n.
"""

import argparse
import errno
import gc
import logging
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from landscape_lib.core.errors import DamagedFileError, DisagreementError, InputError
from landscape_lib.utils.pipeline import SCRIPTS
from landscape_lib.utils.signals import Stopped, Stops, exit_code, stops

log = logging.getLogger("landscape_lib")

ALL_RUNS = "all runs"

_OURS = Path(__file__).resolve().parent
_STDLIB = sysconfig.get_path("stdlib")
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_PATHS = (  # a path that was given cannot be what it should be
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR),
    *(errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO, errno.ENOTEMPTY),
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
    found.add_argument("--log", help="a file that gets everything the terminal gets")
    return found


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
    to be done at exit is done.
    """
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
    """Say which path is wrong, or that the disk is full."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _PATHS and where and not _users_frames(error):
        log.error("Error: %s%s. Correct the path, or what lies there.", where, error.strerror)
        return 2
    if error.errno not in _FULL:
        return _unexpected(error)
    log.error(
        "Error: %sthe disk is full, or a size limit was reached (%s). Everything finished is "
        "kept; make space and type the same command again.",
        where,
        error.strerror,
    )
    return 1


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
    cause = error.__cause__ if isinstance(error, InputError) else error
    frames = [] if cause is None else _users_frames(cause)
    if not frames:
        return False
    shown = "".join(traceback.format_list(frames))
    last = "".join(traceback.format_exception_only(cause))
    log.error("In your code:\n%s%s", shown, last.rstrip())
    return True


def _users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return what was called from the user's own first frame on; nothing where there is none."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((n for n, frame in enumerate(frames) if _is_users(frame.filename)), len(frames))
    return frames[first:]


def _is_users(name: str) -> bool:
    path = Path(name)
    library = "site-packages" in path.parts or "<" in name or path.is_relative_to(_STDLIB)
    ours = path.resolve().is_relative_to(_OURS) or path.resolve().parent == SCRIPTS
    return not (library or ours)


def _start_logging(path: str | None) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    handlers[0].setFormatter(logging.Formatter("%(message)s"))
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.setLevel(logging.INFO)
    for handler in handlers:
        log.addHandler(handler)
    return handlers
