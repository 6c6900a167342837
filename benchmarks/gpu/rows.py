"""What is measured of whole landscapes: speed beside the textbook loop and the chip's bounds."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from torch.utils.data import DataLoader

from benchmarks import textbook
from benchmarks.children import child
from benchmarks.gpu import bounds, cases
from benchmarks.gpu.cases import Case
from benchmarks.gpu.goals import reached
from benchmarks.gpu.ours import Measured, Ours, square
from benchmarks.gpu.scale import PRECISIONS, Scale, timed
from benchmarks.problems import BATCH_SIZE, three_metrics
from benchmarks.table import Table
from landscape_lib.core.direction import create_random_direction
from landscape_lib.core.lending import borrowed

FIRST_LOOK_S = {"tf32": 3.0, "bf16": 2.0}  # the goals
PROCESS_S = 15.0
TEXTBOOK = 30.0
RATES = {"tf32": 180_000, "bf16": 270_000}
SHARES = {"ResNet-50": 0.45, "encoder": 0.50}
MLP_POINTS = 100_000  # a minute
OTHERS = 4_000  # samples a second: 5,000 images at 121 points in 2 to 3 minutes on one GPU
PAPER = 36_000  # samples a second: 50,000 images at 2,601 points in an hour on four GPUs
NO_TF32 = "a CPU multiplies no TF32"
LOSSES = ("ce", "smooth_l1")


def share(part: float, whole: float) -> str:
    """Spell a part of a whole in percent."""
    return f"{100 * part / whole:.1f} %"


def part_of(found: Measured, ours: Ours) -> str:
    """Say on how many points it was measured, where it was not on all."""
    whole = ours.grid.size
    return "all" if found.points == whole else f"{found.points:,} of {whole:,}"


# ------------------------------------------------------------------------ ResNet-56, 5,000 images

FIRST_LOOK = (
    "who",
    "points",
    "evaluation, s",
    "samples/s",
    "times the textbook",
    "times 4,000 samples/s",
    "share of what memory allows",
    "process to surface, s",
    "finding the plan, s",
    "GPU memory, samples aside, MiB",
    "plan",
)
FIRST_LOOK_NOTE = (
    "{images:,} images, {side} x {side} points, three metrics. Evaluation: from the plan to the "
    "values, sending the samples and recording batches included. Process to surface: from starting "
    "Python to surface.h5, everything included. The textbook loop runs on the same device, on "
    "{places} points: weights set by one Python loop, a loader of two workers with transforms, "
    "batches of 128, three .item() a batch, torch as it comes (on a GPU, convolutions in TF32). "
    "Its losses and ours in float32 differ by at most {apart:.1e}, relative. 4,000 samples/s: of a "
    "library that says 2 to 3 minutes for this on one GPU. What memory allows: every activation "
    "written and read once, at the speed of a copy that was measured just before."
)


def first_look(scale: Scale) -> list[Table]:
    """Measure the surface that a first look is: in every precision, and as a textbook does it."""
    grid = square(scale.of(11, 3))
    case, brought = cases.pictures(scale, scale.of(5_000, 12))
    loader = DataLoader(brought, BATCH_SIZE, num_workers=scale.of(2, 0))
    chosen = [grid.size // 2, 0, grid.size - 2]
    rate, wanted = _textbook(case, loader, grid.points(chosen), scale)
    lines = [["textbook", f"{len(chosen)}", "", f"{rate:,.0f}", "1.0", f"{rate / OTHERS:.2f}"]]
    copied, apart, goals = bounds.copy_bytes_a_second(scale), float("nan"), []
    for precision in PRECISIONS:
        if precision not in scale.precisions:
            lines.append([f"ours, {precision}", NO_TF32])
            continue
        ours = Ours(case, precision, grid, scale)
        found = ours.measured()
        if precision == "float32":
            apart = _apart(found, wanted, chosen)
        allowed = bounds.samples_that_memory_allows(case, precision, copied)
        line, aims = _first_look(ours, found, rate, allowed)
        lines.append(line)
        goals += aims
    lines = [line + [""] * (len(FIRST_LOOK) - len(line)) for line in lines]
    note = FIRST_LOOK_NOTE.format(
        images=case.count, side=grid.axes[0].count, places=len(chosen), apart=apart
    )
    return [Table(f"{case.name}, a first look", FIRST_LOOK, lines, note), reached(*goals)]


def _first_look(
    ours: Ours, found: Measured, rate: float, allowed: float
) -> tuple[list[str], list[list[str]]]:
    scale, side = ours.scale, ours.grid.axes[0].count
    with timed("cpu") as whole:
        child(
            "benchmarks.gpu.process",
            device=scale.device,
            tiny=scale.tiny,
            images=ours.case.count,
            points=side,
            precision=ours.precision,
        )
    part, times = share(found.rate, allowed), found.rate / rate
    line = [
        f"ours, {ours.precision}",
        part_of(found, ours),
        f"{found.seconds:.3g}",
        f"{found.rate:,.0f}",
        f"{times:.1f}",
        f"{found.rate / OTHERS:.1f}",
        part,
        f"{whole[0]:.1f}",
        f"{found.search_s:.1f}",
        f"{found.peak / 2**20:,.0f}",
        found.spelled(),
    ]
    if ours.precision not in FIRST_LOOK_S:
        return line, []
    what, goal = f"first look in {ours.precision}", FIRST_LOOK_S[ours.precision]
    return line, [
        [f"{what}: evaluation", f"{goal:.0f} s", line[2] + " s", f"memory: {part} of its rate"],
        [f"{what}: process to surface", f"{PROCESS_S:.0f} s", line[7] + " s", "starting torch"],
        [f"{what}: times the textbook", f"{TEXTBOOK:.0f}", f"{times:.1f}", "as above"],
    ]


def _textbook(
    case: Case, loader: DataLoader, points: np.ndarray, scale: Scale
) -> tuple[float, list[dict[str, float]]]:
    """Return the textbook's samples a second at points, and its values."""
    net, places = case.net, [(float(x), float(y)) for x, y in points]
    directions = [list(create_random_direction(net, seed=0, axis=axis)) for axis in (0, 1)]
    walk = partial(textbook.walk, net, loader, directions, use_cuda=scale.device == "cuda")
    with borrowed(net):
        net.to(scale.device)
        walk(places[:1], three_metrics)  # libraries are loaded
        with timed(scale.device) as seconds:
            values = walk(places, three_metrics)
    return len(places) * case.count / seconds[0], values


