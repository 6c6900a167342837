"""What the records that steps write for each other hold: who reads one checks it, checksum or not.

A checksum finds damage.  Whoever meant harm, or edited a record by hand, wrote one that fits.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from landscape_lib.core.grid import MOST_POINTS

Name = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00]*$")]
Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]  # which HDF5 can hold
Count = Annotated[int, Field(ge=0, lt=2**63)]
Row = list[float]
T = TypeVar("T", bound="Shape")


class Shape(BaseModel):
    """A part of a record: what is named here must be there; other versions may have more."""

    model_config = ConfigDict(extra="allow", strict=True)


class Unknown(Shape):
    """Why something was not measured."""

    unknown: str


class LabelShape(Shape):
    """What a metric is called."""

    model_config = ConfigDict(extra="forbid", strict=True)
    long_name: Text
    units: Text = ""
    goal: Text = "min"
    note: Text = ""


class ProbeShape(Shape):
    """What ``probe.json`` holds."""

    keys: Annotated[list[Name], Field(min_length=1)]
    plan: dict[str, Any]
    seconds_per_point: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    problem: dict[str, Any]
    labels: dict[str, LabelShape] = {}
    memory_mb: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class GradientShape(Shape):
    """The first derivatives."""

    loss: float
    norm: float
    along: Row
    downhill_curvature: float
    weights_norm: float
    samples: Count


class CurvatureShape(Shape):
    """The second derivatives in the plane."""

    plane: list[Row]
    samples: Count


class EigenvaluesShape(Shape):
    """The Hessian's largest."""

    values: Row
    samples: Count


class TraceShape(Shape):
    """The Hessian's."""

    value: float
    standard_error: float
    samples: Count


class DensityShape(Shape):
    """The Hessian's spectrum."""

    nodes: Annotated[list[Annotated[Row, Field(min_length=1)]], Field(min_length=1)]
    weights: Annotated[list[Annotated[Row, Field(min_length=1)]], Field(min_length=1)]
    size: Annotated[int, Field(ge=1, lt=2**63)]
    samples: Count


class LowestShape(Shape):
    """The lowest point beside the centre."""

    point: Row
    difference: float
    standard_error: float
    samples: Count


class BumpShape(Shape):
    """The roughness at one place."""

    point: Row
    axis: str
    residual: float
    standard_error: float


class BumpsShape(Shape):
    """The roughness at some places."""

    places: list[BumpShape]
    samples: Count


class StatisticsPoint(Shape):
    """A value with the running statistics, and with the batch's own."""

    point: Row
    fixed: float
    fresh: float


class StatisticsShape(Shape):
    """What batch norms make of a few points."""

    points: list[StatisticsPoint]
    samples: Count | None = None  # none where there are no points

    @model_validator(mode="after")
    def _on_samples(self) -> "StatisticsShape":
        if self.points and self.samples is None:
            raise ValueError("points without 'samples'")
        return self


class SpreadShape(Shape):
    """The sampling error at the centre."""

    standard_error: float
    samples: Count


class IndifferentShape(Shape):
    """The loss of a model whose outputs are all zero."""

    loss: float


class NormsShape(Shape):
    """The norm layers of the network."""

    kinds: dict[str, Count]
    batch: Count
    reestimated: bool = False


class CentreShape(Shape):
    """What ``centre.json`` holds; a part that is not there was not measured."""

    format: Literal["landscape centre"]
    values: dict[str, float] = {}
    loss: str | None = None
    samples: Count
    directions: list[dict[str, Any]]
    norms: NormsShape | None = None
    indifferent: IndifferentShape | Unknown | None = None
    spread: SpreadShape | Unknown | None = None
    lowest: LowestShape | Unknown | None = None
    bumps: BumpsShape | Unknown | None = None
    statistics: StatisticsShape | Unknown | None = None
    gradient: GradientShape | Unknown | None = None
    curvature: CurvatureShape | Unknown | None = None
    eigenvalues: EigenvaluesShape | Unknown | None = None
    trace: TraceShape | Unknown | None = None
    density: DensityShape | Unknown | None = None


class PointsShape(Shape):
    """The points of a round."""

    indices: list[Annotated[int, Field(ge=0, lt=MOST_POINTS)]]
    why: str


class RoundShape(Shape):
    """What ``rounds/<number>.json`` holds."""

    number: Count
    shards: Count
    round: PointsShape | None

    @model_validator(mode="after")
    def _at_most_one_a_point(self) -> "RoundShape":
        points = len(self.round.indices) if self.round else 0
        if self.shards > points:
            raise ValueError(f"{self.shards} shards for {points} points")
        return self


def refuse_strange(found: Mapping[str, Any], shape: type[T]) -> None:
    """Refuse a record that is not what its step writes.

    Raises:
        ValueError: If it is not; one line that says where, and what was wanted.
    """
    try:
        shape.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place[:200]}: {first['msg']}") from None
