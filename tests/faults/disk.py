"""A disk that is full, over quota, read-only, failing or gone: in place of the real one, and real.

``python -m tests.faults disk --seed 0`` lets every write, flush and rename of every step fail,
one a case, and then fills real small file systems where this user may mount them.
"""

import errno
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from landscape_lib.utils.journal import LINES, Journal, decode
from landscape_lib.utils.records import read_record
from landscape_lib.utils.storage import load_surface
from tests.faults.campaign import Tally
from tests.faults.crashes import System
from tests.faults.world import (
    CONFIG,
    RUN,
    STEPS,
    Done,
    bits,
    call,
    copied,
    inside,
    new_world,
    resume,
)

REPO = Path(__file__).resolve().parents[2]
TRAINING = "faults_problem_training.py"
TRAIN = """\
import torch


def train():
    for step in range(3):
        yield {"weight": torch.full((40, 30), float(step))}
"""
SAID = {  # what a message says of each
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "your quota on this disk is used up",
    errno.EIO: "the disk reports an error",
    errno.EROFS: "a file system that is read-only",
}
OF_RUN = ("--config", "config.yaml", "--run", "own")
OUTPUTS = {  # every step that writes: its script and arguments, and what it makes
    **{file: ((script, *OF_RUN, *more, "--out", f"{RUN / file}"), (file,))
       for file, (script, *more) in STEPS.items()},
    "pictures": (
        ("plot_surface", *OF_RUN, "--key", "train_loss"),
        tuple(f"figures/train_loss_{kind}.pdf"
              for kind in ("2dcontour", "2dcontourf", "2dheat", "3dsurface")),
    ),
    "ParaView": (("export_vtp", *OF_RUN, "--key", "train_loss"), ("paraview/train_loss.vtp",)),
    "centre": (("measure_centre", *OF_RUN, "--out", f"{RUN / 'centre.json'}"), ("centre.json",)),
    "verdict": (
        ("make_verdict", *OF_RUN, "--out", f"{RUN / 'verdict.json'}",
         "--page", f"{RUN / 'verdict.html'}"),
        ("verdict.json", "verdict.html"),
    ),
    "explorer": (
        ("make_explorer", *OF_RUN, "--verdict", f"{RUN / 'verdict.json'}",
         "--out", f"{RUN / 'explorer.html'}"),
        ("explorer.html",),
    ),
    "preview": (("preview", *OF_RUN), ("preview.h5",)),
    "training": (
        ("train_model", "--config", "training.yaml", "--run", "own",
         "--out", f"{RUN / 'trained.pt'}"),
        ("trained.pt", "trained.pt.sha256"),
    ),
}  # fmt: skip
DATED = {"probe.json", "centre.json", "surface.h5", "preview.h5"}  # hold a date, or a duration


class Failing(System):
    """Lets one call fail, and all writes after it where the disk stays full.

    Attributes:
        hit: Whether the call came.
    """

    def __init__(self, left: int, number: int, *, lasting: bool) -> None:
        super().__init__(left, losing=False)
        self.number, self.lasting, self.hit = number, lasting, False

    def end(self) -> None:
        self.hit = True
        self.left = 0 if self.lasting else sys.maxsize
        raise OSError(self.number, os.strerror(self.number))

    def unlink(self, path: Any, **more: Any) -> None:  # makes space, so it never fails
        self._real["unlink"](path, **more)


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do something in a process of its own; return what it returns, or how it ended."""
    answer, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.writev(told, [json.dumps(work()).encode()])  # the only way that nothing stands in
        finally:
            os._exit(0)
    os.close(told)
    with open(answer, "rb") as pipe:
        content = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(content) if content else {"code": status, "said": "no answer", "hit": True}


def failed(work: Callable[[], Done], system: Failing) -> dict[str, Any]:
    """Do something while one call fails, in a process of its own."""

    def there() -> dict[str, Any]:
        system.install()
        done = work()
        return {"code": done.code, "said": done.said, "hit": system.hit}

    return in_child(there)


@dataclass(frozen=True)
class Truth:
    """What an undisturbed run made: the bits of its surface, and the bytes of its files."""

    bits: tuple[object, ...]
    files: dict[str, bytes]

    def hold(self, what: str, files: Iterable[str]) -> None:
        """Hold that files are whole, and as they were."""
        for file in files:
            if file in self.files:
                assert (RUN / file).read_bytes() == self.files[file], f"{what}: {file} differs"
            elif file.endswith(".h5"):
                load_surface(RUN / file)
            else:
                read_record(RUN / file)


def new_run(folder: Path) -> Truth:
    """Make a project and all that can be made of it; return what must come again."""
    surface = new_world(folder)
    with inside(folder):
        Path(TRAINING).write_text(TRAIN)
        config = json.loads(json.dumps(CONFIG))
        config["runs"]["own"]["train"] = {"function": f"{TRAINING}:train"}
        Path("training.yaml").write_text(yaml.safe_dump(config))
        for name in [name for name in OUTPUTS if name not in STEPS]:
            done = call(*OUTPUTS[name][0])
            assert done.code == 0, f"{name}: {done.said}"
        made = {file for _, files in OUTPUTS.values() for file in files} - DATED
        return Truth(surface, {file: (RUN / file).read_bytes() for file in sorted(made)})


def once_each(what: str, kept: list[object]) -> None:
    """Hold that no point was lost, and none evaluated twice."""
    after = lines()
    assert len(set(after)) == len(after), f"{what}: points were evaluated twice"
    assert set(kept) <= set(after), f"{what}: points were lost"


def lines() -> list[object]:
    """The points of every whole line of the run's journals."""
    found = []
    for path in sorted(RUN.glob("journal/*/*.jsonl")):
        entries = map(decode, LINES.split(path.read_bytes()))
        found += [entry[0] for entry in entries if entry is not None]
    return found


