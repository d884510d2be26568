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
OFFLINE_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}
HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # offline stages do not need a hub token
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SECRET = re.compile(r"hf_[A-Za-z0-9]{10,}|(?<=Bearer )\S+|(?<=://)[^/\s@]+:[^/\s@]+(?=@)")
# How to fix that a command which refit starts is not on the PATH.
COMMANDS = {"dvc": "activate the environment: source .venv/bin/activate", "git": "install git"}


def run(stage: str, main: Callable[[], dict[str, Any] | None], *, network: bool = False, record: bool = True) -> None:
    """Run the main function of a stage or command, and exit with its exit code.

    With `record` this process is the stage's only writer, and records its time with the figures that `main` returns.
    Expected failures become one line on stderr; anything else is a bug in refit and keeps its traceback.
    """
    os.environ.update(QUIET_ENVIRONMENT)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads are 20 times slower on a shared machine
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
                seconds, memory = round(time.perf_counter() - start, 2), round(peak_memory() / 2**20)
                used = {"seconds": seconds, "peak_memory_mb": memory}
                files.write_json(paths.LOCAL_SPEED / f"{stage}.json", used | figures)
    except SystemExit:  # of argparse, for --help
        _flush()
        raise
    except BrokenPipeError:  # the reader of the output, such as `head`, has exited
        _flush()
        sys.exit(128 + signal.SIGPIPE)
    except (Exception, KeyboardInterrupt) as error:
        _flush()
        _fail(stage, error)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt so that cleanup runs; ignore further signals while it does."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _flush() -> None:
    """Write out what has been printed; if that fails, drop it, or Python would complain once more when it exits."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(stage: str, error: BaseException) -> NoReturn:
    """Print the error as the last line of stderr, because DVC shows that line and hides exit codes, and exit."""
    known = _expected(error)
    if known is None:
        print(without_secrets("".join(traceback.format_exception(error))), file=sys.stderr, flush=True)
    text = str(known or f"{type(error).__name__}: {error}; this is a bug in refit, see the lines above")
    text = without_secrets(" ".join(text.split()))
    is_left = False
    if known and (error_file := os.environ.get("TORCHELASTIC_ERROR_FILE")):
        with suppress(OSError):  # distributed.launch prints it last, once for all processes
            files.write_json(Path(error_file), {"message": text, "timestamp": int(time.time())})
            is_left = True
    if not is_left or (isinstance(known, InterruptedRunError) and os.environ["RANK"] == "0"):
        print(f"refit {stage}: {text}", file=sys.stderr, flush=True)
    sys.exit((known or RefitError()).exit_code)


def _expected(error: BaseException) -> RefitError | None:
    """The error as one that a user can fix, or None for a bug in refit."""
    if isinstance(error, RefitError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return InterruptedRunError("stopped as asked; nothing incomplete is left; run the same command to resume")
    if isinstance(error, FileNotFoundError):
        fix = COMMANDS.get(str(error.filename), "run: dvc repro")
        return DataError(f"{error.filename or error} is missing; {fix}")
    number = error.errno if isinstance(error, OSError) else None
    # safetensors and pyarrow give the error number in their text only.
    if number is None and (inside := re.search(r"[(\[](?:os error|errno) (\d+)[)\]]", str(error), re.IGNORECASE)):
        number = int(inside[1])
    if number is None:
        return None
    path = (isinstance(error, OSError) and (error.filename2 or error.filename)) or "a file"
    fix = "free some space and" if number in NO_SPACE else "check this path, the disk and its permissions, and"
    return DiskError(f"{path}: {os.strerror(number)}; {fix} run the same command again")


def without_secrets(text: str) -> str:
    """The text with every access token blanked: those of the environment, and what looks like one."""
    for name, value in os.environ.items():
        if len(value) >= 8 and name.endswith(("TOKEN", "API_KEY", "PASSWORD", "SECRET")):
            text = text.replace(value, "***")
    return SECRET.sub("***", text)


def peak_memory() -> int:
    """The most bytes of memory that this process has held."""
    status = Path("/proc/self/status")  # ru_maxrss includes the memory of the parent that started this process
    if status.is_file() and (own := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(own[1]) * 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Import torch and transformers inside of this: without garbage collection it takes 2.5 s instead of 4.2 s."""
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
