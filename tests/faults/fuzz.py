"""Looks for bytes that break what reads them: ``python -m tests.faults.fuzz --minutes 5 --seed 0``.

Coverage-guided: atheris keeps the inputs that reach lines which no input before them reached, and
changes those further.  ``uv run --group fuzz`` or ``uv run --with atheris`` brings it.  A reader
may return, or refuse with one of our errors; anything else, 30 s, 4 GB or a crash of a C library
is a finding, which is left as a file ``crash-*`` in ``--out`` (default: fuzz).  Exit code 0 where
there is none.
"""

import argparse
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from landscape_lib.utils.storage import SEAL
from tests.faults.doors import CONFIGS, RECORDS
from tests.faults.world import new_world

REPO = Path(__file__).resolve().parents[2]
INSTRUMENTED = ("landscape_lib", "yaml")
SLOWEST_S, MEMORY_MB = 30, 4096
MEMORY = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # inputs are files: no disk need hold them


def main(argv: list[str] | None = None) -> int:
    """Fuzz every reader in a process of its own; print how many inputs each was given."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="in all (default: 5)")
    parser.add_argument("--seed", type=int, default=0, help="where chance begins (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("fuzz"), help="for findings")
    parser.add_argument("--reader", choices=sorted(READERS), help="one alone, in this process")
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.reader:
        return _fuzz(args.reader, args.corpus, round(60 * args.minutes), args.seed, args.out)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = ["| reader | inputs | kept | findings |", "| --- | --- | --- | --- |"]
    broken = 0
    for name in READERS:
        with tempfile.TemporaryDirectory(prefix="fuzz-", dir=MEMORY) as place:
            corpus = Path(place, "corpus")
            seeds = _write_seeds(name, corpus)
            said = _in_a_process(name, corpus, args)
            kept = len(list(corpus.iterdir())) - seeds
        done = re.findall(r"^(?:Done (\d+) runs|#(\d+)\s)", said, re.MULTILINE)
        inputs = max((int(one or other) for one, other in done), default=0)
        found = len(re.findall(r"^==\d+== ?ERROR|Uncaught Python exception", said, re.MULTILINE))
        broken += bool(found) or not inputs
        rows.append(f"| {name} | {inputs:,} | {kept:,} | {found} |")
        if found or not inputs:
            sys.stderr.write(f"{said[-4000:]}\n")
    sys.stdout.write("\n".join([*rows, ""]))
    return 1 if broken else 0


def _in_a_process(name: str, corpus: Path, args: argparse.Namespace) -> str:
    command = [
        *(sys.executable, "-m", "tests.faults.fuzz", "--reader", name, "--corpus", str(corpus)),
        *("--minutes", str(args.minutes / len(READERS)), "--seed", str(args.seed)),
        *("--out", str(args.out.resolve())),
    ]
    done = subprocess.run(
        command,
        cwd=REPO,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(corpus.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode(errors="replace")


def _fuzz(name: str, corpus: Path, seconds: int, seed: int, out: Path) -> int:
    try:
        import atheris
    except ImportError:
        sys.stderr.write("Error: atheris is missing: uv run --with atheris python -m ...\n")
        return 2
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        prepare = READERS[name]()
    logging.disable(logging.CRITICAL)
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed + 1}",  # 0 stands for chance
        f"-timeout={SLOWEST_S}",
        f"-rss_limit_mb={MEMORY_MB}",
        f"-artifact_prefix={out}/",
        "-max_len=65536",
    ]
    words = corpus.with_name("words")
    if words.exists():
        options.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *options, str(corpus)], prepare)
    atheris.Fuzz()
    return 0


def config_reader() -> Callable[[bytes], None]:
    """Give what a config file's bytes are given to: every check that needs no other file."""
    from landscape_lib import config
    from landscape_lib.core.errors import InputError

    path = _scratch("config.yaml")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(InputError):
            config.load(path)

    return read


def hdf5_reader() -> Callable[[bytes], None]:
    """Give what HDF5 files are read by: surfaces, directions, shards, seeds."""
    from landscape_lib.core.errors import DamagedFileError, InputError
    from landscape_lib.utils import storage

    path = _scratch("own.h5")
    readers = storage.load_surface, storage.load_directions, storage.load_shard
    readers += (storage.load_ensemble,)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for reader in readers:
            with contextlib.suppress(InputError, DamagedFileError):
                reader(path)

    return read


def npz_reader() -> Callable[[bytes], None]:
    """Give what npz files are read by."""
    from landscape_lib.core.errors import DamagedFileError, InputError
    from landscape_lib.utils import storage

    path = _scratch("own.npz")

    def read(data: bytes) -> None:
        path.write_bytes(data)
        with contextlib.suppress(InputError, DamagedFileError):
            storage.load_surface(path)

    return read


def journal_reader() -> Callable[[bytes], None]:
    """Give what a journal and a record are read by, whatever their checksums say."""
    from landscape_lib.core.files import understood_json
    from landscape_lib.steps.shapes import CentreShape, ProbeShape, RoundShape, refuse_strange
    from landscape_lib.utils import journal

    def read(data: bytes) -> None:
        body = data.decode("ascii", "replace")
        line = f'{{"sum":"{journal._checksum(body)}","point":{body}}}'
        journal.decode(line.encode("ascii", "replace"))
        with contextlib.suppress(ValueError):
            found = understood_json(data)
            for shape in (ProbeShape, CentreShape, RoundShape):
                with contextlib.suppress(ValueError):
                    refuse_strange(found, shape)

    return read


def _scratch(name: str) -> Path:
    return Path(tempfile.mkdtemp(), name)


def _write_seeds(name: str, corpus: Path) -> int:
    """Write what chance begins with; return how many files."""
    data = REPO / "tests" / "data"
    seeds: list[bytes]
    if name == "config":
        paths = [
            *REPO.glob("config/*.yaml"),
            *REPO.glob("examples/*/*.yaml"),
            *REPO.glob("docs/*.yaml"),
        ]
        seeds = [yaml.safe_dump(tree).encode() for tree in CONFIGS]
        seeds += [path.read_bytes() for path in paths]
        words = sorted(set(re.findall(rb"[A-Za-z_]{3,30}", b" ".join(seeds))))
        told = "\n".join(
            f'"{word.decode()}"' for word in [*words, b"&a ", b"*a", b"<<: ", b"!!int "]
        )
        corpus.with_name("words").write_text(told)
    elif name == "npz":
        seeds = [path.read_bytes() for path in data.glob("*.npz")]
    elif name == "journal":
        seeds = [json.dumps(record).encode() for record in RECORDS.values()]
        seeds += [b'{"at":[0.0,1.0],"values":{"train_loss":1.5},"plan":"{}"}']
    else:
        new_world(corpus.with_name("world"))
        paths = [*corpus.with_name("world").rglob("*.h5"), *data.glob("*.h5")]
        seeds = [path.read_bytes().partition(SEAL)[0] for path in paths]  # or every change is seen
    corpus.mkdir()
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    return len(seeds)


READERS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "config": config_reader,
    "HDF5": hdf5_reader,
    "npz": npz_reader,
    "journal": journal_reader,
}


if __name__ == "__main__":
    sys.exit(main())
