"""Several processes that train one model, started by torchrun; each computes a part of every batch.

`processes: 2` in params.yaml starts two on this machine. On a cluster torchrun's own variables say the rest; on every
node they are the same, except PET_NODE_RANK: PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR, PET_MASTER_PORT
(docs/cluster.md).
"""

import logging
import os
import sys
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
    """Whether this is the process that writes files and talks to the person."""
    return int(os.environ.get("RANK", "0")) == 0


def say(message: str) -> None:
    """Print a line about the training on stderr, in the main process alone."""
    if is_main():
        print(f"train: {message}", file=sys.stderr, flush=True)


def is_first_node() -> bool:
    """Whether this machine is the one that keeps the records: the others share its folder."""
    return int(os.environ.get("PET_NODE_RANK", "0")) == 0


def must_launch(wanted: int) -> bool:
    """Whether `wanted` processes (a node) still have to be started: we are not one of them yet."""
    nodes = os.environ.get("PET_NNODES", "1")
    return "TORCHELASTIC_RUN_ID" not in os.environ and "RANK" not in os.environ and (wanted > 1 or nodes != "1")


def check(params: "Train", *, launches: bool) -> None:
    """Refuse a number of processes that cannot run here or share a batch evenly, before any of them starts.

    Raises ParamsError.
    """
    total = count()
    if launches:
        nodes = os.environ.get("PET_NNODES", "1")
        if not nodes.isdigit() or int(nodes) == 0:
            raise ParamsError(f"PET_NNODES: got {nodes!r}, need the number of nodes, a whole number >= 1")
        from refit.model import device  # and torch with it, which one process alone loads later

        most, places = device.places()
        if params.processes > most:
            raise ParamsError(f"params.yaml processes: got {params.processes}, need at most {most}, the {places} here")
        total = params.processes * int(nodes)
    if params.batch_size % total:
        multiple = max(total, params.batch_size // total * total)
        raise ParamsError(
            f"params.yaml batch_size: got {params.batch_size}, shared by {total} processes; "
            f"need a multiple of {total}, such as {multiple} or {multiple + total}"
        )


def launch(wanted: int, module: str) -> dict[str, Any]:
    """Run `python -m module` as `wanted` processes by torchrun; returns the figures that the main one left.

    Raises RefitError when a process failed: with that one's own message and exit code, where it left them.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the process that failed has said why
    alone = [] if "PET_NNODES" in os.environ else ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    arguments = torchrun.parse_args([*alone, "--nproc-per-node", str(wanted), "-m", module])  # type: ignore[no-untyped-call]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torchrun's own; params.yaml's threads are set in each process
    config, command, rest = torchrun.config_from_args(arguments)
    try:
        elastic_launch(config, command)(*rest)
    except ChildFailedError as error:
        # The others fail because one did: what a user can fix comes first, then what came first.
        failed = min(error.failures.values(), key=lambda one: (one.error_file == NO_MESSAGE, one.timestamp))
        ended = f"process {failed.local_rank} of {wanted}"
        if failed.error_file != NO_MESSAGE:
            failure = RefitError(failed.message)
        elif failed.exitcode > 0:
            failure = RefitError(f"{ended} ended with code {failed.exitcode}, see the lines above")
        else:
            failure = InterruptedRunError(
                f"{ended} was killed by {failed.signal_name()} and the others were stopped; "
                "run the same command to resume from the last checkpoint"
            )
        failure.exit_code = failed.exitcode if failed.exitcode > 0 else InterruptedRunError.exit_code
        raise failure from None
    except SignalException:
        raise InterruptedRunError("stopped; run the same command to resume") from None
    return files.read_json(FIGURES) if FIGURES.is_file() else {}  # another node's main process left them there


def leave(figures: dict[str, Any]) -> None:
    """Leave the main process's figures to the one that launched it."""
    if count() > 1 and is_main():
        files.write_json(FIGURES, figures)


def join(*, on_cpu: bool) -> None:
    """Meet the other processes; nothing to do for one alone."""
    if count() > 1:
        from accelerate import PartialState

        PartialState(cpu=on_cpu)


def from_main(work: Callable[[], Found]) -> Found:
    """What the main process finds, in all of them: they wait for it."""
    if count() == 1:
        return work()
    from torch import distributed

    box = [work() if is_main() else None]
    distributed.broadcast_object_list(box, src=0)
    return box[0]  # type: ignore[return-value]


def mean(value: float) -> float:
    """The mean of a value over all processes; every process has to call this."""
    if count() == 1:
        return value
    from torch import distributed

    values: list[float] = [0.0] * count()
    distributed.all_gather_object(values, value)
    return sum(values) / len(values)


def any_of(flag: bool) -> bool:
    """Whether a flag is set in any process; every process has to call this."""
    if count() == 1:
        return flag
    import torch
    from accelerate import PartialState

    box = torch.tensor(int(flag), device=PartialState().device)
    torch.distributed.all_reduce(box, torch.distributed.ReduceOp.MAX)
    return bool(box.item())
