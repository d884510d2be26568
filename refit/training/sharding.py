"""A model that is too large for one GPU: cut into pieces over the processes, by FSDP or by DeepSpeed.

Both are the Trainer's own arguments. FSDP's checkpoints are whole and without pickle, as everybody's
(refit/training/checkpoint_io.py). DeepSpeed reads and writes its optimizer as pickles alone, so it is not kept.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from refit.errors import ParamsError
from refit.params import Train

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What the Trainer takes from its other arguments, which are params.yaml's other keys.
FILLED_IN = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
DECIDED = (*FILLED_IN, "train_batch_size", "optimizer", "scheduler", "bf16", "fp16")


def arguments(params: Train) -> dict[str, Any]:
    """What the Trainer is to know of it; nothing for a model that is whole in every process."""
    if params.fsdp is not False:
        return {"fsdp": True, "fsdp_config": {} if params.fsdp is True else {**params.fsdp}}
    if params.deepspeed is not False:
        return {"deepspeed": dict.fromkeys(FILLED_IN, "auto") | params.deepspeed}
    return {}


def check(params: Train, *, is_alone: bool) -> None:
    """Raise ParamsError when the model cannot be cut as params.yaml has it; `is_alone`: by one process."""
    if params.fsdp is not False and params.deepspeed is not False:
        raise ParamsError("params.yaml fsdp, deepspeed: got both, need one of them; set the other to false")
    if params.fsdp is not False and not _has_gpu():
        raise ParamsError("params.yaml fsdp: needs a GPU for each process, and there is none here; need false")
    if params.deepspeed is not False:
        _check_deepspeed(params.deepspeed)
    if is_alone and (name := next(iter(arguments(params)), None)):
        raise ParamsError(f"params.yaml {name}: cuts a model over processes; need processes: 2 or more with it")


def prepare(model: "PreTrainedModel") -> None:
    """Leave the word embedding's layer whole: accelerate cuts the embedding by itself, and fails if it is cut."""
    words = model.get_input_embeddings()
    around = {type(module).__name__ for module in model.modules() if any(part is words for part in module.modules())}
    model._no_split_modules = sorted(set(model._no_split_modules or ()) - around)


def _has_gpu() -> bool:
    from refit.model import device  # and torch with it, which a process that only starts others can do without

    return device.device().type == "cuda"


def _check_deepspeed(config: dict[str, Any]) -> None:
    if find_spec("deepspeed") is None:
        raise ParamsError("params.yaml deepspeed: the package is not installed; run: pip install deepspeed")
    for name in DECIDED:
        if name in config:
            raise ParamsError(f"params.yaml deepspeed.{name}: the other keys of params.yaml decide it; leave it out")
    given = config.get("zero_optimization")
    zero = given if isinstance(given, dict) else {}
    if zero.get("stage") not in (1, 2, 3):
        raise ParamsError("params.yaml deepspeed: need zero_optimization with a stage of 1, 2 or 3: what is cut")
    if zero["stage"] == 3 and zero.get("stage3_gather_16bit_weights_on_model_save") is not True:
        # Without it the Trainer saves pickled pieces in place of the model.
        raise ParamsError(
            "params.yaml deepspeed: stage 3 needs zero_optimization.stage3_gather_16bit_weights_on_model_save: true, "
            "or there is no whole model to save"
        )
