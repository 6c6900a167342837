"""Which keys a config has: their types, defaults and meaning."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from landscape_lib.config import readers
from landscape_lib.config.readers import FLAG, FUNCTION, NULL, NULL_AS_NONE, PLAIN_MAPPING
from landscape_lib.core.failures import Limits
from landscape_lib.core.grid import MOST_STEPS, Axis, Grid, Refinement
from landscape_lib.core.plan import PRECISIONS

AXES = ("x", "y")
BEND = ("curve", "bend_epochs", "bend_rate", "bend_seed")
KEYS_OF_KIND = {
    "random": ("seed", "normalize", "ignore"),
    "target": ("model", "align", *BEND),
    "file": ("path",),
    "pca": ("checkpoints",),
    "hessian": ("eigenvector", "samples"),
}
MAY_BE_NULL = frozenset({"eigenvector", "samples"})  # keys that their kind does without
NAME = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}"
FORMATS = ("pdf", "png", "svg")
DEVICE = r"auto|cpu|cuda(:[0-9]+)?"

AUTO_COUNT = 51  # steps of an axis of which nothing is said but 'auto'
_LIMITS = "[low, high, count] such as [-1, 1, 51], [auto, auto, 51], 'auto'"
_END_SCHEMA = {"anyOf": [{"type": "number"}, {"enum": ["auto"]}]}
_LIMITS_SCHEMA = {
    "anyOf": [
        {
            "type": "array",
            "items": [_END_SCHEMA, _END_SCHEMA, {"type": "integer", "minimum": 1}],
            "minItems": 3,
            "maxItems": 3,
        },
        {"enum": ["auto"]},
    ]
}
_FORMATS = "a list of 'pdf', 'png', 'svg', each at most once"
_FORMATS_SCHEMA = {
    "type": "array",
    "items": {"enum": list(FORMATS)},
    "minItems": 1,
    "uniqueItems": True,
}
_GLOB = readers.text("a glob on names of parameters")
_GLOBS = "a list of globs on names of parameters"
_GLOBS_SCHEMA = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}
_PATHS = "a path, a pattern as 'epochs/*.pt', a list of them"
_PATHS_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": "\\S"},
        {"type": "array", "items": {"type": "string", "pattern": "\\S"}, "minItems": 1},
    ]
}
_TRAJECTORY_SCHEMA = {"type": ["object", "null"], "additionalProperties": _PATHS_SCHEMA}
_RUNS = "a list of names of runs"
_RUNS_SCHEMA = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
_GROUPS_SCHEMA = {"type": ["object", "null"], "additionalProperties": _RUNS_SCHEMA}
_FILES_SCHEMA = {"type": ["array", "null"], "items": {"type": "string"}}
_ARGS_SCHEMA = {"type": ["object", "null"]}


End = float | Literal["auto"]


def _ordered(limits: tuple[End, End, int]) -> tuple[End, End, int]:
    low, high, count = limits
    if count > MOST_STEPS:
        raise readers.refusal(f"at most {MOST_STEPS:,} steps")
    if low == "auto" or high == "auto":
        if low != high or count < 2:
            raise readers.refusal("[auto, auto, count] with a count from 2")
        return limits
    if count > 1 and not low < high:
        raise readers.refusal("low below high")
    if count == 1 and low != high:
        raise readers.refusal("low equal to high where the count is 1")
    return limits


def _known_to_the_device(precision: str, info: ValidationInfo) -> str:
    if precision == "tf32" and info.data.get("device") == "cpu":
        raise readers.refusal(
            "'float32' on a CPU ('tf32' is a way in which an NVIDIA GPU multiplies)"
        )
    return precision


def _each_once(formats: tuple[str, ...]) -> tuple[str, ...]:
    if not formats or len(set(formats)) < len(formats):
        raise readers.refusal(_FORMATS)
    return tuple(name for name in FORMATS if name in formats)


def _some_globs(globs: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if globs is not None and (not globs or len(set(globs)) < len(globs)):
        raise readers.refusal(_GLOBS)
    return globs


def _globs_reader(*, one: bool) -> readers.Reader:
    """Accept a list of globs or null; a glob alone where ``one`` says so."""
    listed = readers.a_list(_GLOBS, _GLOBS_SCHEMA, null=True)
    if not one:
        return listed

    def read(value: Any) -> Any:
        return listed.read([value] if isinstance(value, str) else value)

    return replace(
        listed,
        read=read,
        allowed=f"a glob such as 'layer3.*', {listed.allowed}",
        schema={"anyOf": [{"type": "string"}, listed.schema]},
    )


_LAYERS = Annotated[
    tuple[Annotated[str, _GLOB], ...] | None, AfterValidator(_some_globs), _globs_reader(one=True)
]
_LAYER_LIST = Annotated[
    tuple[Annotated[str, _GLOB], ...] | None, AfterValidator(_some_globs), _globs_reader(one=False)
]
_AXIS = Annotated[
    tuple[
        Annotated[End, readers.number() | readers.words("auto")],
        Annotated[End, readers.number() | readers.words("auto")],
        Annotated[int, readers.whole(1)],
    ],
    AfterValidator(_ordered),
]
_SHARE = readers.number("a number between 0 and 1", above=0, below=1)
_NUMBER_OR_NULL = Annotated[float | None, readers.number() | NULL]
_TEXT_OR_NULL = Annotated[str | None, readers.text("a path") | NULL]
_STYLE = Annotated[
    str | None, readers.text("a path of a style sheet, a name of a matplotlib style") | NULL
]
_FUNCTION = Annotated[str, FUNCTION]
_ARGS = Annotated[
    dict[
        Annotated[str, readers.text("a name; put it in quotes")],
        Annotated[Any, readers.anything_plain()],
    ],
    readers.a_mapping("a mapping of keyword arguments", _ARGS_SCHEMA),
]


def _paths_reader(*, null: bool = False) -> readers.Reader:
    listed = readers.a_list(_PATHS, _PATHS_SCHEMA, null=null)

    def read(value: Any) -> Any:
        found = listed.read([value] if isinstance(value, str) else value)
        if found == ():
            raise readers.refusal(_PATHS)
        return found

    return replace(listed, read=read)


_CHECKPOINTS = tuple[Annotated[str, readers.text("a path")], ...]


def _axis_reader(*, null: bool = False) -> readers.Reader:
    listed = readers.a_list(_LIMITS, _LIMITS_SCHEMA, 3, null=null)

    def read(value: Any) -> Any:
        return listed.read(["auto", "auto", AUTO_COUNT] if value == "auto" else value)

    return replace(listed, read=read)


def _axis(low: End, high: End, count: int) -> Axis:
    return Axis(-1.0, 1.0, count) if low == "auto" or high == "auto" else Axis(low, high, count)


class Settings(BaseModel):
    """A part of a config: frozen, every value checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def settings(self) -> dict[str, Any]:
        """Return what a result depends on, as plain values."""
        return self.model_dump()


