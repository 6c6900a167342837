"""The projects of the pipeline's tests, for the cluster's."""

from tests.pipeline.conftest import finished, project
from tests.pipeline.test_interrupt import probed

__all__ = ["finished", "probed", "project"]
