"""A killed run reaches the same bytes; a damaged checkpoint is never used; other params, code or data never resume."""

import re
import shutil
import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from conftest import change_params

from refit import params, paths
from refit.errors import InterruptedRunError, TrainingDivergedError
from refit.storage import files, manifest
from refit.training import arguments, checkpoint, fine_tuning, fingerprint
from refit.training.checkpoint import Checkpoints
from refit.training.trainer import ClassifierTrainer


class KilledError(BaseException):
    """What stands for SIGKILL in one process: no code of refit catches it."""


def copied(source: Path, target: Path) -> Path:
    """A copy of a project without its history and its training state."""
    return shutil.copytree(source, target, ignore=shutil.ignore_patterns(".git", ".refit"))


@pytest.fixture
def project(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a project whose stages before train have run."""
    monkeypatch.chdir(copied(prepared, tmp_path / "project"))
    return tmp_path / "project"


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> tuple[Path, dict[str, bytes]]:
    """A project whose run was killed with checkpoints of steps 20 and 10, and the outs of a run that was not."""
    folder = copied(prepared, tmp_path_factory.mktemp("half") / "project")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        outs = train(attention_dropout=0.1)
        shutil.rmtree(".refit")
        train_until(25, monkeypatch)
    return folder, outs


@pytest.fixture
def complete(
    half_trained: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """The outs of the run that was not killed; the working directory is a copy of the project of the killed one."""
    monkeypatch.chdir(shutil.copytree(half_trained[0], tmp_path / "project"))
    return half_trained[1]


def train(**changes: Any) -> dict[str, bytes]:
    """Train with changed params; the bytes of every out."""
    change_params(Path("params.yaml"), **changes)
    for out in (paths.FINETUNED_MODEL, paths.HISTORY, paths.STEPS):  # as DVC does before a stage
        shutil.rmtree(out, ignore_errors=True) if out.is_dir() else out.unlink(missing_ok=True)
    fine_tuning.train(params.load(params.Train))
    outs = [*sorted(paths.FINETUNED_MODEL.iterdir()), paths.HISTORY, paths.STEPS]
    return {str(path): path.read_bytes() for path in outs}


def at_step(step: int, action: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something at the end of a step, before it is logged or saved; once."""
    original = Checkpoints.on_step_end
    done: list[int] = []

    def on_step_end(self: Checkpoints, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == step and step not in done:
            done.append(step)
            action()
        original(self, args, state, control, **kwargs)

    monkeypatch.setattr(Checkpoints, "on_step_end", on_step_end)


def kill(*_: object) -> None:
    raise KilledError


def train_until(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train and be killed at the end of a step."""
    at_step(step, kill, monkeypatch)
    with pytest.raises(KilledError):
        train()


def run_folder() -> Path:
    return next(path.parent for path in Path(".refit/runs").glob("*/FINGERPRINT.json"))


@pytest.mark.parametrize(("sampling", "accumulation", "workers"), product(("length", "random"), (1, 3), (0, 2)))
def test_killed_three_times_gives_the_same_bytes(
    project: Path, sampling: str, accumulation: int, workers: int,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Prevents other weights or another curve after a resume that restores order, generators or loss sums wrongly."""
    steps = 4 if accumulation == 3 else 10  # of an epoch: 38 examples, 4 a batch
    trainer = {"dataloader_num_workers": workers, "logging_steps": 3}  # logging is out of step with saving
    expected = train(
        sampling=sampling, grad_accum=accumulation, trainer=trainer, save_every=2, eval_every="epoch",
        attention_dropout=0.1,  # draws from the generators in every step
    )  # fmt: skip
    shutil.rmtree(".refit")
    for step in (3, steps + 1, 3 * steps):  # in mid-epoch, after a boundary, at the last step
        train_until(step, monkeypatch)
    capfd.readouterr()
    assert train() == expected
    assert f"resuming from step {3 * steps - 2} of" in capfd.readouterr().err


def test_saving_rarely_resumes_at_the_epoch_boundary(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents other bytes where the Trainer takes another path: it skips no batch and sets the generators first."""
    expected = train(attention_dropout=0.1)
    shutil.rmtree(".refit")
    train_until(11, monkeypatch)
    assert train() == expected


@pytest.mark.parametrize("is_decided", [True, False], ids=["after the deciding checkpoint", "before it"])
def test_early_stopping_stops_at_the_same_step(
    project: Path, is_decided: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents training past the end: the Trainer forgets on a resume how long it has waited for a better score."""
    expected = train(early_stopping=2, eval_every=2, save_every=3, lr=1e-5, epochs=8)
    done = files.read_json(run_folder() / "DONE.json")
    last, best = done["last_step"], done["best_step"]
    assert last == best + 4 < 80, "the run has to stop early for this test to say anything"
    said = capfd.readouterr().err
    assert f"stopped early at step {last} of 80: accuracy did not improve in 2 evaluations after step {best}\n" in said
    assert f"train: kept the model of step {best} (epoch {best / 10:.3g}), the best: accuracy 0." in said
    assert done["figures"]["rows"] == round(38 * 8 * last / 80), "examples that were not trained on do not count"
    shutil.rmtree(".refit")
    if is_decided:
        with monkeypatch.context() as patched:
            patched.setattr(checkpoint.Run, "finish", kill)
            with pytest.raises(KilledError):
                train()
    else:
        train_until(last, monkeypatch)
    assert train() == expected


def test_a_ctrl_c_that_torchrun_forwards_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a Ctrl-C from ending several processes in mid-step, because each of them gets it twice."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    idle = Checkpoints(checkpoint.Run(Path(), {}), Mock(), None)
    with idle.listening():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert idle.is_stop_asked


def test_an_asked_stop_is_committed_and_resumes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents a half-trained model that is passed on, and a stop that loses the work since the last checkpoint."""
    expected = train()
    shutil.rmtree(".refit")
    for step, number in ((4, signal.SIGTERM), (15, signal.SIGINT)):
        at_step(step, lambda number=number: signal.raise_signal(number), monkeypatch)  # type: ignore[misc]
        with pytest.raises(InterruptedRunError, match=f"at step {step} of 30, progress saved; run the same command"):
            train()
        assert not paths.FINETUNED_MODEL.exists()
    assert InterruptedRunError.exit_code == 75
    capfd.readouterr()
    assert train() == expected
    assert "resuming from step 15 of 30" in capfd.readouterr().err


def test_a_finished_run_is_not_trained_again(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prevents training twice when DVC is killed after the stage but before it writes dvc.lock."""
    expected = train()
    assert {path.name for path in run_folder().rglob("*")} >= {"DONE.json", "model.safetensors"}
    assert not list(run_folder().rglob("optimizer*")), "a finished run keeps no optimizer state"
    capfd.readouterr()
    assert train() == expected
    assert "an identical run exists" in capfd.readouterr().err
    for damaged in (
        f"checkpoint-{files.read_json(run_folder() / 'DONE.json')['best_step']}/model.safetensors",
        "DONE.json",
    ):
        damage(run_folder() / damaged, "bit", project)
        assert train() == expected
        assert re.search(f"run's weights are not used: .*{damaged} (differs|is damaged)", capfd.readouterr().err)


def test_no_pickle_is_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents files that run code when they are read, and training_args.bin, which holds the hub token."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("torch.save and torch.load must not be used")

    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    train_until(25, monkeypatch)
    assert (run_folder() / "checkpoint-20/optimizer.safetensors").is_file()
    train()
    suffixes = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
    magic = (b"\x80\x02", b"\x80\x04", b"PK")  # of pickles and torch archives
    written = [path for path in project.rglob("*") if path.is_file()]
    assert [path for path in written if path.suffix in suffixes or path.read_bytes()[:2] in magic] == []


def damage(path: Path, how: str, other: Path) -> None:
    """Damage a file in one of the ways in which disks and copies do."""
    content = bytearray(path.read_bytes())
    match how:
        case "remove":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(content[: len(content) * 6 // 10])
        case "bit":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "swap":
            shutil.copyfile(other / path.name, path)


FILES = [
    "config.json", "model.safetensors", "optimizer.json", "optimizer.safetensors", "scheduler.json",
    "rng_state_0.json", "trainer_state.json", "loop_state.json", "manifest.json",
]  # fmt: skip


def copy_of_run(project: Path, folder: Path) -> checkpoint.Run:
    """The run of a half-trained project, copied into a folder."""
    shutil.copytree(project / ".refit", folder / ".refit")
    description = next(folder.glob(".refit/runs/*/FINGERPRINT.json"))
    return checkpoint.Run(folder / ".refit", files.read_json(description))


@pytest.mark.parametrize(("name", "how"), product(FILES, ("remove", "empty", "cut", "bit", "swap")))
def test_a_damaged_checkpoint_is_never_used(
    name: str, how: str, half_trained: tuple[Path, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents wrong weights: the Trainer reads most of these files without a word, or fails with a traceback."""
    run = copy_of_run(half_trained[0], tmp_path)
    newest, older = run.checkpoint(20), run.checkpoint(10)
    assert run.newest() == newest
    if how == "swap" and (newest / name).read_bytes() == (older / name).read_bytes():
        return  # the same bytes are no damage
    damage(newest / name, how, older)
    assert run.newest() == older
    assert "checkpoint-20 is not used: " in capfd.readouterr().err
    assert not newest.exists(), "the Trainer would write into it"


@pytest.mark.parametrize("damaged", [(20,), (20, 10)], ids=["newest", "all"])
def test_after_damage_the_end_is_the_same(
    damaged: tuple[int, ...], complete: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents other weights after a resume from an older checkpoint, or from none."""
    for step in damaged:
        damage(run_folder() / f"checkpoint-{step}" / "model.safetensors", "bit", tmp_path)
    assert train() == complete
    said = capfd.readouterr().err
    assert re.search("checkpoint-20 is not used: .*/checkpoint-20/model.safetensors differs", said)
    assert ("resuming from step 10" in said) == (damaged == (20,))


def test_a_checkpoint_without_its_best_one_is_not_used(half_trained: tuple[Path, Any], tmp_path: Path) -> None:
    """Prevents a run that resumes, never improves, and at its end has lost the best model."""
    run = copy_of_run(half_trained[0], tmp_path)
    newest = run.checkpoint(20)
    state = files.read_json(newest / "loop_state.json")
    files.write_json(newest / "loop_state.json", {**state, "best_step": 10})
    manifest.write(newest, {name: {} for name in manifest.read_record(newest / "manifest.json")})
    assert run.newest() == newest
    damage(run.checkpoint(10) / "model.safetensors", "bit", tmp_path)
    assert run.newest() is None


CHANGES = {"lr": 1e-3, "seed": 7, "batch_size": 8, "weight_decay": 0.5, "epochs": 4, "scheduler": "cosine"}


@pytest.mark.parametrize("key", CHANGES)
def test_changed_params_do_not_resume_and_old_ones_do(
    key: str, complete: dict[str, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents a resume with other params: the Trainer keeps the old learning rate and says nothing."""
    old = params.load(params.Train).model_dump()[key]
    train(**{key: CHANGES[key]})
    said = capfd.readouterr().err
    assert f"starting from scratch: params.{key} differs from the last run\n" in said
    assert "resuming from" not in said
    assert train(**{key: old}) == complete
    assert "resuming from step 20 of 30" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ("threads", ["threads"]),
        ("versions", ["versions.torch"]),
        ("code", ["code.refit/training/trainer.py"]),
        ("data", ["data.train.arrow"]),
        ("environment", ["environment.MKL_CBWR"]),
        ("tracker", []),
        ("progress bar", []),
    ],
)
def test_only_what_can_change_the_weights_starts_from_scratch(
    what: str, named: list[str], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents old weights under new code, data or machines, and a run that is lost by an edit of a message."""
    before = fingerprint.describe(params.load(params.Train), "fp32", 1)
    match what:
        case "versions":
            known = fingerprint.version
            monkeypatch.setattr(fingerprint, "version", lambda name: "0.0" if name == "torch" else known(name))
        case "code" | "progress bar":
            module = "trainer" if what == "code" else "callbacks"
            with Path(f"refit/training/{module}.py").open("a") as file:
                file.write("# edited\n")
        case "data":
            entries = manifest.read(paths.SAMPLED)
            entries["train.arrow"]["sha256"] = "other rows"
            monkeypatch.setattr(manifest, "read", lambda folder: entries)
        case "environment":
            monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
        case "tracker":
            change_params(Path("params.yaml"), report_to="tensorboard")
    after = fingerprint.describe(params.load(params.Train), "fp32", 2 if what == "threads" else 1)
    assert fingerprint.differences(before, after) == named
    assert (fingerprint.digest(before) == fingerprint.digest(after)) == (named == [])


def test_old_runs_are_removed(project: Path) -> None:
    """Prevents a disk full of optimizer states after sixty experiments."""
    for seed in range(checkpoint.KEEP_RUNS + 2):
        train(epochs=1, seed=seed)
    assert len(list(Path(".refit/runs").iterdir())) == checkpoint.KEEP_RUNS


def explode(what: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the loss infinite, or one gradient NaN, at a step."""
    name = "training_step" if what == "gradient" else "compute_loss"
    original = getattr(ClassifierTrainer, name)

    def exploding(self: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, model, *args, **kwargs)
        if self.state.global_step + 1 == step and model.training:
            if what == "gradient":
                next(model.parameters()).grad[0, 0] = torch.nan
            else:
                result = result * torch.inf
        return result

    monkeypatch.setattr(ClassifierTrainer, name, exploding)


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize(("what", "step"), [("loss", 25), ("gradient", 25), ("gradient", 30)])
def test_a_number_that_is_not_finite_ends_training_immediately(
    project: Path, what: str, step: int, max_grad_norm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents weights of NaN with exit code 0: the Trainer logs 0.0 for such a loss and saves the model."""
    explode(what, step, monkeypatch)
    with pytest.raises(TrainingDivergedError) as raised:
        train(max_grad_norm=max_grad_norm, scheduler="constant", warmup=0.0)
    found = "the loss is inf" if what == "loss" else "the gradient's norm is nan"
    assert str(raised.value) == (
        f"training diverged at step {step}: {found} (lr 0.005); the last checkpoint is of step 20; "
        "lower lr in params.yaml, or use precision: fp32"
    )
    assert raised.value.exit_code == 70
    assert not paths.FINETUNED_MODEL.exists()
    assert not (run_folder() / "DONE.json").exists()


def test_a_learning_rate_far_too_high_ends_in_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a check that only finds made-up numbers: this is what a typo in lr does to a real model."""
    known = arguments.values
    monkeypatch.setattr(arguments, "values", lambda *given: known(*given) | {"learning_rate": 1e30})
    with pytest.raises(TrainingDivergedError, match=r"training diverged at step \d+: .* \(lr .*; lower lr in params"):
        train(max_grad_norm=0.0, warmup=0.0)
    assert not paths.FINETUNED_MODEL.exists()
