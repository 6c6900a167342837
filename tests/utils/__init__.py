"""Tests of what writes, reads and locks."""
