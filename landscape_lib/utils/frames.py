"""Which frames of a traceback are the user's own."""

import sysconfig
import traceback
from pathlib import Path

from landscape_lib.core.failures import file_name_of
from landscape_lib.utils.pipeline import SCRIPTS

_OURS = Path(__file__).resolve().parents[1]
_STDLIB = sysconfig.get_path("stdlib")


def users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return where the user's own code raised, from its first frame on; nothing of ours alone."""
    frames = traceback.extract_tb(error.__traceback__)
    first = next((n for n, frame in enumerate(frames) if is_users(frame.filename)), None)
    return [] if first is None else frames[first:]


def users_place(error: BaseException) -> str:
    """Return the innermost of the user's own frames in words; empty where there is none."""
    own = [frame for frame in users_frames(error) if is_users(frame.filename)]
    if not own:
        return ""
    return f"{file_name_of(own[-1].filename)}, line {own[-1].lineno}, in {own[-1].name}"


def is_users(name: str) -> bool:
    """Tell whether a file is neither Python's, nor a library's, nor ours."""
    path = Path(name)
    compiled = path.suffix in {".pyx", ".pxi"}  # Cython names them from the folder it was run in
    library = "site-packages" in path.parts or "<" in name or path.is_relative_to(_STDLIB)
    ours = path.resolve().is_relative_to(_OURS) or path.resolve().parent == SCRIPTS
    return not (compiled or library or ours)
