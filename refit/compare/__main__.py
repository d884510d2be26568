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
  python -m refit.compare v1 v2 gummy-pion        two tags and a DVC experiment, each with the first
  python -m refit.compare main~10..main           every commit of the range that changed the scores
  python -m refit.compare main --flips            the examples that became right or wrong
  python -m refit.compare --data v1 v2            the rows added, removed, relabelled or moved between splits
  python -m refit.compare v1 v2 --common-rows     scores on the rows that both have, where data differ
  python -m refit.compare origin/main --md --fail-if-worse      check and comment of a pull request
  python -m refit.compare --fail-under 0.55       minimum for the task's main score (on test if it has labels)

Runs that differ only in `seed` or `fold` are pooled (docs/compare.md). The workspace is not changed.

exit codes: 0 success; 1 a --fail option is not met; 2 and 64 wrong arguments; 65 the runs cannot be compared;
69 a file could not be fetched"""


def main() -> None:
    """Print the comparison; exit with code 1 if a --fail option is not met."""
    chosen = _parser().parse_args()
    revisions = resolve(chosen.revisions)
    if chosen.data:
        about_scores = chosen.common_rows or chosen.flips or chosen.fail_if_worse or chosen.fail_under is not None
        if len(revisions) != 2 or about_scores:
            given = f"{len(revisions)} revisions" + " and options about scores" * about_scores
            raise UsageError(f"--data: got {given}, need two different revisions and no option about scores")
        print(chosen.write(data_changes.compared(*revisions)), flush=True)
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
    about = "a commit, tag, branch, experiment, range A..B or workspace; one alone is compared with the workspace"
    parser.add_argument("revisions", nargs="*", metavar="REV", help=about)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--md", dest="write", action="store_const", const=output.pull_request, help="print Markdown")
    form.add_argument("--json", dest="write", action="store_const", const=output.machine, help="print JSON")
    parser.set_defaults(write=output.terminal)
    for option, about in (
        ("--data", "compare the data instead: rows added, removed, relabelled or moved"),
        ("--common-rows", "compare scores on the rows that all revisions have"),
        ("--flips", "list the examples that only one of two revisions gets right"),
        ("--fail-if-worse", "exit 1 if a score of the last revision is really worse"),
    ):
        parser.add_argument(option, action="store_true", help=about)
    about = "exit 1 if the last revision's main score (best_score of the task) is below this"
    parser.add_argument("--fail-under", type=float, metavar="SCORE", help=about)
    return parser


def _refuse_where_nothing_was_compared(compared: Comparison) -> None:
    """Raise DataError if there were runs to compare and no two of them are comparable."""
    if len(compared.groups) < 2 or any(line.test or line.verdict == comparison.UNKNOWN for line in compared.lines):
        return
    tasks = ", ".join(f"{group.name} is of {group.runs[0].task_name}" for group in compared.groups)
    reasons = (line.reason for line in compared.lines if line.verdict == comparison.REFUSED)
    raise DataError(next(reasons, f"no two of these revisions have a task, split and score in common: {tasks}"))


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
