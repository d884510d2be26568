"""The clock of the training steps."""

from pathlib import Path

from transformers import TrainerControl, TrainerState, TrainingArguments

from refit.training import throughput


def test_the_clock_counts_the_steps_of_this_process(tmp_path: Path) -> None:
    """Prevents a resumed run from claiming the steps before the kill for its own seconds."""
    clock = throughput.StepClock()
    arguments, state, control = TrainingArguments(output_dir=str(tmp_path)), TrainerState(), TrainerControl()
    state.global_step = 40
    for _ in range(3):
        clock.on_step_begin(arguments, state, control)
        clock.on_step_end(arguments, state, control)
    assert clock.steps == 3
    assert 0 < clock.seconds < 1
