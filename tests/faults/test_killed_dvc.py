"""The real `dvc repro` and `dvc exp run`, killed: dvc alone, the stage alone, everything at once, at any time."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import conftest
import psutil
import pytest
from conftest import change_params, environment, run, tiny_project, wait_until

# Two hundred commits of checkpoints, some ten milliseconds each: a kill soon after one is in the middle of training,
# on a fast machine too.
LONG = {"epochs": 20, "save_every": 1, "batch_size": 4}
STEPS = 200


def start(project: Path, *command: str) -> subprocess.Popen[bytes]:
    """Start a command in a project, its output to be read by `output`.

    DVC runs stages in $SHELL, and in /bin/sh where there is none, which on Debian stays between the two.
    """
    return conftest.start(*command, cwd=project, env=environment(SHELL="/bin/sh"))


def output(project: Path) -> str:
    return (project.parent / "output.txt").read_text()


def newest_step(project: Path) -> int:
    """The step of the newest committed checkpoint, 0 if there is none."""
    commits = (project / ".refit/runs").glob("*/checkpoint-*/MANIFEST.json")
    return max((int(path.parent.name.partition("-")[2]) for path in commits), default=0)


def stage_processes(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The stages that run below a dvc command."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(part.startswith("stages.") for part in child.cmdline()):
                    found.append(child)
    return found


def kill(process: subprocess.Popen[bytes], how: str) -> list[psutil.Process]:
    """SIGKILL dvc alone, its stage alone, or the whole group; returns the stages that ran."""
    stages = stage_processes(process)
    if how == "dvc":
        process.kill()
    elif how == "stage" and stages:
        for stage in stages:
            with contextlib.suppress(psutil.NoSuchProcess):
                stage.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    return stages


def lock_of_an_uninterrupted_run(project: Path) -> str:
    """dvc.lock after every stage has run again from nothing; it holds the hash of every out."""
    shutil.rmtree(project / ".refit")
    run("dvc", "repro", "--force", cwd=project)
    return (project / "dvc.lock").read_text()


def test_training_goes_on_whatever_was_killed(tmp_path: Path, tiny_model: Path) -> None:
    # DVC deletes outs before a stage runs, and leaves an orphan that writes beside its successor.
    project = tiny_project(tmp_path / "project", tiny_model, **LONG)
    reached = 0
    for how in ("dvc", "group", "stage"):
        process = start(project, "dvc", "repro")
        wait_until(lambda: newest_step(project) >= reached + 5, "a newer checkpoint")  # noqa: B023
        stages = kill(process, how)
        assert stages, "a stage has to run for the kill to mean anything"
        if how == "dvc":  # a trainer that outlives it would write into the outs of the run that follows
            _, alive = psutil.wait_procs(stages, timeout=60)
            assert not alive
            assert "progress saved; run the same command to resume" in output(project)
        reached = newest_step(project)
        assert reached < STEPS, "it has to end before its last step"
        assert not (project / "models/finetuned").exists()
    run_again = start(project, "dvc", "repro")
    assert run_again.wait(timeout=300) == 0, output(project)
    resumed = [int(step) for step in re.findall(r"resuming from step (\d+) of", output(project))]
    assert len(resumed) == 3, output(project)
    assert resumed == sorted(resumed)
    assert reached - resumed[-1] <= 1, "more than one save interval was lost"
    after_kills = (project / "dvc.lock").read_text()
    assert after_kills == lock_of_an_uninterrupted_run(project)


def test_a_second_writer_waits(tmp_path: Path, prepared: Path) -> None:
    # Without the lock two processes replace each other's outs, and dvc.lock records a mixture.
    project = tmp_path / "project"
    shutil.copytree(prepared, project, ignore=shutil.ignore_patterns(".git"))
    change_params(project / "params.yaml", **LONG)
    first = start(project, "python", "-m", "stages.train")
    wait_until(lambda: newest_step(project) >= 1, "a checkpoint")
    second = start(project, "python", "-m", "stages.train")
    assert first.wait(timeout=300) == 0, output(project)
    assert second.wait(timeout=300) == 0, output(project)
    said = output(project)
    assert "another process is writing the same outs; waiting for it" in said
    assert said.count("an identical run exists") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_asked_stop_exits_75_and_says_how_to_go_on(tmp_path: Path, prepared: Path, number: signal.Signals) -> None:
    # The last line is all that DVC's users see; exit code 0 would pass a half-trained model on.
    project = tmp_path / "project"
    shutil.copytree(prepared, project, ignore=shutil.ignore_patterns(".git"))
    change_params(project / "params.yaml", **LONG)
    process = start(project, "python", "-m", "stages.train")
    wait_until(lambda: newest_step(project) >= 3, "a checkpoint")
    process.send_signal(number)
    assert process.wait(timeout=120) == 75, output(project)
    step = newest_step(project)
    wanted = f"refit train: stopped at step {step} of {STEPS}, progress saved; run the same command to resume"
    assert output(project).splitlines()[-1] == wanted


@pytest.mark.crash
@pytest.mark.timeout(1200)
def test_exp_run_temp_goes_on(tmp_path: Path, tiny_model: Path) -> None:
    # DVC throws the folder of a failed --temp experiment away, with every checkpoint that lies in it.
    goes_on_in_a_copy(tiny_project(tmp_path / "project", tiny_model, **LONG), queued=False)


@pytest.mark.crash
@pytest.mark.timeout(1200)
def test_exp_run_goes_on(tmp_path: Path, tiny_model: Path) -> None:
    # DVC stashes what it was given before it runs the stages, in the folder in which people work.
    project = tiny_project(tmp_path / "project", tiny_model, **LONG)
    run("dvc", "repro", "sample", cwd=project)
    run("git", "commit", "--quiet", "--all", "--message", "the stages before train", cwd=project)
    for how in ("stage", "group"):
        reached = newest_step(project)
        process = start(project, "dvc", "exp", "run", "-S", "lr=0.004")
        wait_until(lambda: newest_step(project) >= reached + 5, "a newer checkpoint")  # noqa: B023
        assert kill(process, how)
    final = start(project, "dvc", "exp", "run", "-S", "lr=0.004")
    assert final.wait(timeout=300) == 0, output(project)
    resumed = re.findall(rf"resuming from step (\d+) of {STEPS}", output(project))
    assert len(resumed) == 2, output(project)
    assert "lr: 0.004" in (project / "params.yaml").read_text()


@pytest.mark.crash
@pytest.mark.timeout(1200)
def test_exp_run_queue_goes_on(tmp_path: Path, tiny_model: Path) -> None:
    # A killed queue worker's task stays "Running" for ever; put in the queue again, it has to go on too.
    goes_on_in_a_copy(tiny_project(tmp_path / "project", tiny_model, **LONG), queued=True)


def goes_on_in_a_copy(project: Path, *, queued: bool) -> None:
    # DVC needs the outs that the committed dvc.lock names in its cache, as they are after a run.
    run("dvc", "repro", "sample", cwd=project)
    run("git", "commit", "--quiet", "--all", "--message", "the stages before train", cwd=project)
    for attempt in (1, 2):
        if queued:
            run("dvc", "exp", "run", "--queue", "-S", "lr=0.004", cwd=project)
            process = start(project, "dvc", "queue", "start")
        else:
            process = start(project, "dvc", "exp", "run", "--temp", "-S", "lr=0.004")
        if attempt == 1:
            wait_until(lambda: newest_step(project) >= 5, "a checkpoint")
            for trainer in psutil.process_iter(["cmdline", "cwd"]):
                is_ours = str(project) in (trainer.info["cwd"] or "")
                if is_ours and "stages.train" in (trainer.info["cmdline"] or []):
                    trainer.kill()
            if not queued:
                assert process.wait(timeout=120) != 0
            else:
                wait_until(lambda: "Failed" in run("dvc", "queue", "status", cwd=project).stdout, "the task to fail")
                run("dvc", "queue", "remove", "--all", cwd=project)
        elif not queued:
            assert process.wait(timeout=300) == 0, output(project)
    if queued:
        wait_until(lambda: "Success" in run("dvc", "queue", "status", cwd=project).stdout, "the task to succeed")
        name = run("dvc", "queue", "status", cwd=project).stdout.splitlines()[1].split()[0]
        logs = run("dvc", "queue", "logs", name, cwd=project).stdout
    else:
        logs = output(project)
    resumed = re.findall(rf"resuming from step (\d+) of {STEPS}", logs)
    assert resumed, logs
    assert int(resumed[-1]) >= 5


@pytest.mark.crash
@pytest.mark.timeout(7200)
def test_random_kills_under_dvc_repro(tmp_path: Path, tiny_model: Path) -> None:
    # What nobody thought of: 24 kills at random times, of random processes, whatever stage is under way.
    project = tiny_project(tmp_path / "project", tiny_model, **LONG | {"save_every": 7})
    expected = lock_of_a_clean_run(project)
    generator = random.Random(4)
    kills, hit, longest = 0, set(), 25.0
    while kills < 24:
        if expected == (project / "dvc.lock").read_text():
            forget_everything(project)
        began = time.monotonic()
        process = start(project, "dvc", "repro")
        how = generator.choice(("dvc", "stage", "group"))
        try:
            process.wait(timeout=generator.uniform(1.0, longest))
        except subprocess.TimeoutExpired:
            hit |= {stage.cmdline()[2] for stage in stage_processes(process) if stage.is_running()}
            kill(process, how)
            kills += 1
        else:
            assert process.returncode == 0, output(project)
            longest = time.monotonic() - began
            assert (project / "dvc.lock").read_text() == expected
    final = start(project, "dvc", "repro")
    assert final.wait(timeout=600) == 0, output(project)
    assert (project / "dvc.lock").read_text() == expected
    assert not list(project.rglob(".*.tmp"))
    print(f"{kills} kills, of dvc, stage or group, hit {sorted(hit)}; dvc.lock as of a run without kills")


def lock_of_a_clean_run(project: Path) -> str:
    run("dvc", "repro", cwd=project)
    return (project / "dvc.lock").read_text()


def forget_everything(project: Path) -> None:
    """Make every stage out of date, and forget all that was trained or cached."""
    for path in (".refit", ".dvc/cache", "data/raw", "data/tokenized", "data/sampled", "models/base",
                 "models/finetuned"):  # fmt: skip
        shutil.rmtree(project / path, ignore_errors=True)
    (project / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
