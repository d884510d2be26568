"""The entry point of every stage and command: environment, progress bars, one-line errors, timings."""

import errno
import gc
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from refit import locking, paths
from refit.errors import DataError, DiskError, InterruptedRunError, RefitError
from refit.storage import files

if TYPE_CHECKING:
    from tqdm import tqdm

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
HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # offline stages do not need a hub token
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRONG_KIND = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR)  # a file in the place of a folder, or the reverse
SECRET = re.compile(r"hf_[A-Za-z0-9]{10,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@)")
# Threads that spin while waiting make a step 20 times slower on a machine that runs anything else.
SHARED_MACHINE = ("OMP_WAIT_POLICY", "PASSIVE")
# What to do where a command that refit starts is not on the PATH.
COMMANDS = {"dvc": "activate the environment: source .venv/bin/activate", "git": "install git"}
OFFLINE_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}


def run(stage: str, main: Callable[[], dict[str, Any] | None], *, network: bool = False, record: bool = True) -> None:
    """Run a stage's main function and leave with its exit code.

    `main` returns the stage's own figures (rows, tokens …) for the timing record, or None. With `record` this process
    is the stage's only writer and notes its time; processes that another one started for a stage do neither. Expected
    failures become one line on stderr; anything else is a bug in refit and keeps its traceback.
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
    except RefitError as error:
        _fail(stage, error)
    except KeyboardInterrupt:
        _fail(
            stage, InterruptedRunError("stopped as asked; nothing incomplete is left; run the same command to resume")
        )
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


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import torch and transformers inside of this.

    The garbage collector walks the half a million objects that they create neither meanwhile nor at exit, which takes
    4.2 s of CPU time down to 2.5 s.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def bar(items: Iterable[Any] | None = None, *, total: int | None = None, desc: str, unit: str = "rows") -> "tqdm[Any]":
    """A tqdm progress bar that appears after a second, on a terminal only."""
    from tqdm import tqdm

    return tqdm(items, total=total, desc=desc, unit=f" {unit}", unit_scale=True, disable=None, delay=1, leave=False)


def discard_output() -> None:
    """Discard further output: its reader, such as `head`, has exited."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt so that cleanup runs; ignore further signals while it does."""
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
    """Print the complete traceback of a bug in refit."""
    print(without_secrets("".join(traceback.format_exception(error))), file=sys.stderr, flush=True)


def _fail(stage: str, error: Exception) -> NoReturn:
    """Print one last line on stderr, because DVC shows that line and hides exit codes, and exit."""
    try:
        print(end="", flush=True)
    except OSError:  # Python would complain once more at its end, with a code of its own
        discard_output()
    known = isinstance(error, RefitError)
    text = str(error) if known else f"{type(error).__name__}: {error}; this is a bug in refit, see the lines above"
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
    """The text with every access token blanked: those of the environment, and what looks like one."""
    for name, value in os.environ.items():
        if len(value) >= 8 and name.endswith(("TOKEN", "API_KEY", "PASSWORD", "SECRET")):
            text = text.replace(value, "***")
    return SECRET.sub("***", text)


def _record(stage: str, seconds: float, figures: dict[str, Any]) -> None:
    """Record the stage's time and memory for refit.summary; never in an out, which must be the same on every run."""
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
