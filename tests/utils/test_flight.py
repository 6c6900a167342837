"""What a process was at when it died is known to the next one, and nothing else is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from landscape_lib.utils.flight import Flight

REPO = Path(__file__).resolve().parents[2]
DIES = """
import os, signal, sys
from pathlib import Path
from landscape_lib.utils.flight import Flight
with Flight(Path(sys.argv[1]), 2.5) as flight:
    flight.take_off([(0.1 + 0.2, -1.0), (1e-300, 0.0)])
    flight.take_off([(0.1 + 0.2, -1.0)])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_points_in_flight_survive_their_process_to_the_last_bit(tmp_path):
    path = tmp_path / "new" / "0-of-2.flight"
    environment = {**os.environ, "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", DIES, path], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    crash = Flight(path).crash()
    assert crash is not None
    assert (crash.points, crash.seconds, crash.trace) == (((0.1 + 0.2, -1.0),), 2.5, "")
    Flight(path).trace.write_text("Timeout!\nsomewhere\n")
    crash = Flight(path).crash()
    assert crash is not None
    assert crash.trace == "Timeout!\nsomewhere"


def test_who_ends_as_he_should_leaves_nothing(tmp_path):
    with Flight(tmp_path / "a.flight") as flight:
        flight.take_off([(1.0,)])
        flight.trace.write_text("")
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    flight.take_off([(2.0,)])
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_read_is_no_crash(tmp_path):
    for text in ("", "{", "[]", '{"points": 3}', '{"points": [[1]], "seconds": "x"}'):
        (tmp_path / "a.flight").write_text(text)
        assert Flight(tmp_path / "a.flight").crash() is None
    assert Flight(tmp_path / "none.flight").crash() is None
