"""A picture of a search, as one page without scripts: history, importance of each param, and a slice for each."""

import math
from collections.abc import Sequence
from html import escape

import optuna
from optuna.trial import FrozenTrial, TrialState

WIDTH, HEIGHT, MARGIN = 420, 240, 46
STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 58rem; margin: 2rem auto; padding: 0 1rem; }
figure { display: inline-block; margin: .5rem; } svg { max-width: 100%; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; } .axis { stroke: #8888; fill: none; }
.dot { fill: #2a78d6; } .best { stroke: #d6672a; fill: none; stroke-width: 2; } .bar { fill: #2a78d6; }
table { border-collapse: collapse; } th, td { padding: .2rem .7rem; border-bottom: 1px solid #8884; text-align: left; }
"""


def page(study: optuna.Study) -> str:
    """The HTML of a study's page."""
    trials = [trial for trial in study.trials if "skipped" not in trial.user_attrs]
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    parts = [f"<h1>{escape(study.study_name)}</h1>", f"<p>{_counts(trials)}</p>"]
    if done:
        best = study.best_trial
        parts.append(
            f"<p>Best: {best.value:.4f}, <code>dvc exp apply {escape(best.user_attrs['experiment'])}</code></p>"
        )
        parts += [_history(done), _importance(study, done)]
        parts += [_slice(name, done) for name in sorted({name for trial in done for name in trial.params})]
    parts.append(_table(trials))
    head = f'<meta charset="utf-8"><title>{escape(study.study_name)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _counts(trials: list[FrozenTrial]) -> str:
    states = [trial.state.name.lower() for trial in trials]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no trials yet"


def _history(done: list[FrozenTrial]) -> str:
    points = [(float(trial.number), float(trial.value or 0)) for trial in done]
    best = [(x, max(value for _, value in points[: index + 1])) for index, (x, _) in enumerate(points)]
    return _plot("History: score of each trial, and the best so far", points, line=best, below="trial")


def _slice(name: str, done: list[FrozenTrial]) -> str:
    having = [trial for trial in done if name in trial.params]
    space = having[0].distributions[name]
    if isinstance(space, optuna.distributions.CategoricalDistribution):
        names = [str(choice) for choice in space.choices]
        points = [(float(names.index(str(trial.params[name]))), float(trial.value or 0)) for trial in having]
        return _plot(f"Slice: {name}", points, below=name, ticks=names)
    is_log = getattr(space, "log", False)
    places = [float(math.log10(trial.params[name]) if is_log else trial.params[name]) for trial in having]
    values = [float(trial.value or 0) for trial in having]
    return _plot(f"Slice: {name}", list(zip(places, values, strict=True)), below=name, is_log=is_log)


def _importance(study: optuna.Study, done: list[FrozenTrial]) -> str:
    varied = [name for name in done[0].params if len({str(trial.params.get(name)) for trial in done}) > 1]
    if len(done) < 4 or not varied or len({trial.value for trial in done}) < 2:
        return "<p>Importance: needs four trials with different scores.</p>"
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    step = (HEIGHT - MARGIN) / len(found)
    bars = "".join(
        f'<rect class="bar" x="110" y="{20 + step * i:.1f}" width="{share * 250:.1f}" height="{step * 0.6:.1f}"/>'
        f'<text x="4" y="{20 + step * (i + 0.4):.1f}">{escape(name)}</text>'
        f'<text x="{114 + share * 250:.1f}" y="{20 + step * (i + 0.4):.1f}">{share:.2f}</text>'
        for i, (name, share) in enumerate(found.items())
    )
    return _figure("Importance: share of the scores' variance (fANOVA)", bars)


def _plot(
    title: str,
    points: list[tuple[float, float]],
    *,
    below: str,
    line: Sequence[tuple[float, float]] = (),
    ticks: Sequence[str] | None = None,
    is_log: bool = False,
) -> str:
    left, right = _ends([x for x, _ in points])
    low, high = _ends([y for _, y in points])

    def at(x: float, y: float) -> tuple[float, float]:
        across = MARGIN + (x - left) / (right - left) * (WIDTH - MARGIN - 16)
        return across, HEIGHT - MARGIN - (y - low) / (high - low) * (HEIGHT - MARGIN - 20)

    shapes = [f'<path class="axis" d="M{MARGIN} 10V{HEIGHT - MARGIN + 8}H{WIDTH - 8}"/>']
    shapes += [f'<text x="2" y="{at(left, y)[1] + 4:.1f}">{y:.3f}</text>' for y in (low, high)]
    marks = [(float(i), name) for i, name in enumerate(ticks or [])] or [
        (x, f"{10**x:.2g}" if is_log else f"{x:g}") for x in sorted({min(points)[0], max(points)[0]})
    ]
    inside = [(x, name) for x, name in marks if left <= x <= right]
    shapes += [f'<text x="{at(x, low)[0] - 6:.1f}" y="{HEIGHT - 22}">{escape(name)}</text>' for x, name in inside]
    shapes.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}">{escape(below)}</text>')
    if line:
        path = " L".join(f"{x:.1f} {y:.1f}" for x, y in (at(*point) for point in line))
        shapes.append(f'<path class="best" d="M{path}"/>')
    for x, y in points:
        across, up = at(x, y)
        shapes.append(f'<circle class="dot" cx="{across:.1f}" cy="{up:.1f}" r="4"><title>{y:.4f}</title></circle>')
    return _figure(title, "".join(shapes))


def _figure(title: str, shapes: str) -> str:
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{escape(title)}">{shapes}</svg>'
        "</figure>"
    )


def _ends(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    gap = (high - low) * 0.05 or 0.5
    return low - gap, high + gap


def _table(trials: list[FrozenTrial]) -> str:
    rows = "".join(
        f"<tr><td>{trial.number}</td><td>{trial.state.name.lower()}</td>"
        f"<td>{'' if trial.value is None else f'{trial.value:.4f}'}</td>"
        f"<td>{escape(trial.user_attrs.get('experiment', ''))}</td>"
        f"<td>{escape(trial.user_attrs.get('error', ''))}</td></tr>"
        for trial in trials
    )
    head = "".join(f"<th>{name}</th>" for name in ("trial", "state", "score", "experiment", "error"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
