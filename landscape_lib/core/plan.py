"""How a problem is evaluated: chosen once, the same for every shard."""

import json
import logging
import re
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from landscape_lib.core.errors import InputError

if TYPE_CHECKING:  # importing torch takes a second; who only reads a plan need not wait
    from torch import nn

log = logging.getLogger(__name__)

DEVICES = r"cpu|cuda(:[0-9]+)?"
PRECISIONS = ("float32", "float64", "tf32", "bf16", "model")


@dataclass(frozen=True)
class Plan:
    """How the problem is evaluated, chosen once and used by every shard.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``float32`` or ``float64``: the model and its floating-point inputs.  ``tf32``:
            float32, but a GPU rounds the factors of products to 11 bits.  ``bf16``: weights are
            moved in float32, and rounded once for the forward pass.  ``model``: each of the
            model's tensors in its own type.  See ``core.precision``.
        batch_size: Samples a batch; None: the loader's own batches.
        threads: CPU threads, which decide the order of sums in a matrix product.
        fold: Whether batch norms are folded into the layers before them; see ``core.folding``.
        channels_last: Whether images and the weights of convolutions are laid out channels last.
        compile: Whether the network goes through ``torch.compile``.
        points_at_once: Points evaluated in one pass; see ``core.together``.
        graph: Whether batches are replayed as CUDA graphs; see ``core.graphs``.
    """

    device: str = "cpu"
    precision: str = "float32"
    batch_size: int | None = None
    threads: int = 1
    fold: bool = False
    channels_last: bool = False
    compile: bool = False
    points_at_once: int = 1
    graph: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise InputError(
                f"Unknown precision {self.precision!r}; choose one of {sorted(PRECISIONS)}."
            )
        if not re.fullmatch(DEVICES, str(self.device)):
            raise InputError(
                f"A plan's device is {self.device!r}; wanted 'cpu', 'cuda' or 'cuda:N'."
            )
        if self.precision == "tf32" and not self.device.startswith("cuda"):
            raise InputError(
                f"Precision 'tf32' is a way in which an NVIDIA GPU multiplies, and this is "
                f"evaluated on {self.device!r}. Say 'precision: float32', which is what a CPU "
                "would make of it, or evaluate where there is a GPU ('device: cuda')."
            )
        self._check_choices()

    def _check_choices(self) -> None:
        for name in ("fold", "channels_last", "compile", "graph"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(
                    f"A plan's {name} is {getattr(self, name)!r}; wanted true or false."
                )
        if self.compile and self.points_at_once != 1:
            raise InputError(
                "A plan either compiles the network or evaluates several points at once; set "
                "compile: false or points_at_once: 1."
            )
        for name in ("threads", "batch_size", "points_at_once"):
            number = getattr(self, name)
            if number is None and name == "batch_size":
                continue
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise InputError(f"A plan's {name} is {number!r}; wanted a whole number from 1.")

    def canonical(self) -> str:
        """Return the plan as JSON that is the same for the same plan.

        Without CUDA graphs it is spelt as before there were any: points stay known.
        """
        return _canonical(self)

    def told(self) -> dict[str, Any]:
        """Return the plan as ``probe.json`` has it; ``graph`` only where it is true."""
        told = asdict(self)
        if not self.graph:
            del told["graph"]
        return told

    def plain(self) -> "Plan":
        """Return the plan of the plain model: no choice made for speed."""
        return Plan(self.device, self.precision, None, self.threads)


@cache
def _canonical(plan: Plan) -> str:
    return json.dumps(plan.told(), sort_keys=True)


def plain_plan(model: "nn.Module", device: str) -> Plan:
    """Return the plan that evaluates a model as it is: exactly, in the loader's batches.

    A model with a float64 parameter is evaluated in float64, any other in float32.
    """
    import torch

    wide = any(parameter.dtype == torch.float64 for parameter in model.parameters())
    return Plan(device, "float64" if wide else "float32", None, torch.get_num_threads())


def choose_device(wish: str) -> str:
    """Return the device that is meant by ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Where CUDA is asked for and there is none, that is logged, and it is the CPU.
    """
    import torch

    if wish == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wish.startswith("cuda") and not torch.cuda.is_available():
        log.warning("There is no CUDA here; evaluating on the CPU.")
        return "cpu"
    return wish
