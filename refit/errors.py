"""The errors that a user can fix, each with the exit code of its kind, from sysexits.h where it has one."""


class RefitError(Exception):
    """An expected failure: one line that says where, what was given, what is wanted and how to fix it."""

    exit_code = 70


class ParamsError(RefitError):
    """A value in params.yaml cannot be used."""

    exit_code = 64


class UsageError(RefitError):
    """A command was given an option or argument that it cannot use."""

    exit_code = 64


class DataError(RefitError):
    """A data or model file is missing, damaged or has wrong content."""

    exit_code = 65


class NetworkError(RefitError):
    """A download failed."""

    exit_code = 69


class TrainingDivergedError(RefitError):
    """The loss or the gradient is NaN or infinite."""


class DiskError(RefitError):
    """A file could not be written or read."""

    exit_code = 74


class InterruptedRunError(RefitError):
    """The run was stopped; its progress is kept, and the same command resumes it."""

    exit_code = 75