class GridSettings(Settings):
    """Where on the landscape we look."""

    x: Annotated[_AXIS, _axis_reader()] = Field(
        description="Steps along the first direction: both ends, and how many steps. `auto`: ends "
        "that show the basin of a random direction, found before anything is evaluated."
    )
    y: Annotated[_AXIS | None, _axis_reader(null=True)] = Field(
        default=None, description="The same along the second direction. Left out or null: a curve."
    )
    shards: Annotated[int | Literal["auto"], readers.words("auto") | readers.whole(1)] = Field(
        default="auto",
        description="Number of parts that are evaluated one by one, at most one per point. "
        "`auto`: as many as take some minutes each.",
    )
    mode: Annotated[Literal["full", "adaptive"], readers.words("full", "adaptive")] = Field(
        default="full",
        description="`full`: every point is evaluated. `adaptive`: points are evaluated where the "
        "surface bends, others are interpolated, each with a bound of its error. Needs `y`.",
    )
    tolerance: Annotated[float, _SHARE] = Field(
        default=0.01,
        description="Beside `adaptive`: by how much interpolated points may be off, as a share of "
        "the range of values, or of their logarithms where these are positive and wide.",
    )
    metric: Annotated[str | None, readers.text("a metric key such as 'train_loss'") | NULL] = Field(
        default=None,
        description="Beside `adaptive`: the metric that decides where points are evaluated. "
        "Null: all of them, hence the most rugged one.",
    )

    @property
    def grid(self) -> Grid:
        """The points themselves; from -1 to 1 where the ends are still to be found."""
        return Grid(tuple(_axis(*limits) for limits in (self.x, self.y) if limits))

    @property
    def refinement(self) -> Refinement | None:
        """How exact an adaptive grid is to be; None where every point is evaluated."""
        return Refinement(self.tolerance, self.metric) if self.mode == "adaptive" else None

    @property
    def auto(self) -> tuple[str, ...]:
        """The axes whose ends are to be found."""
        axes = zip(AXES, (self.x, self.y), strict=True)
        return tuple(name for name, limits in axes if limits and limits[0] == "auto")


