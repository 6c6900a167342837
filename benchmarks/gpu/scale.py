"""How large everything is: as it is measured, or as small as it can be to see that all works."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

PRECISIONS = ("float32", "tf32", "bf16")


@dataclass(frozen=True)
class Scale:
    """How a row is measured.

    Attributes:
        device: ``cuda`` or ``cpu``.
        tiny: Whether all is of a toy's size.
        seed: Of random inputs; another one at every run.
        until: When the row must be done, on ``time.monotonic``.
        data: The folder with Fashion-MNIST.
        picture: Where the picture of a real surface goes; None draws none.
    """

    device: str = "cuda"
    tiny: bool = False
    seed: int = 0
    until: float = field(default=float("inf"))
    data: Path = Path("data")
    picture: Path | None = None

    def left(self) -> float:
        """Return the seconds that the row may still take."""
        return self.until - time.monotonic()

    def of(self, whole: int, toy: int) -> int:
        """Return a size: the one that is measured, or a toy's."""
        return toy if self.tiny else whole

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that the device has: no CPU multiplies TF32."""
        return tuple(p for p in PRECISIONS if p != "tf32" or self.device == "cuda")

    def generator(self) -> torch.Generator:
        """Return the source of random inputs, on the CPU."""
        return torch.Generator().manual_seed(self.seed)


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def timed(device: str) -> Iterator[list[float]]:
    """Time what happens inside, all of the device's work included; the list gets the seconds."""
    synchronize(device)
    start = time.perf_counter()
    found: list[float] = []
    yield found
    synchronize(device)
    found.append(time.perf_counter() - start)


def best_of(device: str, rounds: int, work: Callable[[], object]) -> float:
    """Return the seconds of the fastest of some rounds, after one that is not counted."""
    work()
    found = []
    for _ in range(rounds):
        with timed(device) as seconds:
            work()
        found += seconds
    return min(found)
