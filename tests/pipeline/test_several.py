"""Several shards at once, each in a process of its own, are one surface."""

import os
import re
import subprocess
import sys

from tests.pipeline.conftest import REPO, datasets
from tests.pipeline.test_interrupt import SIZE, SURFACE, wait_for


def test_four_processes_at_once_give_the_bytes_of_one(probed, finished):
    probed.configure(lambda config: config["runs"]["one"]["grid"].update(shards=4))
    probed.hold(4)  # three evaluations are free; then each process waits in one
    words = probed.command(SURFACE, "--cores", "4")
    words[words.index("gpu=1")] = "gpu=4"
    process = subprocess.Popen(
        words,
        cwd=probed.folder,
        env=probed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(lambda: probed.points() == 3 + 4)  # all four are at work
    probed.release()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert probed.points() == len(probed.journal("one")) == SIZE
    assert len({*probed.folder.glob("results/one/journal/*/*.jsonl")}) == 4
    ours, wanted = (datasets(project.folder / SURFACE) for project in (probed, finished))
    assert ours == wanted


def test_the_snakefile_is_read_without_torch():
    """Which takes two seconds and half a gigabyte in every start of Snakemake, dry ones too."""
    text = (REPO / "workflow/rules/common.smk").read_text()
    imports = re.findall(r"^(?:from landscape_lib.*|import landscape_lib.*)$", text, re.MULTILINE)
    assert len(imports) > 5
    code = "\n".join(["import sys", *imports, "print('torch' in sys.modules)"])
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
