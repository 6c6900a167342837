"""The projects of the pipeline's tests, for machines that share nothing."""

from tests.pipeline.conftest import finished, project

__all__ = ["finished", "project"]
