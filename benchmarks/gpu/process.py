"""From the start of a process to a surface in its file."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.children import tell


def surface(options: dict[str, Any]) -> dict[str, Any]:
    """Compute a surface as a user of the library does, and keep it; say what plan was found."""
    from benchmarks.gpu import cases
    from benchmarks.gpu.scale import Scale
    from landscape_lib import LossLandscape

    scale = Scale(options["device"], options["tiny"])
    case = cases.resnet56(scale, options["images"])
    axis = (-1, 1, options["points"])
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        landscape = LossLandscape(
            case.net,
            (case.inputs, case.targets),
            cases.metrics(),
            use_cuda=scale.device == "cuda",
            precision=options["precision"],
            surf_file=Path(folder) / "surface.h5",
        )
        landscape.compute_2d(axis, axis)
        size = (Path(folder) / "surface.h5").stat().st_size
    assert landscape.surface is not None  # noqa: S101  (for mypy: it was computed)
    return {"bytes": size, "plan": str(landscape.surface.attributes["plans"][0])}


if __name__ == "__main__":
    tell(surface(json.loads(sys.argv[1])))