def rest() -> list[str]:
    """Temporary files that should be gone."""
    return [str(path) for path in RUN.rglob(".*.tmp")]


def refused(what: str, done: dict[str, Any], said: str) -> None:
    """Hold what must be true of a program that could not write."""
    assert done["code"] == 1, f"{what}: exit code {done['code']}: {done['said']}"
    assert said in done["said"], f"{what}: the message does not say {said!r}: {done['said']}"
    assert "Traceback" not in done["said"], f"{what}: a traceback: {done['said']}"
    assert not rest(), f"{what}: half files are left: {rest()}"


def one_write(name: str, place: int, draw: random.Random, truth: Truth) -> str | None:
    """Let the call number ``place`` of a step fail; None where the step has fewer."""
    command, outputs = OUTPUTS[name]
    _forget(name)
    number, lasting = draw.choice(list(SAID)), draw.random() < 0.7
    done = failed(lambda: call(*command), Failing(place, number, lasting=lasting))
    if not done["hit"]:
        return None
    what = f"{name}, call {place}, {errno.errorcode[number]}{' from then on' * lasting}"
    if done["code"]:
        refused(what, done, SAID[number])
    truth.hold(what, [file for file in outputs if (RUN / file).exists()])
    kept = lines()
    again = call(*command)
    assert again.code == 0, f"{what}: the same command does not go on: {again.said}"
    truth.hold(what, outputs)
    once_each(what, kept)
    if done["code"] == 0:
        return "not needed"  # what failed: a store, a cache, a log
    more = resume()
    assert more.code == 0, f"{what}: then {more.said}"
    assert bits() == truth.bits, f"{what}: another surface without a word"
    return "refused, resumed"


def _forget(name: str) -> None:
    """Remove what a step made, so that it is made anew; of a shard also its points."""
    for file in OUTPUTS[name][1]:
        (RUN / file).unlink(missing_ok=True)
    if name == "probe.json":
        for path in [*RUN.glob("journal/pl*.json"), *RUN.glob("journal/pr*.json")]:
            path.unlink()
    if name.startswith("shards"):
        shutil.rmtree(RUN / "journal")


def at_every_write(seed: int, steps: dict[str, int | None] | None = None) -> dict[str, Tally]:
    """Let calls of the steps fail, one after the other; every step's first ones, or all.

    Args:
        seed: Which error comes at which call, and whether it lasts.
        steps: How many calls of which steps; None for all.
    """
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        world, folder = Path(place, "world"), Path(place, "case")
        truth = new_run(world)
        for name, most in (steps or dict.fromkeys(OUTPUTS)).items():
            tally = tallies.setdefault(f"a write of {name} fails", Tally())
            while most is None or tally.cases < most:
                draw = random.Random(f"{seed} {name} {tally.cases}")
                with inside(copied(world, folder)):
                    try:
                        became = one_write(name, tally.cases, draw, truth)
                    except Exception as error:  # what the campaign looks for
                        tally.broken.append(f"{name} {tally.cases}: {error}")
                        continue
                if became is None:
                    break
                tally.outcomes[became] += 1
    return tallies


# ------------------------------------------------------------------- real file systems