class DirectionSettings(Settings):
    """Where the direction of one axis comes from."""

    kind: Annotated[
        Literal["random", "target", "file", "pca", "hessian"], readers.words(*KEYS_OF_KIND)
    ] = Field(
        default="random",
        description="`random`: Gaussian noise. `target`: from the trained weights to those of "
        "`model`. `file`: read from `path`. `pca`: where the training that left `checkpoints` "
        "walked farthest, at length 1. `hessian`: an eigenvector of the Hessian of the loss.",
    )
    dir_type: Annotated[Literal["weights", "states"], readers.words("weights", "states")] = Field(
        default="weights",
        description="`weights`: all parameters move. `states`: running statistics, too. "
        "The same on both axes.",
    )
    seed: Annotated[int, readers.whole(0)] = Field(
        default=0,
        description="Kind `random`: where the noise starts. "
        "One seed gives x and y independent noise.",
    )
    normalize: Annotated[
        Literal["filter", "layer", "weight", "dfilter", "dlayer"],
        readers.words("filter", "layer", "weight", "dfilter", "dlayer"),
    ] = Field(
        default="filter",
        description="Kind `random`: which norms of the weights the noise takes on.",
    )
    ignore: Annotated[
        Literal["biasbn", "none", "scaled", "biasbn_parameters"],
        readers.words("biasbn", "none", "scaled", "biasbn_parameters") | NULL_AS_NONE,
    ] = Field(
        default="biasbn",
        description="Kind `random`: tensors of at most one dimension (biases, norm layers) stand "
        "still (`biasbn`), move along themselves (`none`; null means the same), or along noise "
        "of their norm (`scaled`). `biasbn_parameters`: parameters stand still, and every "
        "entry of running statistics (`dir_type: states`) goes up or down by its own size.",
    )
    model: _TEXT_OR_NULL = Field(
        default=None, description="Kind `target`, required there: a state_dict of the same network."
    )
    align: Annotated[
        Literal["none", "permutation"], readers.words("none", "permutation") | NULL_AS_NONE
    ] = Field(
        default="none",
        description="Kind `target`: `permutation` puts the hidden units of `model` in the order "
        "that brings it nearest, by weight matching, before the direction leads to it; null means "
        "`none`.",
    )
    curve: Annotated[
        Literal["none", "bezier", "chain"], readers.words("none", "bezier", "chain") | NULL_AS_NONE
    ] = Field(
        default="none",
        description="Kind `target`, on a grid without `y`: a path with one bend, trained so that "
        "the loss along it is low: a quadratic Bezier curve, or two straight lines. `none`, as "
        "null: the straight line.",
    )
    bend_epochs: Annotated[int, readers.whole(0)] = Field(
        default=50,
        description="Beside `curve`: epochs for which the bend is trained, from half-way between "
        "the models.",
    )
    bend_rate: Annotated[float, readers.number("a number above 0", above=0)] = Field(
        default=0.001, description="Beside `curve`: Adam's rate at the start; it falls to zero."
    )
    bend_seed: Annotated[int, readers.whole(0)] = Field(
        default=0,
        description="Beside `curve`: the order of the samples, and where on the path each batch "
        "is judged.",
    )
    path: _TEXT_OR_NULL = Field(
        default=None,
        description="Kind `file`, required there: a `directions.h5` of ours or of the original "
        "program.",
    )
    layers: _LAYERS = Field(
        default=None,
        description="Which parameters move: those that one of the globs matches (`layer3.*`; a "
        "module's name stands for all below it; `!*.bias` takes away); all others stand still. "
        "Null: all.",
    )
    checkpoints: Annotated[_CHECKPOINTS | None, _paths_reader(null=True)] = Field(
        default=None,
        description="Kind `pca`, required there: state_dicts of the same network, as training "
        "left them. A pattern stands for its files, ordered as numbers in their names count.",
    )
    eigenvector: Annotated[int | None, readers.rank() | NULL] = Field(
        default=None,
        description="Kind `hessian`: which: 1 of the largest eigenvalue, 2 of the next, -1 of the "
        "smallest, -2 of the next. Null: 1 on x, 2 on y.",
    )
    samples: Annotated[int | None, readers.whole(1) | NULL] = Field(
        default=None,
        description="Kind `hessian`: on at most so many samples; null: on all. The same on both "
        "axes.",
    )
    orthogonal: Annotated[bool, FLAG] = Field(
        default=False,
        description="Take out of the direction what lies along the other axis's. "
        "For both axes: out of y what lies along x.",
    )

    def settings(self) -> dict[str, Any]:
        """Return kind and dir_type with the keys that belong to the kind, and no others."""
        asked = {name for name in ("orthogonal", "layers") if getattr(self, name)}
        keys = {"kind", "dir_type", *KEYS_OF_KIND[self.kind], *asked}
        unasked = {"align"} if self.align == "none" else set()
        unasked |= set(BEND) if self.curve == "none" else set()
        return self.model_dump(include=keys - unasked)


