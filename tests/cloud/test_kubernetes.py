"""The profile for Kubernetes, as it stands, before a Kubernetes that is pretended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloud.conftest import PREFIX
from tests.cloud.pretended_kubernetes import Kubernetes
from tests.cloud.test_s3 import COMMAND, same_bytes
from tests.pipeline.conftest import REPO
from tests.pipeline.test_interrupt import SIZE, SURFACE

IMAGE = Path(__file__).with_name("image")

pytestmark = [
    pytest.mark.s3,
    pytest.mark.skipif(os.environ.get("LANDSCAPE_S3") != "1", reason=f"minutes long: {COMMAND}"),
]


@pytest.fixture
def cluster(cloud, tmp_path):
    inside = {**cloud.project.environment, "PATH": f"{IMAGE}:{cloud.project.environment['PATH']}"}
    made = Kubernetes(cloud.machines, inside)
    made.write_config(tmp_path / "kubeconfig")
    cloud.environment["KUBECONFIG"] = str(tmp_path / "kubeconfig")
    yield made
    made.close()


def test_pods_give_the_bytes_of_one_folder_and_ask_for_what_kubernetes_knows(
    cloud, cluster, finished, tmp_path
):
    import kubernetes_validate

    profile = ["--workflow-profile", "workflow/profiles/kubernetes"]
    bucket = ["--default-storage-prefix", PREFIX, "--kubernetes-namespace", "landscapes"]
    cloud.run(SURFACE, *bucket, "--jobs", "2", executor=profile)
    same_bytes(cloud, finished, tmp_path)
    assert cloud.project.points() == SIZE
    assert not cluster.secrets  # the keys went with the run
    shards = [body for body in cluster.bodies if "evaluate_shard" in asked(body)["args"][1]]
    assert len(shards) == 2
    for body in cluster.bodies:
        whole = {"apiVersion": "batch/v1", "kind": "Job", **body}
        kubernetes_validate.validate(whole, kubernetes_validate.latest_version(), strict=True)
        assert asked(body)["image"] == "registry.example.org/landscape:0.1.0"
        assert "secret" not in asked(body)["args"][1]
    for body in shards:
        wanted = asked(body)["resources"]
        assert wanted["requests"]["nvidia.com/gpu"] == wanted["limits"]["nvidia.com/gpu"] == "1"
        assert wanted["requests"]["memory"] == wanted["limits"]["memory"]


def asked(body):
    (container,) = body["spec"]["template"]["spec"]["containers"]
    return container


def test_the_container_recipe_has_no_fault_that_hadolint_knows():
    program = Path(sys.executable).with_name("hadolint")
    subprocess.run([program, REPO / "container" / "Containerfile"], check=True)
