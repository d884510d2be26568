"""Compare the scores of commits, branches, experiments and the workspace, and say which differences are real.

python -m refit.compare [REV ...]
"""

import argparse
import sys
from collections.abc import Iterator

from refit.compare import common_rows, comparison, data_changes, flips, output, runs, text
from refit.compare.comparison import Comparison
from refit.errors import DataError, NetworkError, UsageError
from refit.repo import resolve
from refit.stage import run

EXAMPLES = """\
examples:
  python -m refit.compare                         the workspace with the last commit
  python -m refit.compare main                    the workspace with main
  python -m refit.compare v1 v2 gummy-pion        two tags and a DVC experiment, each with the first
  python -m refit.compare main~10..main           every commit of the range that changed the scores
  python -m refit.compare main --flips            the examples that became right or wrong
  python -m refit.compare --data v1 v2            the rows added, removed, relabelled or moved between splits
  python -m refit.compare v1 v2 --common-rows     scores on the rows that both have, where data differ
  python -m refit.compare origin/main --md --fail-if-worse      check and comment of a pull request
  python -m refit.compare --fail-under 0.55       minimum for the task's main score (on test if it has labels)

Runs that differ only in `seed` are pooled: their score is the mean and standard deviation. So are runs that differ only
in `fold`; on validation they are scored as one run, which has predicted every row once.
The workspace is not changed; predictions come from DVC's cache or its remote.

exit codes: 0 success; 1 a --fail option is not met; 2 and 64 wrong arguments; 65 the runs cannot be compared;
69 a file could not be fetched"""


def main() -> None:
    """Print the comparison; exit with code 1 if a --fail option is not met."""
    chosen = _parser().parse_args()
    revisions = resolve(chosen.revisions)
    if chosen.data:
        _check_data_options(chosen, len(revisions))
        first, second = revisions
        changes = data_changes.output(first.name, second.name, data_changes.between(first, second))
        print(chosen.write(changes), flush=True)
        return
    read = [runs.read(revision) for revision in revisions]
    if chosen.common_rows:
        compared = comparison.compare(read := common_rows.restricted(read))
    else:
        compared = comparison.compare(read, runs.read_baseline)
    flipped = flips.between(read) if chosen.flips else None
    print(chosen.write(text.output(compared, flipped)), flush=True)
    _refuse_where_nothing_was_compared(compared)
    failures = [*_under(compared, chosen.fail_under), *(_worse(compared) if chosen.fail_if_worse else [])]
    for failure in failures:
        print(f"refit compare: {failure}", file=sys.stderr)
    if failures:
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m refit.compare",
        description=(__doc__ or "").split("\n", maxsplit=1)[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "revisions", nargs="*", metavar="REV",
        help="a commit, tag, branch, DVC experiment, range A..B, or `workspace`; a single one is compared with the "
        "workspace (default: HEAD)",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    for option, write, about in (
        ("--md", output.pull_request, "print Markdown, for a comment"),
        ("--json", output.machine, "print JSON, for programs"),
    ):
        form.add_argument(option, dest="write", action="store_const", const=write, help=about)
    parser.set_defaults(write=output.terminal)
    parser.add_argument(
        "--data", action="store_true", help="compare the data instead: rows added, removed, relabelled or moved"
    )
    parser.add_argument("--common-rows", action="store_true", help="compare scores on the rows that all revisions have")
    parser.add_argument(
        "--flips", action="store_true", help="list the examples that only one of two revisions gets right"
    )
    parser.add_argument(
        "--fail-under", type=float, metavar="SCORE",
        help="exit 1 if the last revision's main score (best_score of the task) is below this",
    )  # fmt: skip
    parser.add_argument(
        "--fail-if-worse", action="store_true", help="exit 1 if a score of the last revision is really worse"
    )
    return parser


def _check_data_options(chosen: argparse.Namespace, revisions: int) -> None:
    """Raise UsageError unless `--data` has two revisions and no option that is about scores."""
    if revisions != 2:
        raise UsageError(f"--data: got {revisions} revision{'s' * (revisions > 1)}, need two different ones; name them")
    if chosen.common_rows or chosen.flips or chosen.fail_if_worse or chosen.fail_under is not None:
        raise UsageError("--data compares no scores; leave out --common-rows, --flips and --fail-..., or --data")


def _refuse_where_nothing_was_compared(compared: Comparison) -> None:
    """Raise DataError if there were runs to compare and no two of them are comparable."""
    if len(compared.groups) < 2 or any(line.test or line.verdict == comparison.UNKNOWN for line in compared.lines):
        return
    first, last = compared.groups[0].runs[0], compared.last.runs[0]
    refused = next((line.reason for line in compared.lines if line.verdict == comparison.REFUSED), "")
    raise DataError(
        refused or f"no two of these revisions have a task, split and score in common: {first.name} is of "
        f"{first.task_name}, {last.name} of {last.task_name}"
    )  # fmt: skip


def _under(compared: Comparison, bar: float | None) -> Iterator[str]:
    line = compared.headline(compared.lines)
    if bar is not None and line is None:
        why = next((run.missing for run in compared.last.runs if run.missing), "no score")
        raise NetworkError(f"--fail-under: which score counts is in data/raw/task.json, and {why}")
    if bar is not None and line and line.value < bar:
        yield f"{line.group.name}: {line.score} on {line.split} is {line.value:.4f}, under {bar:g}"


def _worse(compared: Comparison) -> Iterator[str]:
    for line in compared.lines:
        if line.group is not compared.last or line.against is None:
            continue
        if line.test is None:
            error = DataError if line.verdict == comparison.REFUSED else NetworkError
            raise error(f"--fail-if-worse cannot be judged: {line.reason}")
        if line.verdict == comparison.REAL and line.test.value < 0:
            yield (
                f"{line.group.name} is really worse than {line.against.name}: {line.score} on {line.split} "
                f"{line.test.value:+.4f} (p {text.p_value(line)})"
            )


if __name__ == "__main__":
    run("compare", main, record=False)
