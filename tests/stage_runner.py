"""Runs stages in forks of a process that has imported them already, and kills them or fills the disk at a given event.

    python tests/stage_runner.py STAGE ...      in a project's folder; requests on stdin, results on stdout

An event is a file opened for writing, a rename, a removal, or a folder created or removed in the project. Python
reports each to an audit hook before it happens. What Rust and C++ write (safetensors, Arrow, parquet) is not reported,
but is on disk at the next event.
"""

import errno
import importlib
import json
import os
import resource
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
NEED_SPACE = {"open", "os.mkdir", "os.rename"}  # what a full disk refuses; it still lets files be removed
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PRELOADED = {
    "download": ("refit.download.dataset", "refit.download.local_files", "pyarrow.parquet"),
    "download_model": ("refit.download.pretrained", "transformers.models.auto.tokenization_auto"),
    "tokenize": ("refit.tokenization.tokenization", "pyarrow.parquet"),
    "sample": ("refit.data.sampling",),
    "baseline": ("refit.baseline.baseline",),
    "train": ("refit.training.fine_tuning", "transformers.models.bert.modeling_bert"),
    "evaluate": ("refit.evaluation.evaluate", "transformers.models.bert.modeling_bert"),
    "report": ("refit.report.build",),
}


class Runner:
    """The client: starts this file in a project and asks it to run stages."""

    def __init__(self, project: Path, *stages: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), *stages]
        self.process = subprocess.Popen(
            command, cwd=project, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.requests: Any = self.process.stdin
        self.results: Any = self.process.stdout

    def run(self, stage: str, **options: int) -> dict[str, Any]:
        """Run a stage. Returns its "status" (negative: the signal that killed it) and "stderr".

        Options: `kill_at`, `full_at` (the number of an event), `largest` (the bytes to which a file may grow) or
        `record` (also return "kill_points" and "full_points").
        """
        print(json.dumps({"stage": stage, **options}), file=self.requests, flush=True)
        return json.loads(self.results.readline())  # type: ignore[no-any-return]

    @classmethod
    def run_all(cls, project: Path, *stages: str, env: dict[str, str]) -> None:
        """Run stages of a project one after the other; each must succeed."""
        runner = cls(project, *stages, env=env)
        for stage in stages:
            done = runner.run(stage)
            assert done["status"] == 0, done["stderr"]
        runner.close()

    def close(self) -> None:
        """End the server."""
        self.requests.close()
        self.process.wait(timeout=60)


def serve(stages: list[str]) -> None:
    """Run what is requested until stdin ends."""
    sys.path.insert(0, str(Path.cwd()))
    os.environ["HF_HUB_OFFLINE"] = "1"
    for stage in stages:
        for module in PRELOADED[stage]:
            importlib.import_module(module)
    for line in sys.stdin:
        print(json.dumps(run_in_fork(**json.loads(line))), flush=True)


def run_in_fork(stage: str, **options: int) -> dict[str, Any]:
    """Run a stage in a child process; returns what `Runner.run` describes."""
    with tempfile.TemporaryFile("w+") as points, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(errors.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            status = 9
            try:
                events = Events(**options)
                sys.addaudithook(events)
                status = run_stage(stage)
                json.dump({"kill_points": events.kill_points, "full_points": events.full_points}, points)
                points.flush()
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, wait_status = os.waitpid(child, 0)
        points.seek(0)
        errors.seek(0)
        stderr = errors.read().decode(errors="replace")
        return {
            "status": os.waitstatus_to_exitcode(wait_status),
            "stderr": stderr,
            **json.loads(points.read() or "{}"),
        }


class Events:
    """An audit hook that counts the events in the project, and acts at one of them.

    `kill_points`: the events to which the disk has changed since the event before; a kill at any other event
    leaves the same files as a kill at the one before it.
    `full_points`: the events that need space; a disk that is full from another event on refuses the same ones.
    """

    def __init__(
        self, kill_at: int | None = None, full_at: int | None = None, largest: int | None = None, record: bool = False
    ) -> None:
        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
        self.root = os.fspath(Path.cwd())
        self.kill_at, self.full_at, self.record = kill_at, full_at, record
        self.count = 0
        self.disk: set[tuple[object, ...]] = set()
        self.kill_points: list[int] = []
        self.full_points: list[int] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python before each audited event of the process."""
        if event not in EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        path = os.path.join(self.root, os.fsdecode(arguments[0]))
        if not path.startswith(self.root) or "__pycache__" in path:
            return
        self.count += 1
        needs_space = event in NEED_SPACE and not (event == "os.mkdir" and os.path.isdir(path))
        if self.record:
            before, self.disk = self.disk, set(disk_content(self.root))
            if self.disk != before:
                self.kill_points.append(self.count)
            if needs_space:
                self.full_points.append(self.count)
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.full_at is not None and self.count >= self.full_at and needs_space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(arguments[0]))


def disk_content(folder: str) -> Iterator[tuple[object, ...]]:
    """What identifies each file and folder below a folder, and the state of each file."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield (entry.path,)
            yield from disk_content(entry.path)
        else:
            state = entry.stat(follow_symlinks=False)
            yield entry.path, state.st_ino, state.st_size, state.st_mtime_ns


def run_stage(stage: str) -> int:
    """Run a stage as `python -m stages.NAME` does; returns its exit code."""
    module = "download" if stage == "download_model" else stage
    sys.argv = [f"stages/{module}.py", "model" if stage == "download_model" else "data"]
    try:
        runpy.run_module(f"stages.{module}", run_name="__main__", alter_sys=False)
    except SystemExit as error:
        return int(error.code or 0)
    return 0


if __name__ == "__main__":
    serve(sys.argv[1:])
