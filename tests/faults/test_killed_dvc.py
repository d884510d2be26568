"""The real `dvc repro` and `dvc exp run`, killed: dvc alone, the stage alone or both, at any time."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import conftest
import psutil
import pytest
from conftest import change_params, environment, run, tiny_project, wait_for_queue, wait_until

from refit.repo import parse_yaml

# 200 checkpoints, each some ten milliseconds after the last: a kill soon after one is in mid-training on any machine.
LONG = {"epochs": 20, "save_every": 1, "batch_size": 4}
STEPS = 200


def start(project: Path, *command: str) -> subprocess.Popen[bytes]:
    """Start a command in a project; `output` reads what it prints.

    DVC runs stages in $SHELL, or else in /bin/sh, which on Debian stays as a process between the two.
    """
    return conftest.start(*command, cwd=project, env=environment(SHELL="/bin/sh"))


def output(project: Path) -> str:
    """What all commands started by `start` have printed."""
    return (project.parent / "output.txt").read_text()


def lock(project: Path) -> object:
    """The content of dvc.lock, which has the hash of every output; stages may be in any order."""
    return parse_yaml((project / "dvc.lock").read_bytes())


def newest_step(project: Path) -> int:
    """The step of the newest complete checkpoint, 0 if there is none."""
    manifests = (project / ".refit/runs").glob("*/checkpoint-*/manifest.json")
    return max((int(path.parent.name.partition("-")[2]) for path in manifests), default=0)


def resumed_at(text: str) -> list[int]:
    """The steps from which training was resumed."""
    return [int(step) for step in re.findall(rf"resuming from step (\d+) of {STEPS}", text)]


def stages_of(project: Path) -> list[psutil.Process]:
    """The processes of stages that run in a project or in DVC's copies of it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        is_stage = any(part.startswith("stages.") for part in process.info["cmdline"] or ())
        if is_stage and (process.info["cwd"] or "").startswith(str(project)):
            found.append(process)
    return found


def kill(project: Path, dvc: subprocess.Popen[bytes], how: str) -> list[psutil.Process]:
    """SIGKILL "dvc" alone, its "stage" alone, or "both"; returns the stages that ran."""
    stages = stages_of(project)
    if how == "dvc":
        dvc.kill()
    elif how == "stage" and stages:
        for stage in stages:
            with contextlib.suppress(psutil.NoSuchProcess):
                stage.kill()
    else:
        os.killpg(dvc.pid, signal.SIGKILL)
    dvc.wait(timeout=60)
    return stages


