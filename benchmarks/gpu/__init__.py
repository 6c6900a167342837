"""What one GPU does: ``python -m benchmarks.gpu``."""
