"""Show a run's surface in ParaView as a lit relief above its own map, or write a picture of it.

This file lies beside the ``.vtp`` files of a run, as ``open.py``; in their folder:

    paraview --script=open.py                          opens the train loss, ready to be turned
    pvpython open.py picture.png [metric]              writes a picture
    xvfb-run -a pvpython open.py picture.png [metric]  the same where there is no display

``[metric]`` is the name of a ``.vtp`` without its ending.  Heights are log10 of the values where
these are positive and wide, unless the file's own heights are logarithms already.
"""

import json
import sys
from pathlib import Path
from typing import Any

WIDE = 50.0  # from this max / min on, positive values are shown on a log scale
LEVELS = 12
SIZE = (1600, 1200)
LETTERS = 22  # pixels
WAYS = [[0.835, 0.369, 0.0], [0.8, 0.475, 0.655], [0.0, 0.0, 0.0], [0.337, 0.706, 0.914]]
GAP = 0.25  # from the map to the lowest height, in widths of the surface
MISSING = [0.85, 0.85, 0.85]


def main() -> None:
    """Show the metric that was asked for; write the picture, if one was named."""
    from paraview import simple

    place = globals().get("__file__")  # ParaView's window tells none: there we stand in the folder
    folder = Path(place or "open.py").resolve().parent
    picture, metric, *_ = [*sys.argv[1:], None, None]
    view = simple.GetActiveViewOrCreate("RenderView")
    if picture:
        view.ViewSize = SIZE  # or letters grow with the picture
    show(simple, chosen(folder, metric), view)
    if picture:
        simple.SaveScreenshot(str(picture), view, ImageResolution=SIZE)
    elif place:
        simple.Interact(view)


def chosen(folder: Path, metric: str | None) -> Path:
    """Return the file of a metric: the train loss, or the first, where none is named."""
    sheets = sorted(path for path in folder.glob("*.vtp") if path.name != "flat.vtp")
    names = [path.stem for path in sheets]
    wanted = metric or ("train_loss" if "train_loss" in names else next(iter(names), None))
    if wanted not in names:
        sys.exit(f"Error: there is no {wanted}.vtp in {folder}; choose one of {names}.")
    return sheets[names.index(wanted)]


def show(simple: Any, path: Path, view: Any) -> None:
    """Build what is seen: relief, contour lines, the best point, and the map below."""
    sheet = simple.XMLPolyDataReader(registrationName=path.stem, FileName=[str(path)])
    facts = read(simple, sheet)
    named = simple.Calculator(Input=sheet, ResultArrayName=facts["title"])
    named.Function = facts["value"]
    relief = lifted(simple, named, facts["height"])
    relief = simple.GenerateSurfaceNormals(Input=relief)
    floor = lifted(simple, named, str(-GAP * facts["extent"]))
    colours(simple, facts)
    for part, look in ((relief, {"Specular": 0.2}), (floor, {"Ambient": 1.0, "Diffuse": 0.0})):
        display = simple.Show(part, view)
        simple.ColorBy(display, ("POINTS", facts["title"]))
        for name, value in look.items():
            setattr(display, name, value)
        lines(simple, part, facts, view)
    walk(simple, path, facts, view)
    mark(simple, facts, view)
    furnish(simple, relief, facts, view)


def read(simple: Any, sheet: Any) -> dict[str, Any]:
    """Return what the file says of itself, and how its heights are shown."""
    from paraview.vtk.util.numpy_support import vtk_to_numpy

    data = simple.servermanager.Fetch(sheet)
    field, points = data.GetFieldData(), data.GetPointData()
    told = {name: field.GetAbstractArray(name).GetValue(0) for name in ("label", "options")}
    label, options = (json.loads(told[name]) for name in ("label", "options"))
    values, alpha, beta = (vtk_to_numpy(points.GetArray(n)) for n in ("zvalue", "alpha", "beta"))
    known = values[values == values]  # noqa: PLR0124  (NaN is not itself; no numpy is needed)
    if not known.size:
        sys.exit("Error: no value of this surface is finite; there is nothing to show.")
    low, high = float(known.min()), float(known.max())
    rate = label["units"] == "%" or label["goal"] == "max"
    log = not options["log"] and not rate and low > 0 and high >= WIDE * low
    zscale = vtk_to_numpy(field.GetArray("zscale"))[0]
    value = f"coordsZ/{zscale}"  # finite also at the points that no cell uses
    value = f"log10({value})" if log else value
    drawn = [logarithm(end) if log else end for end in (low, high)]
    extent = max(high - low for low, high in map(ends, (alpha, beta)))
    span = drawn[1] - drawn[0]
    factor = 0.5 * extent / span if span > 0 else 1.0
    best = known.max() if label["goal"] == "max" else known.min()
    place = list(values).index(best)
    top = factor * ((logarithm(best) if log else float(best)) - drawn[0])
    units = f" ({label['units']})" if label["units"] else ""
    return {
        "title": label["long_name"] + units + (", log10" if log or options["log"] else ""),
        "value": value,
        "height": f"{factor}*({value}-({drawn[0]}))",
        "on the surface": f"{factor}*(zvalue{'_log10' if log else ''}-({drawn[0]}))",
        "range": drawn if span > 0 else [drawn[0] - 1, drawn[0] + 1],
        "extent": extent,
        "steps": {"X": ends(alpha), "Y": ends(beta)},
        "best": [float(alpha[place]), float(beta[place]), top],
    }


def ends(steps: Any) -> tuple[float, float]:
    """Return the lowest and the highest of some steps."""
    return float(steps.min()), float(steps.max())


