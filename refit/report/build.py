"""The report page put together: metrics/report.html."""

import hashlib
from pathlib import Path

from refit import paths
from refit.params import Report
from refit.report import data_section, examples_section, overview, page, scores_section
from refit.report.run_data import Run
from refit.storage import files


def write(params: Report, target: Path) -> str:
    """Write the page of the run whose outs are in place; returns the page's identity, for the script beside it."""
    run = Run(params)
    if run.is_regression:
        about_scores = [scores_section.scatter(run), scores_section.hardness(run), examples_section.largest_errors(run)]
    else:
        about_scores = [
            scores_section.confusion(run), scores_section.reliability(run), scores_section.hardness(run),
            examples_section.mistakes(run),
        ]  # fmt: skip
    sections = [
        scores_section.scores(run),
        scores_section.curves(run),
        *about_scores,
        examples_section.examples(run),
        data_section.section(run),
        overview.overview(run),
        overview.timings(),
        overview.reproduce(run),
    ]
    text = str(page.document(run.task.name, overview.lead(run), sections, script=paths.REPORT_SCRIPT.name))
    identity = hashlib.sha256(text.encode()).hexdigest()[:16]
    named = str.replace(
        text, '<html lang="en">', f'<html lang="en" data-page="{identity}">', 1
    )  # not Markup's, which escapes
    files.write_text(target, named)
    return identity