def why_not_mounted() -> str | None:
    """Return why this user may not mount file systems of its own; None where it may."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        return "there is no unshare or mount here"
    with tempfile.TemporaryDirectory() as folder:
        tried = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "none", folder]
        done = subprocess.run(tried, capture_output=True, text=True, check=False)
    return f"no file system can be mounted: {done.stderr.strip()}" if done.returncode else None


def mounted(seed: int, cases: int) -> dict[str, Tally]:
    """Fill, lock and remove real file systems, in a mount namespace that ends with its process."""
    command = [sys.executable, "-m", "tests.faults.disk", str(seed), str(cases)]
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", *command],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: Tally(Counter(outcomes), broken) for name, (outcomes, broken) in found.items()}


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def _child(work: Callable[[], Done]) -> dict[str, Any]:
    return in_child(lambda: vars(work()) | {"hit": True})


def full(draw: random.Random) -> Iterator[str]:
    """All results lie on a file system that is full."""
    size = 4 * draw.randrange(3, 12)
    shutil.rmtree("results")
    Path("results").mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}k", "none", "results")
    yield SAID[errno.ENOSPC]
    _mount("-o", "remount,size=4m", "results")


def quota(draw: random.Random) -> Iterator[str]:
    """The journal alone lies on one."""
    size = 4 * draw.randrange(1, 4)
    for file in list(STEPS)[2:]:
        (RUN / file).unlink()
    shutil.rmtree(RUN / "journal")
    (RUN / "journal").mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}k", "none", str(RUN / "journal"))
    with (RUN / "journal" / "others").open("wb", buffering=0) as filler:  # the rest of it
        filler.write(bytes(1024 * (size - 4 * draw.randrange(2))))
    yield SAID[errno.ENOSPC]
    _mount("-o", "remount,size=4m", str(RUN / "journal"))


def read_only(draw: random.Random) -> Iterator[str]:
    """The results lie on a file system that is read-only, from some step on."""
    for file in list(STEPS)[draw.randrange(len(STEPS)) :]:
        (RUN / file).unlink()
    _mount("--bind", "results", "results")
    _mount("-o", "remount,bind,ro", "results")
    yield SAID[errno.EROFS]
    _mount("-o", "remount,bind,rw", "results")


def limited(draw: random.Random) -> Iterator[str]:
    """A process may write files of so many bytes."""
    shutil.rmtree(RUN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (draw.randrange(64, 4000), limits[1]))
    try:
        yield "a size limit was reached"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


REAL = {
    "a full file system": full,
    "a full file system of the journal": quota,
    "a read-only file system": read_only,
    "a limit on file sizes": limited,
}


def real_case(way: Callable[[random.Random], Iterator[str]], draw: random.Random) -> str:
    """Run until the file system refuses; after space is made the same command goes on."""
    begun = way(draw)
    said = next(begun)
    done = _child(resume)
    kept = lines()
    next(begun, None)
    if done["code"]:
        refused(way.__name__, done, said)
    again = resume()
    assert again.code == 0, f"the same command does not go on: {again.said}"
    once_each(way.__name__, kept)
    return "refused, resumed" if done["code"] else "room enough"


def removed_case(draw: random.Random) -> str:
    """The run's folder is removed while a shard evaluates: its points are written anew."""
    (RUN / "surface.h5").unlink()
    (RUN / "shards/0-of-2.h5").unlink()
    shutil.rmtree(RUN / "journal")
    place = draw.randrange(6)

    def work() -> Done:
        append, count = Journal.append, iter(range(100))

        def remove(self: Journal, *entry: Any) -> None:
            if next(count) == place:
                shutil.rmtree(RUN)
            append(self, *entry)

        Journal.append = remove  # type: ignore[method-assign]
        return call(*OUTPUTS["shards/0-of-2.h5"][0])

    done = _child(work)
    assert "Traceback" not in done["said"], done["said"]
    assert len(set(lines())) == len(lines()) == 6, f"{len(lines())} points are kept of 6"
    if place:
        assert "what this process evaluated is written anew" in done["said"], done["said"]
    again = resume()
    assert again.code == 0, again.said
    assert len(set(lines())) == len(lines()) == 12, "points were evaluated twice"
    return "written anew, resumed"


def real(seed: int, cases: int) -> dict[str, Tally]:
    """Run so many cases of each in this process, which must have a mount namespace of its own."""
    tallies = {name: Tally() for name in [*REAL, "the run's folder is removed"]}
    with tempfile.TemporaryDirectory(prefix="faults-") as place:
        truth = new_world(Path(place, "world"))
        for name, tally in tallies.items():
            while tally.cases < cases:
                draw = random.Random(f"{seed} {name} {tally.cases}")
                folder = copied(Path(place, "world"), Path(place, f"{name[:12]} {tally.cases}"))
                with inside(folder):
                    try:
                        told = real_case(REAL[name], draw) if name in REAL else removed_case(draw)
                        assert bits() == truth, "another surface without a word"
                        tally.outcomes[told] += 1
                    except Exception as error:  # what the campaign looks for
                        tally.broken.append(f"{name} {tally.cases}: {error}")
                for mount in (RUN / "journal", Path("results")):
                    subprocess.run(["umount", folder / mount], capture_output=True, check=False)
    return tallies


def campaign(seed: int, cases: int = 20) -> tuple[str, list[str]]:
    """Run it all; return a table in Markdown, and what broke."""
    tallies = at_every_write(seed)
    without = why_not_mounted()
    tallies |= {} if without else mounted(seed, cases)
    rows = ["| fault | cases | held | what happened |", "| --- | --- | --- | --- |"]
    for name, tally in tallies.items():
        told = ", ".join(f"{count:,} {what}" for what, count in sorted(tally.outcomes.items()))
        rows.append(f"| {name} | {tally.cases:,} | {tally.outcomes.total():,} | {told} |")
    rows += [f"\nReal file systems were left out: {without}."] if without else []
    return "\n".join(rows), [told for tally in tallies.values() for told in tally.broken]


if __name__ == "__main__":
    TALLIES = real(int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write(json.dumps({n: [dict(t.outcomes), t.broken] for n, t in TALLIES.items()}))
