"""What a loss landscape is: directions, grid, perturbed weights, values, surface."""

# Raise it when a change of the evaluating code changes values: what was computed before is stale.
EVALUATION_VERSION = 1
