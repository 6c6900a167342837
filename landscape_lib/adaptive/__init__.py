"""Where a surface must be evaluated, and what stands where it was not."""
