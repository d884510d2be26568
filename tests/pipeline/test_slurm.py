"""The sbatch script of docs/cluster.md, run unchanged: `srun` starts its command once per node, on this machine."""

import os
import re
from pathlib import Path

import pytest
from conftest import ROOT, environment, ran, run, tiny_project

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


def test_the_documented_script_runs(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents a documented script that fails, or waits forever, after hours in a queue."""
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", (ROOT / "docs/cluster.md").read_text(), re.DOTALL)
    folder = tiny_project(tmp_path / "project", tiny_model)
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
    assert run("dvc", "status", cwd=folder).stdout.split() == ["hash_sources:", "always", "changed"]
    assert list((tmp_path / "remote").rglob("*.dir"))
    described = next(folder.glob(".refit/runs/*/FINGERPRINT.json")).read_text()
    assert '"processes": "2"' in described
    again = run("bash", "job.sh", cwd=folder, env=variables)
    assert ran(again.stdout) == []
    assert len((tmp_path / "calls").read_text().splitlines()) == 2  # the command has two lines, and ran once
