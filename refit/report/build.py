"""The report page put together: metrics/report.html."""

from pathlib import Path

from refit.params import Report
from refit.report import data_section, examples_section, overview, page, scores_section
from refit.report.run_data import Run
from refit.storage import files


def write(params: Report, target: Path) -> None:
    """Write the page of the run whose outs are in place."""
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
        overview.reproduce(run),
    ]
    files.write_text(target, page.document(run.task["task"], overview.lead(run), sections))
