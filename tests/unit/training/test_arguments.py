"""The Trainer's arguments: those that params decide, and the others under `trainer:`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from made_runs import task_record
from ruamel.yaml import YAML

from refit.errors import ParamsError
from refit.params import TRAINER_NAMES, Train
from refit.training import arguments
from refit.training.trainer import ClassifierTrainer


def chosen(**changes: object) -> Train:
    """The committed params, with some changed."""
    values = YAML(typ="safe").load(ROOT / "params.yaml")
    return Train.model_validate({name: {**values, **changes}[name] for name in Train.model_fields})


@pytest.mark.parametrize(("rows", "changes", "steps"), [(100, {}, 7), (100, {"grad_accum": 2}, 4), (5, {}, 1)])
def test_an_epoch_is_counted_in_steps_as_the_trainer_does(rows: int, changes: dict[str, Any], steps: int) -> None:
    """Prevents evaluation and checkpoints from drifting away from the ends of epochs."""
    values = arguments.values(chosen(**changes), rows, "fp32", torch.device("cpu"))
    assert values["eval_steps"] == values["save_steps"] == steps


def test_a_gpu_gets_its_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a GPU from being fed like a CPU; checked by the arguments, because there is no GPU here."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    on_gpu = arguments.values(chosen(), 100, "bf16", torch.device("cuda"))
    wanted = {"bf16": True, "tf32": True, "dataloader_pin_memory": True, "dataloader_num_workers": 2, "use_cpu": False}
    assert {name: on_gpu[name] for name in wanted} == wanted
    plain = arguments.values(chosen(precision="fp32"), 100, "fp32", torch.device("cuda"))
    assert plain["tf32"] is None
    on_cpu = arguments.values(chosen(), 100, "bf16", torch.device("cpu"))
    assert on_cpu["dataloader_num_workers"] == 0
    assert not on_cpu["dataloader_pin_memory"]


def test_trainer_opens_other_arguments(tmp_path: Path) -> None:
    """Prevents a setting of the Trainer that can only be changed in code."""
    params = chosen(trainer={"adam_beta2": 0.98, "optim": "adamw_torch", "gradient_checkpointing": True})
    given = arguments.training_arguments(params, tmp_path, 100, "fp32")
    assert (given.adam_beta2, given.optim, given.gradient_checkpointing) == (0.98, "adamw_torch", True)
    assert given.learning_rate == params.lr


@pytest.mark.parametrize(
    ("trainer", "parts"),
    [
        ({"torch_compil": True}, ["trainer.torch_compil", "did you mean torch_compile"]),
        ({"fsdp": ["full_shard"]}, ["trainer.fsdp", "got [full_shard] (list)"]),
        ({"deepspeed": 2}, ["trainer.deepspeed", "got 2"]),
        ({"adam_beta_2": 0.98}, ["trainer.adam_beta_2", "did you mean adam_beta2"]),
        ({"learning_rate": 1e-3}, ["trainer.learning_rate", "param lr"]),
        ({"seed": 3}, ["trainer.seed", "param seed"]),
        ({"output_dir": "x", "bf16": True}, ["trainer.output_dir", "refit decides", "trainer.bf16", "param precision"]),
        ({"hub_token": "hf_x"}, ["trainer.hub_token", "refit decides"]),
        ({"adam_beta2": "0.98"}, ["trainer.adam_beta2", "got '0.98' (text)", "number"]),
        ({"gradient_checkpointing": "no"}, ["trainer.gradient_checkpointing", "'no' (text)"]),
        ({"torch_compile_mode": ["x"]}, ["trainer.torch_compile_mode", "[x]"]),
        ({"lr_scheduler_kwargs": 3.5}, ["trainer.lr_scheduler_kwargs", "3.5"]),
        ({"deepspeed": "zero2.json"}, ["trainer.deepspeed", "'zero2.json' (text)", "mapping"]),
        ({"fsdp_config": {"transformer_layer_to_wrap": []}}, ["fsdp_config.transformer_layer_to_wrap", "layer_cls_to"]),
        ({"use_liger_kernel": True}, ["trainer.use_liger_kernel", "refit decides"]),
        ({"debug": "underflow_overflow"}, ["trainer.debug", "refit decides"]),
    ],
)
def test_what_trainer_may_not_hold_is_refused_in_one_line(trainer: dict[str, Any], parts: list[str]) -> None:
    """Prevents two values for one thing, a typo that does nothing, and a traceback out of transformers."""
    with pytest.raises(ParamsError) as raised:
        arguments.check(trainer)
    assert raised.value.exit_code == 64
    assert all(part in str(raised.value) for part in parts), raised.value
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trainer": {"optim": "adam_beta"}}, "adam_beta"),
        ({"trainer": {"adam_beta2": 5.0}}, "5.0"),
        ({"trainer": {"lr_scheduler_kwargs": {"speed": 1}}}, "speed"),
        ({"scheduler": "polynomial", "lr": 1e-7}, "1e-07"),
    ],
)
def test_a_value_that_the_trainer_or_torch_refuses_is_one_line(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    """Prevents a traceback for a value of the right type that the optimizer or the schedule cannot take."""

    def prepare(params: Train) -> None:
        given = arguments.training_arguments(params, tmp_path, 100, "fp32")
        model = torch.nn.Linear(2, 2)
        fitting = ClassifierTrainer(
            model=model, args=given, eval_dataset=[], params=params, task=task_record(), inference=None
        )
        fitting.create_optimizer_and_scheduler(10)

    with pytest.raises(ParamsError, match=f"^params.yaml: the Trainer refuses .*{named}"):
        prepare(chosen(class_weights="none", **changes))


def test_every_argument_that_refit_sets_is_refused_or_a_default(tmp_path: Path) -> None:
    """Prevents `trainer:` from changing what a param or refit's resuming depends on."""
    defaults = {"optim", "tf32", "dataloader_pin_memory", "dataloader_num_workers", "logging_steps"}
    for name in arguments.values(chosen(), 100, "fp32", torch.device("cpu")).keys() - defaults:
        with pytest.raises(ParamsError, match=rf"trainer\.{name}: refit"):
            arguments.check({name: None})
    assert set(TRAINER_NAMES.values()) <= set(Train.model_fields) | {"model", "model_revision"}


@pytest.mark.parametrize(
    ("trainer", "resumable"),
    [({}, True), ({"adam_beta2": 0.98}, True), ({"optim": "sgd"}, True), ({"optim": "lomo"}, False),
     ({"fsdp": "full_shard"}, False), ({"deepspeed": {}}, True), ({"deepspeed": {"a": 1}}, False)],
)  # fmt: skip
def test_a_run_that_cannot_be_resumed_says_so(
    trainer: dict[str, Any], resumable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents a long run that is lost by a kill although refit promises to resume."""
    assert arguments.is_resumable(chosen(trainer=trainer)) == resumable
    assert ("cannot be resumed" in capsys.readouterr().err) == (not resumable)
