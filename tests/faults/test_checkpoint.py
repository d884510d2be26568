"""A killed run reaches the same bytes; a damaged checkpoint is never used; other params, code or data never resume."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from conftest import change_params
from transformers import TrainerControl, TrainerState

from refit import params, paths
from refit.errors import DataError, InterruptedRunError, TrainingDivergedError
from refit.storage import files, manifest
from refit.training import arguments, checkpoint, distributed, fine_tuning, fingerprint
from refit.training.checkpoint import Checkpoints
from refit.training.trainer import ClassifierTrainer


class KilledError(BaseException):
    """What stands for SIGKILL in one process: no code of refit catches it."""


@pytest.fixture
def project(tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose stages before train have run: the working directory, with this process's signal handlers."""
    folder = tmp_path / "project"
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".git", ".refit"))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield folder
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> tuple[Path, dict[str, bytes]]:
    """A project whose run was killed with checkpoints of steps 20 and 10, and the outs of a run that was not."""
    folder = tmp_path_factory.mktemp("half") / "project"
    shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".git", ".refit"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        monkeypatch.delenv("DVC_ROOT", raising=False)
        outs = train(attention_dropout=0.1)
        shutil.rmtree(".refit")
        train_until(25, monkeypatch)
    return folder, outs


@pytest.fixture
def complete(
    half_trained: tuple[Path, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, bytes]:
    """The outs of the run that was not killed; the working directory is a copy of the project of the killed one."""
    folder, outs = half_trained
    shutil.copytree(folder, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return outs


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
    project: Path, is_decided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents training past the end: the Trainer forgets on a resume how long it has waited for a better score."""
    expected = train(early_stopping=2, eval_every=2, save_every=3, lr=1e-5, epochs=8)
    done = json.loads((run_folder() / "DONE.json").read_text())
    last = done["last_step"]
    assert last < 80, "the run has to stop early for this test to say anything"
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


def test_the_end_of_a_run_is_explained(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prevents a run that stops early without a word, and doubt about which step's model was kept."""
    train(early_stopping=2, eval_every=2, lr=1e-5)
    assert capfd.readouterr().err.splitlines()[-2:] == [
        "train: stopped early at step 6 of 30: accuracy did not improve in 2 evaluations after step 2",
        "train: kept the model of step 2 (epoch 0.2), the best: accuracy 0.5000",
    ]
    train(early_stopping=2, eval_every=10)
    assert "train: early_stopping: 2 has no effect: the run has only 3 evaluations\n" in capfd.readouterr().err


@pytest.fixture
def idle() -> Checkpoints:
    """The callback of a run that is not training."""
    return Checkpoints(checkpoint.Run(Path(), {}), cast(Any, None), "accuracy", 0, None)


def test_a_ctrl_c_that_torchrun_forwards_counts_once(
    project: Path, idle: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a Ctrl-C from ending several processes in mid-step, because each of them gets it twice."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with idle.listening():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert idle.is_stop_asked


def test_a_stop_that_is_asked_for_while_processes_agree_is_not_lost(
    idle: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a lost SIGTERM: several processes may spend most of a step in agreeing whether to stop."""

    def any_of(flag: bool) -> bool:
        idle.is_stop_asked = True
        return flag

    monkeypatch.setattr(distributed, "any_of", any_of)
    state, control = TrainerState(global_step=1, max_steps=3), TrainerControl()
    for stops in (False, True):
        idle.on_step_end(SimpleNamespace(), state, control)  # type: ignore[arg-type]
        assert control.should_training_stop == control.should_save == stops


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
    "rng_state_0.json", "trainer_state.json", "loop_state.json", "MANIFEST.json",
]  # fmt: skip


@pytest.mark.parametrize(("name", "how"), product(FILES, ("remove", "empty", "cut", "bit", "swap")))
def test_a_damaged_checkpoint_is_never_used(
    name: str, how: str, half_trained: tuple[Path, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents wrong weights: the Trainer reads most of these files without a word, or fails with a traceback."""
    shutil.copytree(half_trained[0] / ".refit", tmp_path / ".refit")
    description = next(tmp_path.glob(".refit/runs/*/FINGERPRINT.json"))
    run = checkpoint.Run(tmp_path / ".refit", files.read_json(description))
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
    assert "checkpoint-20 is not used: model.safetensors differs" in said
    assert ("resuming from step 10" in said) == (damaged == (20,))


def test_a_checkpoint_without_its_best_one_is_not_used(
    complete: dict[str, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Prevents a run that resumes, never improves, and at its end has lost the best model."""
    state = run_folder() / "checkpoint-20/loop_state.json"
    best = files.read_json(state)["best_step"]
    if best == 20:  # make the older one the best, as the end of the commit would
        files.write_json(state, {**files.read_json(state), "best_step": 10})
        record = manifest.read_record(run_folder() / "checkpoint-20/MANIFEST.json")
        record["files"]["loop_state.json"] = manifest.entry(state)
        manifest.write_record(run_folder() / "checkpoint-20/MANIFEST.json", record)
    damage(run_folder() / "checkpoint-10/model.safetensors", "bit", tmp_path)
    assert train() == complete
    said = capfd.readouterr().err
    assert "checkpoint-20 is not used: its best checkpoint, checkpoint-10, is incomplete" in said
    assert "resuming from" not in said


def test_a_damaged_finished_run_is_trained_again(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Prevents the export of weights that were damaged on disk after the run."""
    expected = train()
    damage(next(run_folder().glob("checkpoint-*")) / "model.safetensors", "bit", project)
    assert train() == expected
    assert "the finished run's weights are not used: model.safetensors differs" in capfd.readouterr().err
    damage(run_folder() / "DONE.json", "bit", project)
    assert train() == expected
    assert "not used: DONE.json is damaged" in capfd.readouterr().err


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
        ("threads", "threads"),
        ("versions", "versions.torch"),
        ("code", "code.refit/training/trainer.py"),
        ("data", "data.train.arrow"),
        ("environment", "environment.MKL_CBWR"),
        ("tracker", None),
        ("progress bar", None),
    ],
)
def test_only_what_can_change_the_weights_starts_from_scratch(
    what: str, named: str | None, complete: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Prevents old weights under new code, data or machines, and a run that is lost by an edit of a message."""
    match what:
        case "threads":
            change_params(Path("params.yaml"), threads=2)
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
    description = fingerprint.describe(params.load(params.Train), "fp32", 2 if what == "threads" else 1)
    run = checkpoint.Run(paths.state_folder(), description)
    with run.locked():
        assert (run.newest() is None) == (named is not None)
    assert (named or "") in capfd.readouterr().err


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


def test_a_damaged_base_model_is_not_trained_on(project: Path) -> None:
    """Prevents a loss of accuracy that nobody can explain: a flipped bit in safetensors loads without an error."""
    damage(paths.BASE_MODEL / "model.safetensors", "bit", project)
    with pytest.raises(DataError, match=r"models/base/model.safetensors differs from what was written .*doctor"):
        train()