def quarters(low: float, high: float) -> list[float]:
    """Return what lies a quarter and three quarters of the way."""
    return [low + (high - low) / 4, high - (high - low) / 4]


def logarithm(value: float) -> float:
    """Return log10 of a positive number."""
    from math import log10

    return log10(value)


def lifted(simple: Any, source: Any, height: str) -> Any:
    """Move every point to a height that a formula gives."""
    moved = simple.Calculator(Input=source, CoordinateResults=1)
    moved.Function = f"coordsX*iHat+coordsY*jHat+({height})*kHat"
    return moved


def colours(simple: Any, facts: dict[str, Any]) -> None:
    """Colour by the value, from dark to light, grey where it is missing."""
    table = simple.GetColorTransferFunction(facts["title"])
    table.ApplyPreset("Viridis (matplotlib)", True)
    table.NanColor = MISSING
    table.RescaleTransferFunction(*facts["range"])


def lines(simple: Any, part: Any, facts: dict[str, Any], view: Any) -> None:
    """Draw contour lines, a hair above, or the surface would hide parts of them."""
    low, high = facts["range"]
    contour = simple.Contour(Input=part, ContourBy=["POINTS", facts["title"]])
    contour.Isosurfaces = [low + (high - low) * n / LEVELS for n in range(1, LEVELS)]
    above = simple.Calculator(Input=contour, CoordinateResults=1)
    above.Function = f"coordsX*iHat+coordsY*jHat+(coordsZ+{0.002 * facts['extent']})*kHat"
    display = simple.Show(above, view)
    simple.ColorBy(display, None)
    display.RenderLinesAsTubes = 1
    display.AmbientColor = display.DiffuseColor = [0.1, 0.1, 0.1]
    display.LineWidth = 2.0


def walk(simple: Any, path: Path, facts: dict[str, Any], view: Any) -> None:
    """Draw the ways that trainings took as tubes, where there are any: on surface and map."""
    ways = path.parent / "trajectory" / path.name
    if not ways.exists():
        return
    source = simple.XMLPolyDataReader(registrationName="trajectories", FileName=[str(ways)])
    hair = 0.004 * facts["extent"]
    heights = [f"{facts['on the surface']}+{hair}", str(hair - GAP * facts["extent"])]
    source.UpdatePipeline()
    count = int(source.PointData["trajectory"].GetRange()[1]) + 1
    for number in range(count):
        one = simple.Threshold(Input=source, Scalars=["POINTS", "trajectory"])
        one.LowerThreshold = one.UpperThreshold = number
        for height in heights:
            line = simple.ExtractSurface(Input=lifted(simple, one, height))
            tube = simple.Tube(Input=line, Radius=0.006 * facts["extent"])
            display = simple.Show(tube, view)
            simple.ColorBy(display, None)
            display.AmbientColor = display.DiffuseColor = WAYS[number % len(WAYS)]


def mark(simple: Any, facts: dict[str, Any], view: Any) -> None:
    """Put a white ball at the best point, on the surface and on the map."""
    alpha, beta, top = facts["best"]
    for height in (top, -GAP * facts["extent"]):
        ball = simple.Sphere(Center=[alpha, beta, height], Radius=0.015 * facts["extent"])
        ball.ThetaResolution = ball.PhiResolution = 32
        display = simple.Show(ball, view)
        display.AmbientColor = display.DiffuseColor = [1.0, 1.0, 1.0]


def furnish(simple: Any, relief: Any, facts: dict[str, Any], view: Any) -> None:
    """Set camera, background, colour bar and axes."""
    view.UseColorPaletteForBackground = 0
    view.Background = [1.0, 1.0, 1.0]
    view.OrientationAxesVisibility = 0
    display = simple.GetDisplayProperties(relief, view)
    display.SetScalarBarVisibility(view, True)
    bar = simple.GetScalarBar(simple.GetColorTransferFunction(facts["title"]), view)
    bar.Title, bar.ComponentTitle = facts["title"], ""
    bar.TitleColor = bar.LabelColor = [0.15, 0.15, 0.15]
    bar.WindowLocation = "Any Location"
    bar.Position, bar.ScalarBarLength = [0.88, 0.25], 0.5
    bar.TitleFontSize, bar.LabelFontSize = LETTERS, LETTERS
    bar.AutomaticLabelFormat, bar.LabelFormat, bar.RangeLabelFormat = 0, "%-.3g", "%-.3g"
    axes = view.AxesGrid
    axes.Visibility = 1
    axes.XTitle, axes.YTitle, axes.ZTitle = "alpha", "beta", ""
    axes.ZAxisUseCustomLabels = 1  # heights are scaled: the colours tell the values
    for name, steps in facts["steps"].items():  # none in the middle: there the title stands
        setattr(axes, f"{name}AxisUseCustomLabels", 1)
        setattr(axes, f"{name}AxisLabels", [steps[0], *quarters(*steps), steps[1]])
    for name in ("XTitleFontSize", "YTitleFontSize", "XLabelFontSize", "YLabelFontSize"):
        setattr(axes, name, LETTERS)
    for name in ("XTitleColor", "YTitleColor", "XLabelColor", "YLabelColor", "GridColor"):
        setattr(axes, name, [0.35, 0.35, 0.35])
    view.CameraViewUp = [0, 0, 1]
    view.CameraPosition = [-1.1, -2.4, 1.7]
    view.CameraFocalPoint = [0, 0, 0]
    simple.ResetCamera(view)
    simple.Render(view)


if __name__ in {"__main__", "vtkPythonConsole", "builtins"}:
    main()
