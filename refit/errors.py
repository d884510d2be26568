"""The errors that a user can mend, each with the exit code of its kind.

Codes follow sysexits.h where it has one, so that scripts can tell a mistake from a fault.
"""


class RefitError(Exception):
    """An expected failure: its text is one line that says where, what was given, what is wanted and how to mend it."""

    exit_code = 70


class ParamsError(RefitError):
    """A value in params.yaml cannot be used."""

    exit_code = 64


class UsageError(RefitError):
    """A command was given something that it cannot use."""

    exit_code = 64


class DataError(RefitError):
    """A data or model file is not what it has to be."""

    exit_code = 65


class NetworkError(RefitError):
    """Something could not be fetched."""

    exit_code = 69


class TrainingDivergedError(RefitError):
    """The loss or the gradient is no longer a finite number."""

    exit_code = 70


class DiskError(RefitError):
    """A file could not be written or read."""

    exit_code = 74


class InterruptedRunError(RefitError):
    """The run was asked to stop; what it had done is kept, and the same command goes on from there."""

    exit_code = 75
