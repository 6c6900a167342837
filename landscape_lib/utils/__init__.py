"""What the way through needs beside the mathematics: files, journals, signals, progress."""

from landscape_lib.core.lazy import offered

# Imported when they are first asked for: a picture needs no torch, a projection no HDF5.
_HOMES = {
    "cal_angle": "landscape_lib.utils.projection",
    "flatten": "landscape_lib.utils.projection",
    "nplist_to_tensor": "landscape_lib.utils.projection",
    "npvec_to_tensorlist": "landscape_lib.utils.projection",
    "principal_directions": "landscape_lib.utils.projection",
    "project_1D": "landscape_lib.utils.projection",
    "project_2D": "landscape_lib.utils.projection",
    "project_trajectory": "landscape_lib.utils.projection",
    "tensorlist_to_tensor": "landscape_lib.utils.projection",
    "load_directions": "landscape_lib.utils.storage",
    "load_surface": "landscape_lib.utils.storage",
    "read_list": "landscape_lib.utils.storage",
    "save_directions": "landscape_lib.utils.storage",
    "save_surface": "landscape_lib.utils.storage",
    "write_list": "landscape_lib.utils.storage",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  (a list of str, known only when run)
__getattr__, __dir__ = offered(__name__, _HOMES)
