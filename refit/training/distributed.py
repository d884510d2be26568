"""Several processes that train one model, started by torchrun; each computes a part of every batch.

`processes: 2` in params.yaml starts two on this machine. On a cluster, torchrun's own variables PET_NNODES,
PET_NODE_RANK, PET_MASTER_ADDR and PET_MASTER_PORT describe the nodes (docs/cluster.md).
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from refit.errors import InterruptedRunError, ParamsError, RefitError
from refit.storage import files

if TYPE_CHECKING:
    from refit.params import Train

FIGURES = Path(".refit/train_figures.json")
NO_MESSAGE = "<N/A>"  # torchrun's word for a process that left no error file
Found = TypeVar("Found")


def count() -> int:
    """How many processes train together, on all nodes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this is the process that writes files and prints messages."""
    return int(os.environ.get("RANK", "0")) == 0


def must_launch(wanted: int) -> bool:
    """Whether `wanted` processes per node have to be started, because this one was not started as one of them."""
    nodes = os.environ.get("PET_NNODES", "1")
    return "TORCHELASTIC_RUN_ID" not in os.environ and "RANK" not in os.environ and (wanted > 1 or nodes != "1")


def check(params: "Train", *, launches: bool) -> None:
    """Raise ParamsError if so many processes cannot run or share a batch evenly; `launches`: none has started yet."""
    total = count()
    if launches:
        nodes = os.environ.get("PET_NNODES", "1")
        if not nodes.isdigit() or int(nodes) == 0:
            raise ParamsError(f"PET_NNODES: got {nodes!r}, need the number of nodes, a whole number >= 1")
        import torch  # several seconds, which a single process spends later

        gpus = torch.cuda.device_count()
        if 0 < gpus < params.processes:
            raise ParamsError(f"params.yaml processes: got {params.processes}, need at most {gpus}, the GPUs here")
        total = params.processes * int(nodes)
    if params.batch_size % total:
        multiple = max(total, params.batch_size // total * total)
        raise ParamsError(
            f"params.yaml batch_size: got {params.batch_size}, shared by {total} processes; "
            f"need a multiple of {total}, such as {multiple} or {multiple + total}"
        )


def launch(wanted: int, module: str) -> dict[str, Any]:
    """Run `python -m module` in `wanted` processes by torchrun; returns the figures that the main process left.

    Raises RefitError when a process failed, with its message and exit code if it left them.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # a failed process prints its own error
    alone = [] if "PET_NNODES" in os.environ else ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    arguments = torchrun.parse_args([*alone, "--nproc-per-node", str(wanted), "-m", module])  # type: ignore[no-untyped-call]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun's default; each process then sets the params' threads
    config, command, rest = torchrun.config_from_args(arguments)
    try:
        elastic_launch(config, command)(*rest)
    except ChildFailedError as error:
        # One failure makes the other processes fail: prefer an error that a user can fix, then the earliest.
        failed = min(error.failures.values(), key=lambda one: (one.error_file == NO_MESSAGE, one.timestamp))
        killed = f"was killed by {failed.signal_name()} and the others were stopped; run the same command to resume"
        how = "failed, see the lines above" if failed.exitcode > 0 else killed
        left_message = failed.error_file != NO_MESSAGE
        failure = RefitError(failed.message if left_message else f"process {failed.local_rank} of {wanted} {how}")
        failure.exit_code = failed.exitcode if failed.exitcode > 0 else InterruptedRunError.exit_code
        raise failure from None
    except SignalException:
        raise InterruptedRunError("stopped; run the same command to resume") from None
    return files.read_json(FIGURES) if FIGURES.is_file() else {}  # there is none if the main process is on another node


def leave(figures: dict[str, Any]) -> None:
    """Write the main process's figures for the process that launched it."""
    if count() > 1 and is_main():
        files.write_json(FIGURES, figures)


def from_main(work: Callable[[], Found]) -> Found:
    """The result of `work`, which the main process alone runs while the others wait for it."""
    box = [work() if is_main() else None]
    if count() > 1:
        from torch import distributed

        distributed.broadcast_object_list(box, src=0)
    return box[0]  # type: ignore[return-value]
