"""The projects of the pipeline's tests, for the cluster's."""

from tests.pipeline.conftest import finished, probed, project

__all__ = ["finished", "probed", "project"]
