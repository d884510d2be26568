"""The report page put together: metrics/report.html."""

from pathlib import Path

from refit import files, page, paths
from refit.params import Report
from refit.report import data, overview, rows, scoring
from refit.report.run import Run


def write(params: Report, target: Path) -> None:
    """Write the page of the run whose outs are in place."""
    run = Run(params)
    if run.is_regression:
        about_scores = [scoring.scatter(run), scoring.hardness(run), rows.largest_errors(run)]
    else:
        about_scores = [
            scoring.confusion(run), scoring.reliability(run), scoring.hardness(run), rows.mistakes(run),
        ]  # fmt: skip
    sections = [
        scoring.scores(run),
        scoring.curves(run),
        *about_scores,
        rows.examples(run),
        data.section(run),
        overview.overview(run),
        overview.timings(),
        overview.reproduce(run),
    ]
    text = page.document(run.task["task"], overview.lead(run), sections, script=paths.REPORT_SCRIPT.name)
    files.write_text(target, text)
