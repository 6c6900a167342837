"""What a loss landscape is: directions, grid, perturbed weights, values, surface."""