class EvaluationSettings(Settings):
    """How the metrics are computed."""

    device: Annotated[str, readers.text("'auto', 'cpu', 'cuda', 'cuda:N'", DEVICE)] = Field(
        default="auto", description="`auto`: CUDA if there is one, else the CPU."
    )
    precision: Annotated[
        Literal["float32", "float64", "tf32", "bf16", "model"],
        readers.words(*PRECISIONS),
        AfterValidator(_known_to_the_device),
    ] = Field(
        default="float32",
        description="Floating-point type of weights and inputs. `tf32`: float32 whose products an "
        "NVIDIA GPU rounds to 11 bits. `bf16`: weights are moved in float32 and rounded once for "
        "the forward pass. `model`: each tensor in the type that the model has it in, as bfloat16; "
        "it is moved in float32 and rounded once. What `tf32` and `bf16` change is measured and "
        "kept in `probe.json` and `surface.h5`.",
    )
    batch_size: Annotated[int | Literal["auto"], readers.words("auto") | readers.whole(1)] = Field(
        default="auto",
        description="Samples per forward pass. `auto`: the probe measures and picks.",
    )
    plan: Annotated[
        dict[str, Any] | Literal["auto", "plain"], readers.words("auto", "plain") | PLAIN_MAPPING
    ] = Field(
        default="auto",
        description="How points are evaluated. `auto`: the probe picks. `plain`: the model as it "
        "is, at batch size 128. A mapping is a plan as `probe.json` shows it.",
    )
    batch_norm: Annotated[
        Literal["frozen", "reestimated"], readers.words("frozen", "reestimated")
    ] = Field(
        default="frozen",
        description="Running statistics of batch norms: what they are at the centre (or as the "
        "directions move them), or estimated anew at every point, always on the same samples.",
    )
    batch_norm_samples: Annotated[int | None, readers.whole(2) | NULL] = Field(
        default=None,
        description="On how many training samples they are estimated anew; null: on all.",
    )
    standard_error: Annotated[bool, FLAG] = Field(
        default=True,
        description="Every value of a loss or an accuracy comes with its sampling error, from the "
        "losses of the samples in the same pass: `standard_error/<key>` in `surface.h5`.",
    )
    bootstrap: Annotated[int | None, readers.whole(2) | NULL] = Field(
        default=None,
        description="Also the spread of every such value over so many bootstrap samples of the "
        "data: `bootstrap_error/<key>`. Null: none.",
    )
    curvature: Annotated[bool | int, FLAG | readers.whole(1)] = Field(
        default=False,
        description="At every point also the Hessian's smallest and largest eigenvalue: metrics "
        "`hessian_min`, `hessian_max`, `hessian_ratio`. A number: on at most so many samples. Each "
        "point costs some 100 gradients more.",
    )

    on_error: Annotated[Literal["stop", "nan"], readers.words("stop", "nan")] = Field(
        default="stop",
        description="Where a metric raises, or takes too long, at a point: `stop`: the shard ends "
        "there, and everything finished is kept. `nan`: the point's values are NaN, it is told "
        "how many failed, and it goes on. `stop` evaluates again what failed under `nan`.",
    )
    seconds_per_point: Annotated[
        float | None, readers.number("a number above 0", above=0) | NULL
    ] = Field(
        default=None,
        description="How long a point may take before it counts as failed; null: as long as it "
        "takes.",
    )

    @property
    def limits(self) -> Limits:
        """What becomes of points that cannot be evaluated."""
        return Limits(self.on_error, self.seconds_per_point)

    def settings(self) -> dict[str, Any]:
        """Return what values depend on; nothing of keys that are as they are by themselves."""
        unsaid = {"on_error", "seconds_per_point"}  # they decide no value
        unsaid |= {"batch_norm", "batch_norm_samples"} if self.batch_norm == "frozen" else set()
        unsaid |= set() if self.curvature else {"curvature"}
        unsaid |= {"standard_error"} if self.standard_error else set()
        unsaid |= set() if self.bootstrap else {"bootstrap"}
        return self.model_dump(exclude=unsaid)


