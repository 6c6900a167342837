"""A file that the pipeline reads has flipped bits, is cut, or holds a stretch of zeros."""

import random
from collections.abc import Callable
from pathlib import Path

from tests.faults.world import RUN, bits, drop_from, inside, resume

# What reads each file: the steps that are run after the damage begin with this one's.
READ_BY = {
    "journal/*/*.jsonl": "shards/0-of-2.h5",
    "journal/plan-*.json": "probe.json",
    "journal/probe-*.json": "probe.json",
    "probe.json": "shards/0-of-2.h5",
    "directions.h5": "shards/0-of-2.h5",
    "shards/0-of-2.h5": "surface.h5",
    "shards/1-of-2.h5": "surface.h5",
    "../../model.pt": "shards/0-of-2.h5",
}


def flip(content: bytes, draw: random.Random) -> bytes:
    """Flip one to four bits."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(content: bytes, draw: random.Random) -> bytes:
    """Lose the end."""
    return content[: draw.randrange(len(content))]


def zero(content: bytes, draw: random.Random) -> bytes:
    """Read zeros where a block was."""
    start = draw.randrange(len(content))
    length = min(draw.choice([1, 8, 64, 512, 4096]), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (flip, cut, zero)


def case(draw: random.Random, folder: Path, truth: tuple[object, ...]) -> str:
    """Damage one file; the run refuses it by name, or ends with the true surface."""
    with inside(folder):
        pattern = draw.choice(list(READ_BY))
        path = draw.choice(sorted(RUN.glob(pattern)))
        whole = path.read_bytes()
        path.write_bytes(draw.choice(DAMAGES)(whole, draw))
        drop_from(READ_BY[pattern])
        what = f"{pattern} damaged"
        done = resume()
        if done.code == 0:
            assert bits() == truth, f"{what}: another surface without a word"
            return "harmless"
        assert done.code in {1, 2}, f"{what}: exit code {done.code}"
        assert "Traceback" not in done.said, f"{what}: a traceback: {done.said}"
        named = path.name in done.said or "of files that args name, the content" in done.said
        assert named, f"{what}: the message does not name the file: {done.said}"
        _follow_the_remedy(path, whole)
        done = resume()
        assert done.code == 0, f"{what}: the remedy does not help: {done.said}"
        assert bits() == truth, f"{what}: another surface after the remedy"
        return "refused by name"


def _follow_the_remedy(path: Path, whole: bytes) -> None:
    """Remove the file, as messages say; a checkpoint comes back from where it was copied."""
    if path.name == "model.pt":
        path.write_bytes(whole)
    else:
        path.unlink()
