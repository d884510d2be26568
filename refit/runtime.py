"""How a stage is started: its environment, its errors as one line, its time and memory on record."""

import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from refit import files, paths
from refit.errors import DiskError, RefitError

QUIET_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONHASHSEED": "0",
}
# Threads that wait by spinning slow a step twentyfold on a machine that is busy with something else too.
SHARED_MACHINE = ("OMP_WAIT_POLICY", "PASSIVE")
OFFLINE_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}


def run(stage: str, main: Callable[[], dict[str, Any] | None], *, network: bool = False, record: bool = True) -> None:
    """Run a stage's main function and leave with its exit code.

    `main` returns the stage's own figures (rows, tokens …) for the timing record, or None. Its expected
    failures become one line on stderr; anything else is a fault of ours and keeps its traceback.
    """
    os.environ.update(QUIET_ENVIRONMENT)
    os.environ.setdefault(*SHARED_MACHINE)
    if not network:
        os.environ.update(OFFLINE_ENVIRONMENT)
    start = time.perf_counter()
    try:
        figures = main() or {}
    except RefitError as error:
        _fail(stage, error)
    except OSError as error:
        _fail(stage, DiskError(f"{error.filename or 'a file'}: {error.strerror or error}"))
    else:
        if record:
            _record(stage, time.perf_counter() - start, figures)


def _fail(stage: str, error: RefitError) -> None:
    line = " ".join(str(error).split())
    print(f"refit {stage}: {line}", file=sys.stderr, flush=True)
    sys.exit(error.exit_code)


def _record(stage: str, seconds: float, figures: dict[str, Any]) -> None:
    """Note the stage's time where `report` collects it; never in an out, which must not hold a clock's reading."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak / (2**20 if sys.platform == "darwin" else 2**10)
    record = {"seconds": round(seconds, 2), "peak_memory_mb": round(megabytes), **figures}
    files.write_json(paths.LOCAL_SPEED / f"{stage}.json", record)