class FigureSettings(Settings):
    """How the pictures look."""

    cmap: Annotated[str, readers.text("a name of a matplotlib colour map")] = Field(
        default="viridis", description="Matplotlib's colour map."
    )
    scale: Annotated[Literal["auto", "log", "linear"], readers.words("auto", "log", "linear")] = (
        Field(default="auto", description="Scale of the values. `auto`: as suits them.")
    )
    vmin: _NUMBER_OR_NULL = Field(default=None, description="Lowest value shown; null: the data's.")
    vmax: _NUMBER_OR_NULL = Field(
        default=None, description="Highest value shown; null: the data's."
    )
    vlevel: Annotated[float | None, readers.number("a positive number", above=0) | NULL] = Field(
        default=None, description="Step between contour lines; null: as suits the values."
    )
    formats: Annotated[
        tuple[Annotated[str, readers.words(*FORMATS)], ...],
        AfterValidator(_each_once),
        readers.a_list(_FORMATS, _FORMATS_SCHEMA),
    ] = Field(default=("pdf",), description="File formats; every picture is written in each.")
    style: _STYLE = Field(
        default=None,
        description="Matplotlib's style sheet, laid over ours: fonts, sizes, line widths.",
    )
    topology: Annotated[bool, FLAG] = Field(
        default=False,
        description="Also draw the persistence diagram of every metric, `figures/<key>_persistence`"
        ", and mark minima and passes on maps and curves.",
    )
    computed: Annotated[bool, FLAG] = Field(
        default=False,
        description="Put a dot on every point that was evaluated, on maps of an adaptive grid.",
    )


class ComparisonSettings(FigureSettings):
    """How the pictures of several runs look."""

    runs: Annotated[
        tuple[Annotated[str, readers.text("a name of a run")], ...] | None,
        readers.a_list(_RUNS, _RUNS_SCHEMA, null=True),
    ] = Field(
        default=None,
        description="Which runs are compared, in this order; the first is what differences are "
        "taken from. Null: all. An empty list: no comparison.",
    )
    groups: Annotated[
        dict[
            Annotated[str, readers.text("a name")],
            Annotated[
                tuple[Annotated[str, readers.text("a name of a run")], ...],
                readers.a_list(_RUNS, _RUNS_SCHEMA),
            ],
        ],
        readers.a_mapping("a mapping of names to lists of runs", _GROUPS_SCHEMA),
    ] = Field(
        default={},
        description="Curves that are drawn as one: their median, in a band from the lowest to the "
        "highest.",
    )


class ParaviewSettings(Settings):
    """What the ParaView files hold."""

    log: Annotated[bool, FLAG] = Field(
        default=False, description="Heights are log10 of the values (positive ones)."
    )
    zmax: _NUMBER_OR_NULL = Field(
        default=None, description="Values above are clipped to it; null: none."
    )
    interp: Annotated[int | None, readers.whole(2) | NULL] = Field(
        default=None,
        description="Interpolate to so many steps along each axis; null: the grid as it is.",
    )
    zscale: Annotated[
        float | Literal["auto"],
        readers.number("a positive number", above=0) | readers.words("auto"),
    ] = Field(
        default=1.0,
        description="Factor on the heights. `auto`: heights about as wide as the grid.",
    )


