"""How fast it is, in ratios of what ran in turns; see ``python -m benchmarks --help``."""
