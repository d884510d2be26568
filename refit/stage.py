"""How a stage is started: its environment, its errors as one line, its time and memory on record."""

import atexit
import errno
import os
import re
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from refit import locking, paths
from refit.errors import DataError, DiskError, InterruptedRunError, RefitError
from refit.storage import files

QUIET_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",
    "ITERATIVE_DO_NOT_TRACK": "1",
    "DISABLE_SAFETENSORS_CONVERSION": "1",
    "TOKENIZERS_PARALLELISM": "true",
    "TRANSFORMERS_VERBOSITY": "error",
    "PYTHONHASHSEED": "0",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",  # to look for them reads the list of every installed package
}
HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # what has no network needs no key to it
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRONG_KIND = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)  # a file in the place of a folder, or the reverse
SECRET = re.compile(r"hf_[A-Za-z0-9]{10,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@)")
# Threads that wait by spinning slow a step twentyfold on a machine that is busy with something else too.
SHARED_MACHINE = ("OMP_WAIT_POLICY", "PASSIVE")
# What to do where a command that refit starts is not on the PATH.
COMMANDS = {"dvc": "activate the environment: source .venv/bin/activate", "git": "install git"}
OFFLINE_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}


def run(stage: str, main: Callable[[], dict[str, Any] | None], *, network: bool = False, record: bool = True) -> None:
    """Run a stage's main function and leave with its exit code.

    `main` returns the stage's own figures (rows, tokens …) for the timing record, or None. With `record` this process
    is the stage's only writer and notes its time; processes that another one started for a stage do neither. Expected
    failures become one line on stderr; anything else is a fault of ours and keeps its traceback.
    """
    os.environ.update(QUIET_ENVIRONMENT)
    os.environ.setdefault(*SHARED_MACHINE)
    if not network:
        os.environ.update(OFFLINE_ENVIRONMENT)
        for name in HUB_TOKENS:
            os.environ.pop(name, None)
    parent = locking.die_with_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    start = time.perf_counter()
    try:
        with locking.only_writer(stage, parent) if record else nullcontext():
            figures = main() or {}
            if record:
                _record(stage, time.perf_counter() - start, figures)
        _leave()
    except RefitError as error:
        _fail(stage, error)
    except KeyboardInterrupt:
        _fail(stage, InterruptedRunError("stopped as asked; nothing half done is left: run the same command to go on"))
    except FileNotFoundError as error:
        cure = COMMANDS.get(str(error.filename), "run: dvc repro")
        _fail(stage, DataError(f"{error.filename or error} is missing; {cure}"))
    except BrokenPipeError:
        discard_output()
        sys.exit(128 + signal.SIGPIPE)
    except SystemExit:
        try:
            print(end="", flush=True)
        except BrokenPipeError:  # the reader of --help has left; Python would complain at its end
            discard_output()
        raise
    except Exception as error:
        disk_error = _disk_error(error)
        if disk_error is None:
            _report_fault(stage, error)
        _fail(stage, disk_error or error)


def _leave() -> None:
    """End the process here: to take torch and transformers apart, module by module, takes a quarter of a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # what Python does before, in its order
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # as it is where the caller closed it
            stream.flush()
    os._exit(0)


def discard_output() -> None:
    """Print nothing from here on: the reader of the output, such as `head`, has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C does: unwind, so that what is half written is removed on the way; once, to let that end in peace."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _disk_error(error: Exception) -> DiskError | None:
    """The error as a user can fix it, if it is the disk's; safetensors and pyarrow say so in their text alone."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        inside = re.search(r"\((?:os error|errno) (\d+)\)|\[errno (\d+)\]", str(error), re.IGNORECASE)
        number = int(inside[1] or inside[2]) if inside else None
    if number is None:
        return None
    path = (isinstance(error, OSError) and (error.filename2 or error.filename)) or "a file"
    cure = "free some space and" if number in NO_SPACE else "check the disk and its permissions, and"
    if number in WRONG_KIND:
        cure = "move away what is in its place, or in that of a folder above it, and"
    return DiskError(f"{path}: {os.strerror(number)}; {cure} run the same command again")


def _report_fault(stage: str, error: Exception) -> None:
    """The whole traceback of a fault of ours, for whoever mends it."""
    print(without_secrets("".join(traceback.format_exception(error))), file=sys.stderr, flush=True)


def _fail(stage: str, error: Exception) -> NoReturn:
    """Say it all in the last line of stderr: DVC shows that line, and flattens exit codes."""
    try:
        print(end="", flush=True)
    except OSError:  # Python would complain once more at its end, with a code of its own
        discard_output()
    known = isinstance(error, RefitError)
    text = str(error) if known else f"{type(error).__name__}: {error}; this is a fault of refit, see the lines above"
    text = without_secrets(" ".join(text.split()))
    is_left = False
    if known and (error_file := os.environ.get("TORCHELASTIC_ERROR_FILE")):
        with suppress(OSError):  # for processes.launch to say last, once for all processes
            files.write_json(Path(error_file), {"message": text, "timestamp": int(time.time())})
            is_left = True
    if not is_left or (isinstance(error, InterruptedRunError) and os.environ["RANK"] == "0"):
        print(f"refit {stage}: {text}", file=sys.stderr, flush=True)
    sys.exit(error.exit_code if isinstance(error, RefitError) else RefitError.exit_code)


def without_secrets(text: str) -> str:
    """A text with every access token in it blanked: those of the environment, and what looks like one."""
    for name, value in os.environ.items():
        if len(value) >= 8 and name.endswith(("TOKEN", "API_KEY", "PASSWORD", "SECRET")):
            text = text.replace(value, "***")
    return SECRET.sub("***", text)


def _record(stage: str, seconds: float, figures: dict[str, Any]) -> None:
    """Note the stage's time where `report` collects it; never in an out, which must not hold a clock's reading."""
    record = {"seconds": round(seconds, 2), "peak_memory_mb": round(peak_memory() / 2**20), **figures}
    files.write_json(paths.LOCAL_SPEED / f"{stage}.json", record)


def peak_memory() -> int:
    """The most bytes of memory that this process has held at once.

    Linux counts in ru_maxrss what its parent held when it was started, so its own high-water mark is read there.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        own = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if own:
            return int(own[1]) * 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10