def _apart(found: Measured, wanted: Sequence[Mapping[str, float]], indices: Sequence[int]) -> float:
    """Return by how much losses differ at points that were evaluated, relative, at most."""
    shard, worst = found.shard, 0.0
    for index, values in zip(indices, wanted, strict=True):
        for place in np.flatnonzero(shard.indices == index):  # there was no time for all, perhaps
            for name in LOSSES:
                own = float(shard.values[f"train_loss_{name}"][place])
                worst = max(worst, abs(own - values[name]) / abs(values[name]))
    return worst


# ----------------------------------------------------------------------- ResNet-56, 50,000 images

PAPERS = (
    "who",
    "points measured",
    "measured, s",
    "samples/s",
    "all points, extrapolated, s",
    "times the paper's 36,000 samples/s",
    "share of what memory allows",
    "GPU memory, samples aside, MiB",
    "plan",
)
PAPERS_NOTE = (
    "{images:,} images, {side} x {side} points, three metrics. Measured is an eighth of the "
    "points, or what there was time for; all points is extrapolated from that. The paper: about an "
    "hour on four GPUs."
)


def papers_surface(scale: Scale) -> list[Table]:
    """Measure the rate of the paper's surface on a part of its points."""
    grid = square(scale.of(51, 5))
    case = cases.resnet56(scale, scale.of(50_000, 24))
    copied = bounds.copy_bytes_a_second(scale)
    lines, goals = [], []
    for precision, rate in RATES.items():
        if precision not in scale.precisions:
            lines.append([f"ours, {precision}", NO_TF32, *[""] * (len(PAPERS) - 2)])
            continue
        ours = Ours(case, precision, grid, scale)
        found = ours.measured(max(1, grid.size // 8))
        part = share(found.rate, bounds.samples_that_memory_allows(case, precision, copied))
        lines.append(
            [
                f"ours, {precision}",
                part_of(found, ours),
                f"{found.seconds:.3g}",
                f"{found.rate:,.0f}",
                f"{found.seconds / found.points * grid.size:.3g}",
                f"{found.rate / PAPER:.1f}",
                part,
                f"{found.peak / 2**20:,.0f}",
                found.spelled(),
            ]
        )
        what, told = f"paper's surface in {precision}: samples/s", f"memory: {part} of its rate"
        goals.append([what, f"{rate:,}", f"{found.rate:,.0f}", told])
    note = PAPERS_NOTE.format(images=case.count, side=grid.axes[0].count)
    return [Table(f"{case.name}, the paper's surface", PAPERS, lines, note), reached(*goals)]


# ------------------------------------------------------------------ shares of the matrix product

PRODUCT = (
    "problem",
    "parameters, M",
    "GFLOP a sample",
    "points",
    "samples/s",
    "TFLOP/s",
    "matrix product in bf16, TFLOP/s",
    "share",
    "GPU memory, samples aside, MiB",
    "plan",
)
PRODUCT_NOTE = (
    "In bf16, {count:,} samples that lie on the device, three metrics. FLOP as torch counts them, "
    "two a multiply-add. The matrix product was measured just before, of 8,192 a side."
)


def _share_of_the_product(scale: Scale, case: Case, goal: float) -> list[Table]:
    product, _ = bounds.product_rate(scale, "bf16")
    flop = case.flop()
    ours = Ours(case, "bf16", square(scale.of(7, 3)), scale)
    found = ours.measured()
    speed = found.rate * flop
    parameters = sum(p.numel() for p in case.net.parameters())
    line = [
        case.name,
        f"{parameters / 1e6:.3g}",
        f"{flop / 1e9:.3g}",
        part_of(found, ours),
        f"{found.rate:,.0f}",
        f"{speed / 1e12:.4g}",
        f"{product / 1e12:.4g}",
        share(speed, product),
        f"{found.peak / 2**20:,.0f}",
        found.spelled(),
    ]
    note = PRODUCT_NOTE.format(count=case.count)
    allowed = bounds.samples_that_memory_allows(case, "bf16", bounds.copy_bytes_a_second(scale))
    bound = f"memory: {share(found.rate, allowed)} of its rate"
    return [
        Table(f"{case.name}: share of the matrix product", PRODUCT, [line], note),
        reached([f"{case.name}: share of the product", f"{100 * goal:.0f} %", line[7], bound]),
    ]


def resnet50(scale: Scale) -> list[Table]:
    """Measure ResNet-50 on images of 224 x 224."""
    return _share_of_the_product(
        scale, cases.resnet50(scale, scale.of(2_000, 4)), SHARES["ResNet-50"]
    )


def transformer(scale: Scale) -> list[Table]:
    """Measure an encoder of 85 M parameters on sequences of 128."""
    case = cases.transformer(scale, scale.of(2_048, 4))
    return _share_of_the_product(scale, case, SHARES["encoder"])


# --------------------------------------------------------------------------------- small networks

SMALL = ("problem", "points", "evaluation, s", "points a minute", "samples/s", "plan")
SMALL_NOTE = "In float32, {count:,} digits, three metrics, {side} x {side} points."


def small_networks(scale: Scale) -> list[Table]:
    """Measure networks whose time is not arithmetic."""
    lines, side = [], scale.of(51, 5)
    for name in ("mlp", "cnn"):
        ours = Ours(cases.small(scale, name), "float32", square(side), scale)
        found = ours.measured()
        lines.append(
            [
                ours.case.name,
                part_of(found, ours),
                f"{found.seconds:.3g}",
                f"{60 * found.points / found.seconds:,.0f}",
                f"{found.rate:,.0f}",
                found.spelled(),
            ]
        )
    note = SMALL_NOTE.format(count=ours.case.count, side=side)
    told = "starting kernels, where the GPU waits"
    goal = ["mlp on digits: points a minute", f"{MLP_POINTS:,}", lines[0][3], told]
    return [Table("Small networks", SMALL, lines, note), reached(goal)]
