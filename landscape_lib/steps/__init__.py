"""One function a step of the way through, the same for the library, the scripts, the pipeline."""
