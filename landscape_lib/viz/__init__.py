"""What a surface looks like: figures for print, files for ParaView."""

from landscape_lib.core.lazy import offered

# Imported when they are first asked for: matplotlib and vtk take their time.  ``plot_1d`` and
# ``plot_2d`` are the modules of that name, which can be called like the functions in them.
_HOMES = {
    "plot_1d": "landscape_lib.viz.plot_1d",
    "plot_2d": "landscape_lib.viz.plot_2d",
    "plot_1d_loss": "landscape_lib.viz.plot_1d",
    "plot_curve": "landscape_lib.viz.plot_1d",
    "plot_curves": "landscape_lib.viz.plot_1d",
    "plot_loss_and_accuracy": "landscape_lib.viz.plot_1d",
    "Line": "landscape_lib.viz.curves",
    "plot_topology": "landscape_lib.viz.persistence",
    "plot_comparison": "landscape_lib.viz.comparison",
    "plot_2d_contour": "landscape_lib.viz.plot_2d",
    "plot_2d_surface": "landscape_lib.viz.plot_2d",
    "plot_persistence": "landscape_lib.viz.persistence",
    "plot_surface": "landscape_lib.viz.plot_2d",
    "h5_to_vtp": "landscape_lib.viz.paraview",
    "export_vtp": "landscape_lib.viz.paraview",
    "export_flat_vtp": "landscape_lib.viz.paraview",
    "Height": "landscape_lib.viz.paraview",
    "explore": "landscape_lib.viz.explorer",
    "write_explorer": "landscape_lib.viz.explorer",
    "Look": "landscape_lib.viz.style",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605  (a list of str, known only when run)
__getattr__, __dir__ = offered(__name__, _HOMES)
