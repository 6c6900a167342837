"""How a user's mistake is told apart from everything else that can go wrong."""


class InputError(ValueError):
    """Say that the user's input is wrong: what was found, what was wanted, what to do.

    Scripts print the message alone, without a traceback, and exit with 2.
    """


class DisagreementError(RuntimeError):
    """Say that two files or two evaluations, which must agree, do not."""


class PointTooSlowError(RuntimeError):
    """Say that a point took longer than it may; its cause is where it was at that time."""


class NoPointError(RuntimeError):
    """Say that not one point could be evaluated, so that nobody knows what there is to measure."""


class DamagedFileError(RuntimeError):
    """Say that a file cannot be trusted, and what to do.  Scripts exit with 2."""
