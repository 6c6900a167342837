"""How the surfaces of several seeds become their mean and spread."""

import logging
from pathlib import Path

from landscape_lib.config import Config
from landscape_lib.core.ensemble import Ensemble
from landscape_lib.core.errors import InputError
from landscape_lib.utils.storage import load_surface, save_ensemble

log = logging.getLogger(__name__)


def merge_seeds(config: Config, run: str, out: Path | str) -> None:
    """Put the surfaces of a run and of those that it brings along as its seeds into one file.

    Raises:
        InputError: If the run has no seeds, or their grids or metrics differ.
    """
    members = config.run(run).members
    if not members:
        raise InputError(f"{run}: it has one seed. Set 'seeds: 5' in it to draw it with five.")
    surfaces = {name: load_surface(config.run(name).path("surface.h5")) for name in members}
    save_ensemble(out, Ensemble(surfaces))
    log.info("%s: mean and spread of %d seeds, %s", run, len(members), out)
