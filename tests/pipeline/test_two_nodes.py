"""Two nodes that train one model in one folder, each with its own torchrun; here both are on one machine."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT, environment, ran, run
from test_processes import check_curves, curves, sampled, wait_for_checkpoint, without_dropout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SRUN = """#!/bin/bash
echo "$@" >> "$SRUN_CALLS"
for node in $(seq 0 $((SLURM_NNODES - 1))); do SLURM_NODEID=$node "$@" & running="${running:-} $!"; done
for process in $running; do wait "$process" || exit 1; done
"""
SCONTROL = """#!/bin/bash
[ "$*" = "show hostnames $SLURM_JOB_NODELIST" ] && echo localhost
"""


def command(path: Path, text: str) -> None:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_the_documented_script_trains_as_one_process_does(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a script that fails or waits forever after hours in a queue, and a second node that takes no part."""
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", (ROOT / "docs/cluster.md").read_text(), re.DOTALL)
    folder = sampled(tmp_path / "project", without_dropout(tiny_model, tmp_path / "model"))
    run("python", "-m", "stages.train", cwd=folder)
    alone = curves(folder)
    shutil.rmtree(folder / ".refit/runs")
    command(tmp_path / "bin/srun", SRUN)
    command(tmp_path / "bin/scontrol", SCONTROL)
    command(folder / "job.sh", script)
    command(folder / ".venv/bin/activate", "")
    run("dvc", "remote", "add", "--local", "--default", "shared", tmp_path / "remote", cwd=folder)
    variables = environment(
        SLURM_NNODES="2", SLURM_JOB_NODELIST="node[1-2]", SLURM_JOB_ID=str(os.getpid()),
        SRUN_CALLS=str(tmp_path / "calls"),
    )  # fmt: skip
    variables["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{variables['PATH']}"
    done = run("bash", "job.sh", cwd=folder, env=variables)
    assert "Running stage 'train'" in done.stdout
    assert '"processes": "2"' in next(folder.glob(".refit/runs/*/FINGERPRINT.json")).read_text()
    check_curves(folder, alone)
    assert run("dvc", "status", cwd=folder).stdout.split() == ["hash_sources:", "always", "changed"]
    assert list((tmp_path / "remote").rglob("*.dir"))
    again = run("bash", "job.sh", cwd=folder, env=variables)
    assert ran(again.stdout) == []
    assert len((tmp_path / "calls").read_text().splitlines()) == 2  # the command has two lines, and ran once


def start(folder: Path) -> list[subprocess.Popen[str]]:
    """Start the train stage on both nodes, with torchrun's variables as in docs/cluster.md."""
    meeting = {"PET_NNODES": "2", "PET_MASTER_ADDR": "localhost", "PET_MASTER_PORT": str(20000 + os.getpid() % 10000)}
    return [
        subprocess.Popen(
            ["python", "-m", "stages.train"], cwd=folder, env=environment(**meeting, PET_NODE_RANK=rank),
            start_new_session=True, stderr=subprocess.PIPE, text=True,
        )
        for rank in ("0", "1")
    ]  # fmt: skip


def test_resumes_after_a_node_is_gone(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a node that waits for a dead one forever, and a run that cannot be resumed on both."""
    folder = sampled(tmp_path / "project", tiny_model, epochs=30)
    first, second = start(folder)
    wait_for_checkpoint(folder, first)
    os.killpg(second.pid, signal.SIGKILL)
    said = first.communicate(timeout=120)[1]
    assert first.returncode not in (0, None)
    assert "Traceback" not in said
    assert "run the same command to resume" in said.splitlines()[-1]
    again = start(folder)
    outputs = [process.communicate(timeout=300)[1] for process in again]
    assert [process.returncode for process in again] == [0, 0], outputs
    assert "resuming from step" in outputs[0]
    assert (folder / "models/finetuned/model.safetensors").is_file()
