"""The report page put together: metrics/report.html."""

import hashlib
from pathlib import Path

from refit import paths
from refit.pages import page
from refit.params import Report
from refit.report import data, overview, rows, scoring
from refit.report.run import Run
from refit.storage import files


def write(params: Report, target: Path) -> str:
    """Write the page of the run whose outs are in place; returns the page's identity, for the script beside it."""
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
    text = str(page.document(run.task["task"], overview.lead(run), sections, script=paths.REPORT_SCRIPT.name))
    identity = hashlib.sha256(text.encode()).hexdigest()[:16]
    named = str.replace(
        text, '<html lang="en">', f'<html lang="en" data-page="{identity}">', 1
    )  # not Markup's, which escapes
    files.write_text(target, named)
    return identity
