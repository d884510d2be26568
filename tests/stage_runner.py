"""Runs a stage in forks of one process that has its imports done, and can kill it at its n-th file-system event.

    python tests/stage_runner.py STAGE ...      in the folder of a project; requests on stdin, answers on stdout

A request is a JSON object {"stage", "kill_at", "full_at", "largest"}: kill at an event, have the disk full from an
event on, or let no file grow past some bytes. The answer is {"status", "events", "stderr"}. An event is a file
opened for writing, a rename, a removal, a folder made or removed below the project; Python tells them to an audit
hook before they happen, so that a kill at every n leaves every state on disk that a kill can leave between two.
"""

import contextlib
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
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
GROWING = {"open", "os.mkdir", "os.rename"}  # what a full disk refuses; it lets go
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PRELOADED = {
    "download": ("refit.download.dataset", "refit.download.local_files", "pyarrow.parquet"),
    "download_model": ("refit.download.pretrained", "transformers.models.auto.tokenization_auto"),
    "tokenize": ("refit.tokenization.tokenization", "pyarrow.parquet"),
    "sample": ("refit.data.sampling",),
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

    def run(self, stage: str, **fault: int) -> dict[str, Any]:
        """Run a stage to its end, or into a fault: kill_at, full_at or largest."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"stage": stage, **fault}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]

    @classmethod
    def run_all(cls, project: Path, *stages: str, env: dict[str, str]) -> None:
        """Run stages of a project one after the other, each of which must end well."""
        runner = cls(project, *stages, env=env)
        for stage in stages:
            done = runner.run(stage)
            assert done["status"] == 0, done["stderr"]
        runner.close()

    def close(self) -> None:
        """End the server."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)


def serve(stages: list[str]) -> None:
    """Answer requests until stdin ends."""
    sys.path.insert(0, str(Path.cwd()))
    os.environ["HF_HUB_OFFLINE"] = "1"
    for stage in stages:
        for module in PRELOADED[stage]:
            importlib.import_module(module)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(run_in_fork(**request)), flush=True)


def run_in_fork(stage: str, **fault: int) -> dict[str, Any]:
    """The exit status (negative: the signal), events counted and stderr of one run."""
    with tempfile.TemporaryFile() as shared, tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(errors.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            status = 9
            try:
                status = run_stage(stage, shared.fileno(), **fault)
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, wait_status = os.waitpid(child, 0)
        shared.seek(0)
        errors.seek(0)
        return {
            "status": os.waitstatus_to_exitcode(wait_status),
            "events": int(shared.read() or b"0"),
            "stderr": errors.read().decode(errors="replace"),
        }


def run_stage(
    stage: str, counter: int, kill_at: int | None = None, full_at: int | None = None, largest: int | None = None
) -> int:
    """Run a stage as `python -m stages.NAME` does, counting its events into a file."""
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    root = os.fspath(Path.cwd())
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in EVENTS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITING):
            return
        path = os.path.join(root, os.fsdecode(arguments[0]))
        if not path.startswith(root) or "__pycache__" in path:
            return
        count += 1
        os.pwrite(counter, str(count).encode(), 0)
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if full_at is not None and count >= full_at and event in GROWING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fsdecode(arguments[0]))

    sys.addaudithook(hook)
    module = "download" if stage == "download_model" else stage
    sys.argv = [f"stages/{module}.py", "model" if stage == "download_model" else "data"]
    with contextlib.suppress(BrokenPipeError):
        try:
            runpy.run_module(f"stages.{module}", run_name="__main__", alter_sys=False)
        except SystemExit as error:
            return int(error.code or 0)
    return 0


if __name__ == "__main__":
    serve(sys.argv[1:])
