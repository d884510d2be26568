"""A search as one page in the report's style: history, importance of each param, a slice for each, and every trial."""

import math

import optuna
from markupsafe import Markup
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from refit.report import charts, page

KINDS = {TrialState.COMPLETE: "whole", TrialState.PRUNED: "pruned, last score"}
ENOUGH = 4  # trials to say which params matter


def document(study: optuna.Study) -> str:
    """The HTML of a study's page."""
    trials = [trial for trial in study.trials if "skipped" not in trial.user_attrs]
    scored = [trial for trial in trials if trial.state in KINDS and trial.value is not None]
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    sections = []
    if scored:
        pictures = page.figures([_history(scored), _importance(study)])
        sections.append(page.Section("history", "History and importance", pictures))
        slices = page.figures(page.figure(f"Slice: {name}", _slice(name, scored)) for name in names)
        sections.append(page.Section("slices", "Slices", slices))
    sections.append(page.Section("trials", "Trials", _table(trials, names, _best(study))))
    return page.document(f"Search {study.study_name}", _lead(study, trials), sections)


def _best(study: optuna.Study) -> FrozenTrial | None:
    return study.best_trial if study.get_trials(states=(TrialState.COMPLETE,)) else None


def _lead(study: optuna.Study, trials: list[FrozenTrial]) -> Markup:
    states = [trial.state.name.lower() for trial in trials]
    counts = page.paragraph(", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)))
    best = _best(study)
    if best is None:
        return counts
    take = Markup("<code>dvc exp apply {}</code>").format(best.user_attrs["experiment"])
    return page.join([counts, page.paragraph(Markup("Best: <b>{}</b>, {}").format(f"{best.value:.4f}", take))])


def _history(scored: list[FrozenTrial]) -> Markup:
    whole = [trial for trial in scored if trial.state == TrialState.COMPLETE]
    reached = [max(_score(earlier) for earlier in whole[: place + 1]) for place in range(len(whole))]
    best = charts.Series("best so far", [float(trial.number) for trial in whole], reached) if whole else None
    last = scored[-1].number
    drawn = charts.dots(
        _groups(scored, [float(trial.number) for trial in scored]), x_label="trial", line=best,
        marks=[(place, f"{place:g}") for place in charts.ticks(0, last) if place == int(place)],
        alt=f"Score of {len(scored)} trials" + (f", the best {max(reached):.4f}" if reached else ""),
    )  # fmt: skip
    return page.figure("History: score of each trial, and the best so far", drawn)


def _slice(name: str, scored: list[FrozenTrial]) -> Markup:
    having = [trial for trial in scored if name in trial.params]
    space = having[0].distributions[name]
    if isinstance(space, CategoricalDistribution):
        choices = [str(choice) for choice in space.choices]
        places = [float(choices.index(str(trial.params[name]))) for trial in having]
        marks = [(float(place), choice) for place, choice in enumerate(choices)]
    else:
        places = [_place(space, trial.params[name]) for trial in having]
        marks = _marks(space)
    best = max(having, key=_score)
    alt = f"Score by {name}; the highest, {_score(best):.4f}, at {_shown(best.params[name])}"
    return charts.dots(_groups(having, places), x_label=name, marks=marks, alt=alt)


def _groups(trials: list[FrozenTrial], places: list[float]) -> list[charts.Series]:
    """A series for each kind of end that a trial came to."""
    pairs = list(zip(places, trials, strict=True))
    return [
        charts.Series(
            kind, [x for x, trial in pairs if trial.state == state],
            [_score(trial) for _, trial in pairs if trial.state == state],
        )
        for state, kind in KINDS.items()
        if any(trial.state == state for trial in trials)
    ]  # fmt: skip


def _place(space: BaseDistribution, value: float) -> float:
    return math.log10(value) if getattr(space, "log", False) else float(value)


def _marks(space: BaseDistribution) -> list[tuple[float, str]]:
    """Round numbers over the whole range that was searched; its ends where no other lie in it."""
    low, high = float(getattr(space, "low", 0)), float(getattr(space, "high", 1))
    if getattr(space, "log", False):
        values = [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    else:
        values = charts.ticks(low, high)
    inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
    return [(_place(space, value), f"{value:g}") for value in (inside if len(inside) > 1 else [low, high])]


def _importance(study: optuna.Study) -> Markup:
    done = study.get_trials(states=(TrialState.COMPLETE,))
    varied = [name for name in (done[0].params if done else {}) if len({str(one.params.get(name)) for one in done}) > 1]
    if len(done) < ENOUGH or not varied or len({trial.value for trial in done}) < 2:
        return page.figure("Importance", Markup(""), f"Needs {ENOUGH} whole trials with different scores.")
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    alt = "; ".join(f"{name} {share:.0%}" for name, share in found.items())
    drawn = charts.shares(list(found), {"share of variance": list(found.values())}, alt=alt)
    note = f"fANOVA over {len(done)} whole trials; with few trials it says little."
    return page.figure("Importance: what the scores vary with", drawn, note)


def _table(trials: list[FrozenTrial], names: list[str], best: FrozenTrial | None) -> Markup:
    head = ["trial", "state", "score", *names, "evaluations", "experiment"]
    rows: list[list[page.Content]] = [
        [
            str(trial.number), "best" if best and trial.number == best.number else trial.state.name.lower(),
            "" if trial.value is None else f"{trial.value:.4f}",
            *(_shown(trial.params.get(name, "")) for name in names),
            str(len(trial.intermediate_values)), page.name(trial.user_attrs.get("experiment", ""), 200),
        ]
        for trial in trials
    ]  # fmt: skip
    columns = "rlr" + "r" * len(names) + "rl"
    errors = [
        (f"trial {trial.number}", page.text(trial.user_attrs["error"]))
        for trial in trials
        if "error" in trial.user_attrs
    ]
    return page.join([page.table(head, rows, columns=columns), *([page.facts(errors)] if errors else [])])


def _score(trial: FrozenTrial) -> float:
    return float(trial.value or 0.0)


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