def test_training_resumes_whatever_was_killed(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents lost training: DVC deletes outputs before it runs a stage, and a killed DVC leaves its stage running."""
    project = tiny_project(tmp_path / "project", tiny_model, **LONG)
    reached = 0
    kinds = ("dvc", "both", "stage") if sys.platform == "linux" else ("both", "stage")
    for how in kinds:
        process = start(project, "dvc", "repro")
        wait_until(lambda: newest_step(project) >= reached + 5, "a newer checkpoint")  # noqa: B023
        stages = kill(project, process, how)
        assert stages, "a stage has to run for the kill to mean anything"
        if how == "dvc":  # a stage that outlives DVC would write into the outputs of the next run
            _, alive = psutil.wait_procs(stages, timeout=60)
            assert not alive
            assert "progress saved; run the same command to resume" in output(project)
        reached = newest_step(project)
        assert reached < STEPS, "it has to be killed before its last step"
        assert not (project / "models/finetuned").exists()
    assert start(project, "dvc", "repro").wait(timeout=300) == 0, output(project)
    resumed = resumed_at(output(project))
    assert len(resumed) == len(kinds), output(project)
    assert resumed == sorted(resumed)
    assert reached - resumed[-1] <= 1, "more than one save interval was lost"
    after_kills = lock(project)
    shutil.rmtree(project / ".refit")
    run("dvc", "repro", "--force", cwd=project)
    assert lock(project) == after_kills


@pytest.fixture
def long_training(tmp_path: Path, prepared: Path) -> Path:
    """A project in which the next stage is a long training."""
    project = tmp_path / "project"
    shutil.copytree(prepared, project, ignore=shutil.ignore_patterns(".git"))
    change_params(project / "params.yaml", **LONG)
    return project


def test_a_second_writer_waits(long_training: Path) -> None:
    """Prevents two processes that replace each other's outputs: dvc.lock would record a mixture."""
    first = start(long_training, "python", "-m", "stages.train")
    wait_until(lambda: newest_step(long_training) >= 1, "a checkpoint")
    second = start(long_training, "python", "-m", "stages.train")
    assert first.wait(timeout=300) == 0, output(long_training)
    assert second.wait(timeout=300) == 0, output(long_training)
    assert "another process is writing the same outs; waiting for it" in output(long_training)
    assert output(long_training).count("an identical run exists") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_requested_stop_exits_75_and_says_how_to_resume(long_training: Path, number: signal.Signals) -> None:
    """Prevents exit code 0, with which DVC would use the half-trained model."""
    process = start(long_training, "python", "-m", "stages.train")
    wait_until(lambda: newest_step(long_training) >= 3, "a checkpoint")
    process.send_signal(number)
    assert process.wait(timeout=120) == 75, output(long_training)
    step = newest_step(long_training)
    expected = f"refit train: stopped at step {step} of {STEPS}, progress saved; run the same command to resume"
    assert output(long_training).splitlines()[-1] == expected


@pytest.fixture
def committed(tmp_path: Path, tiny_model: Path) -> Path:
    """A project whose dvc.lock is committed and whose stages before train have run, as experiments need it."""
    project = tiny_project(tmp_path / "project", tiny_model, **LONG)
    run("dvc", "repro", "sample", cwd=project)
    run("git", "commit", "--quiet", "--all", "--message", "the stages before train", cwd=project)
    return project


@pytest.mark.crash
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("how", [(), ("--temp",)], ids=["in the workspace", "in a copy"])
def test_exp_run_resumes(how: tuple[str, ...], committed: Path) -> None:
    """Prevents lost training: `dvc exp run` stashes changed params, `--temp` deletes its copy when a stage fails."""
    command = ("dvc", "exp", "run", *how, "-S", "lr=0.004")
    for killed in ("stage",) if how else ("stage", "both"):
        reached = newest_step(committed)
        process = start(committed, *command)
        wait_until(lambda: newest_step(committed) >= reached + 5, "a newer checkpoint")  # noqa: B023
        assert kill(committed, process, killed)
    assert start(committed, *command).wait(timeout=300) == 0, output(committed)
    assert len(resumed_at(output(committed))) == (1 if how else 2), output(committed)
    assert ("lr: 0.004" in (committed / "params.yaml").read_text()) == (not how)


@pytest.mark.crash
@pytest.mark.timeout(1200)
def test_exp_run_queue_resumes(committed: Path) -> None:
    """Prevents lost training when an experiment failed in DVC's queue, is removed and queued again."""
    run("dvc", "exp", "run", "--queue", "-S", "lr=0.004", cwd=committed)
    worker = start(committed, "dvc", "queue", "start")
    wait_until(lambda: newest_step(committed) >= 5, "a checkpoint")
    assert kill(committed, worker, "stage")
    wait_until(lambda: "Failed" in run("dvc", "queue", "status", cwd=committed).stdout, "the task to fail")
    run("dvc", "queue", "remove", "--all", cwd=committed)
    run("dvc", "exp", "run", "--queue", "-S", "lr=0.004", cwd=committed)
    run("dvc", "queue", "start", cwd=committed)
    wait_for_queue(committed)
    name = run("dvc", "queue", "status", cwd=committed).stdout.splitlines()[1].split()[0]
    assert resumed_at(run("dvc", "queue", "logs", name, cwd=committed).stdout)[-1] >= 5


@pytest.mark.crash
@pytest.mark.timeout(7200)
def test_random_kills_under_dvc_repro(tmp_path: Path, tiny_model: Path) -> None:
    """Prevents what nobody has thought of: 24 kills at random times, of dvc, its stage or both, in any stage."""
    project = tiny_project(tmp_path / "project", tiny_model, **LONG | {"save_every": 7})
    began = time.monotonic()
    run("dvc", "repro", cwd=project)
    longest, expected = time.monotonic() - began, lock(project)
    generator = random.Random(4)
    kills, hit = 0, set()
    while kills < 24:
        if lock(project) == expected:
            remove_results(project)
        process = start(project, "dvc", "repro")
        how = generator.choice(("dvc", "stage", "both"))
        try:
            process.wait(timeout=generator.uniform(1.0, longest))
        except subprocess.TimeoutExpired:
            hit |= {stage.info["cmdline"][2] for stage in kill(project, process, how)}
            kills += 1
        else:
            assert repair_lock(project, process.returncode) or lock(project) == expected
    while repair_lock(project, start(project, "dvc", "repro").wait(timeout=600)):
        pass
    assert lock(project) == expected
    assert not list(project.rglob(".*.tmp"))
    print(f"{kills} kills of dvc, its stage or both, in {sorted(hit)}; the same dvc.lock as without kills")


def repair_lock(project: Path, exit_code: int) -> bool:
    """Whether `dvc repro` failed because DVC was killed while it wrote dvc.lock; the documented command repairs it."""
    if exit_code:
        assert "dvc.lock' validation failed" in output(project)[-200:], output(project)
        run("python", "-m", "refit.doctor", "--fix", cwd=project)
    return exit_code != 0


def remove_results(project: Path) -> None:
    """Remove all that was trained or cached, so that every stage has to run."""
    for path in (".refit", ".dvc/cache", "data/raw", "data/tokenized", "data/sampled", "models/base",
                 "models/finetuned"):  # fmt: skip
        shutil.rmtree(project / path, ignore_errors=True)
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
