"""Faults on purpose: damage, crashes, nonsense; and what must hold whatever they were.

``python -m tests.faults --minutes 10 --seed 0`` runs as many cases as fit and writes a table.
"""