class VerdictSettings(Settings):
    """What is measured at the centre for the verdict, beside the gradient and the curvature."""

    eigenvalues: Annotated[int | Literal["auto"], readers.words("auto") | readers.whole(0)] = Field(
        default="auto",
        description="How many of the Hessian's largest eigenvalues. `auto`: 3 where they cost less "
        "than 10 s, or 5 % of the run; else none.",
    )
    trace: Annotated[bool | Literal["auto"], FLAG | readers.words("auto")] = Field(
        default="auto",
        description="Whether the Hessian's trace is estimated. `auto`: where it costs as little.",
    )
    samples: Annotated[int | None, readers.whole(1) | NULL] = Field(
        default=None,
        description="Derivatives are taken on at most so many samples; null: on all.",
    )
    density: Annotated[bool | Literal["auto"], FLAG | readers.words("auto")] = Field(
        default=False,
        description="Whether the density of all the Hessian's eigenvalues is estimated and drawn, "
        "`figures/spectrum`. It costs some 800 products with the Hessian. `auto`: where it costs "
        "as little.",
    )


class Train(Settings):
    """The function that makes results/<run>/model.pt."""

    function: _FUNCTION = Field(
        description="Called with `args`; returns a state_dict, or yields several along the way."
    )
    args: _ARGS = Field(default={}, description="Keyword arguments of the function.")


class ProblemSettings(Settings):
    """Whose landscape it is: the keys that only a run has."""

    problem: _FUNCTION = Field(description="The function that builds the problem: model and data.")
    args: _ARGS = Field(default={}, description="Keyword arguments of the function.")
    files: Annotated[
        tuple[Annotated[str, readers.text("a path")], ...],
        readers.a_list("a list of paths", _FILES_SCHEMA, null_is_empty=True),
    ] = Field(
        default=(),
        description="Other files it reads; when their content changes, the run starts anew.",
    )
    compare_batch_norm: Annotated[bool, FLAG] = Field(
        default=False,
        description="Also draw the run with its batch norms treated in the two other ways, as runs "
        "`<run>_frozen`, `<run>_reestimated`, `<run>_states`.",
    )
    per_layer: _LAYER_LIST = Field(
        default=None,
        description="Also draw a run for each of these globs, in which that layer moves alone: "
        "`<run>_<layer>`.",
    )
    over_training: Annotated[_CHECKPOINTS | None, _paths_reader(null=True)] = Field(
        default=None,
        description="Checkpoints along the training. The landscape around `frames` of them, each "
        "in the plane of the run's directions, is drawn as a film, `over_training/`.",
    )
    frames: Annotated[int, readers.whole(2)] = Field(
        default=10,
        description="Beside `over_training`: how many of the checkpoints, evenly spread, the first "
        "and the last among them; runs `<run>_t00`, `<run>_t01`, ...",
    )
    film: Annotated[Literal["gif", "mp4"], readers.words("gif", "mp4")] = Field(
        default="gif",
        description="Beside `over_training`: the format of what moves. `mp4` needs ffmpeg.",
    )
    seeds: Annotated[int | None, readers.whole(2) | NULL] = Field(
        default=None,
        description="Draw the landscape with so many seeds of its random directions, from its own "
        "on, as runs `<run>_seed1` and so on beside it; their mean and spread: `seeds.h5`, "
        "`figures/<key>_seeds`.",
    )
    trajectory: Annotated[
        dict[
            Annotated[str, readers.text("a name; put it in quotes")],
            Annotated[_CHECKPOINTS, _paths_reader()],
        ],
        readers.a_mapping("a mapping of names to checkpoints", _TRAJECTORY_SCHEMA),
    ] = Field(
        default={},
        description="Ways of trainings that pictures show, by name; `checkpoints` for the only "
        "one. Left out: those of directions of kind `pca`.",
    )


SECTIONS: Mapping[str, type[Settings]] = {
    "grid": GridSettings,
    "directions": DirectionSettings,
    "evaluation": EvaluationSettings,
    "figures": FigureSettings,
    "paraview": ParaviewSettings,
    "verdict": VerdictSettings,
}
