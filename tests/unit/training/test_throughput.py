"""What a run is measured by: the steps of this process, and the operations that a step must cost."""

from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification, TrainerControl, TrainerState, TrainingArguments

from refit.tokenization import engines, tokenization
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


def test_operations_are_those_of_the_formula(tiny_model: Path) -> None:
    """Prevents a share of the machine's rate that counts padding, embeddings or rows twice."""
    model = AutoModelForSequenceClassification.from_pretrained(tiny_model)
    engine, _ = engines.load(tiny_model, 32)
    encoded = engine.encode(["a good film", "a dull plot and a poor cast"], None)
    rows = tokenization.rows_of(encoded)
    weights = sum(p.numel() for name, p in model.named_parameters() if "embeddings" not in name)
    expected = sum(6 * weights * length + 12 * 2 * 32 * length**2 for length in rows.length.tolist())
    assert throughput.training_operations(model, rows) == pytest.approx(expected)
