"""Whose landscape it is: model, data and metrics, and how they are built by name."""
