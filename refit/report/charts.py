"""Small charts as inline SVG: no script, the same bytes for the same numbers, in the colours of refit/report/page.py.

Each is drawn 360 units wide, so that its letters have their natural size on a phone. Series differ in shape as well
as in colour. `alt` is what a screen reader says; it should give the figures that matter.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refit.escaping import cut

WIDTH = 360
COLOURS = 5
MOST_GAPS = 5  # between the ticks of an axis
MOST_DOTS = 15  # points of a line that are marked one by one


@dataclass(frozen=True)
class Series:
    """A named line: its points' x and y, in order of x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Point:
    """A value with the ends of its interval, over a name such as `5 to 12 tokens`."""

    name: str
    value: float
    low: float
    high: float


def lines(
    series: Sequence[Series], *, x_label: str, alt: str, mark: float | None = None, mark_label: str = ""
) -> Markup:
    """Lines over one x axis, with a vertical rule at `mark`. Each line has its colour, dashes and end point."""
    all_x = [x for line in series for x in line.x]
    all_y = [y for line in series for y in line.y if math.isfinite(y)]
    frame = _Frame(_nice([0, *all_x], room=False), _nice(all_y), top=18 + 16 * _legend_rows(series), x_label=x_label)
    parts = [_legend(series), frame.axes()]
    if mark is not None:
        x = frame.x(mark)
        parts.append(Markup('<path class="axis dash" d="M{0} {1}V{2}"/>').format(_n(x), frame.top, frame.bottom))
        anchor = "end" if x > WIDTH / 2 else "start"
        parts.append(_label(x + (-4 if anchor == "end" else 4), frame.top - 5, mark_label, anchor, "ink"))
    for index, line in enumerate(series):
        points = [(frame.x(x), frame.y(y)) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(y)]
        parts.append(_path(points, index))
        if len(points) <= MOST_DOTS:
            parts += [_dot(x, y, index) for x, y in points]
    return _svg(frame.height, alt, parts)


def histogram(
    counts: Sequence[int], edges: Sequence[float], *, x_label: str, alt: str, mark: float | None = None,
    mark_label: str = "",
) -> Markup:  # fmt: skip
    """How many values lie between each two `edges`, with a vertical rule at `mark`."""
    right = max(edges[-1], mark if mark is not None else edges[-1])
    frame = _Frame((edges[0], right), _nice([0, *counts]), top=22, x_label=x_label)
    parts = [frame.axes()]
    for count, left, end in zip(counts, edges, edges[1:], strict=False):
        x, y, wide = frame.x(left), frame.y(count), frame.x(end) - frame.x(left)
        parts.append(_bar(x + 0.5, y, max(wide - 1, 0.5), frame.bottom - y))
    if mark is not None:
        x = frame.x(mark)
        parts.append(
            Markup('<path style="stroke:var(--c1)" stroke-width="1.5" class="dash" d="M{} {}V{}"/>').format(
                _n(x), frame.top, frame.bottom
            )
        )
        anchor = "end" if x > WIDTH / 2 else "start"
        parts.append(_label(x, frame.top - 6, mark_label, anchor, "ink"))
    return _svg(frame.height, alt, parts)


def shares(names: Sequence[str], splits: Mapping[str, Sequence[float]], *, alt: str) -> Markup:
    """The share of each name: a bar for the first split, a mark of its own shape for each other split."""
    row, left, top = 22, 112, 30
    bottom = top + row * len(names)
    _, high = _nice([0, *(value for values in splits.values() for value in values)])
    frame = _Frame((0, high), (0, 1), top=top, height=bottom + 24, left=left, bottom=24)
    legend = [Series(split, (), ()) for split in splits]
    parts = [_legend(legend, bar_first=True), frame.x_grid(percent=True)]
    for place, label in enumerate(names):
        middle = top + row * place + row / 2
        parts.append(_label(left - 8, middle + 4, cut(label, 17)[0], "end", "ink", full=label))
        for index, values in enumerate(splits.values()):
            x = frame.x(values[place])
            if index == 0:
                parts.append(_bar(left, middle - 6, max(x - left, 0.5), 12))
            else:
                parts.append(_dot(x, middle + (-4, 4)[index % 2 == 0], index, size=4))
    return _svg(bottom + 24, alt, parts)


def intervals(
    points: Sequence[Point], *, x_label: str, alt: str, whole: float | None = None, percent: bool = True
) -> Markup:
    """A value with its interval for each group, and a horizontal rule at the value of all of them."""
    values = [end for point in points for end in (point.low, point.high)]
    low, high = _nice(values)
    frame = _Frame((0, len(points)), (max(0.0, low), min(1.0, high) if percent else high), top=12, x_label=x_label)
    parts = [frame.y_grid(percent=percent), frame.x_line()]
    if whole is not None:
        parts.append(
            Markup('<path class="axis dash" d="M{} {}H{}"/>').format(frame.left, _n(frame.y(whole)), frame.right)
        )
    for place, point in enumerate(points):
        x = frame.x(place + 0.5)
        parts.append(
            Markup('<path style="stroke:var(--c0)" stroke-width="2" d="M{} {}V{}"/>').format(
                _n(x), _n(frame.y(point.low)), _n(frame.y(point.high))
            )
        )
        parts += [_dot(x, frame.y(point.value), 0, size=4.5), _label(x, frame.bottom + 15, point.name, "middle")]
    return _svg(frame.height, alt, parts)


def reliability(confidence: Sequence[float], accuracy: Sequence[float], rows: Sequence[int], *, alt: str) -> Markup:
    """The share that is right over the mean confidence of each bin; dots grow with the bin's rows."""
    frame = _Frame((0, 1), (0, 1), top=12, x_label="confidence", height=290)
    parts = [frame.y_grid(percent=True), frame.x_grid(percent=True), frame.x_line()]
    parts.append(
        Markup('<path class="axis dash" d="M{} {}L{} {}"/>').format(frame.left, frame.bottom, frame.right, frame.top)
    )
    most = max(rows, default=1)
    points = [(frame.x(sure), frame.y(right)) for sure, right in zip(confidence, accuracy, strict=True)]
    parts.append(_path(points, 0))
    parts += [
        _dot(x, y, 0, size=2.5 + 5.5 * math.sqrt(count / most)) for (x, y), count in zip(points, rows, strict=True)
    ]
    return _svg(frame.height, alt, parts)


def scatter(
    x: Sequence[float], y: Sequence[float], *, x_label: str, y_label: str, alt: str, line: str = "equal"
) -> Markup:
    """Points; `line` is `equal` for the rule x = y (both axes alike) or `zero` for y = 0."""
    if line == "equal":
        both = _nice([*x, *y])
        frame = _Frame(both, both, top=22, x_label=x_label, height=320)
        rule = Markup("M{} {}L{} {}").format(frame.left, frame.bottom, frame.right, frame.top)
    else:
        frame = _Frame(_nice(x), _nice([0, *y]), top=22, x_label=x_label, height=320)
        rule = Markup("M{} {}H{}").format(frame.left, _n(frame.y(0)), frame.right)
    parts = [frame.axes(), Markup('<path class="axis dash" d="{}"/>').format(rule)]
    parts.append(_label(frame.left, frame.top - 8, y_label, "start"))
    size, opacity = (2.6, 0.55) if len(x) < 500 else (1.8, 0.35)
    dots = Markup("").join(
        Markup('<circle cx="{}" cy="{}" r="{}"/>').format(_n(frame.x(a)), _n(frame.y(b)), size)
        for a, b in zip(x, y, strict=True)
    )
    parts.append(Markup('<g style="fill:var(--c0)" fill-opacity="{}">{}</g>').format(opacity, dots))
    return _svg(frame.height, alt, parts)


def dots(
    groups: Sequence[Series], *, x_label: str, alt: str, marks: Sequence[tuple[float, str]], line: Series | None = None
) -> Markup:
    """Points of several kinds, each in its own shape, over an x axis with names at `marks`; `line` joins its own."""
    entries = [*groups, *([line] if line else [])]
    all_x = [*(x for entry in entries for x in entry.x), *(place for place, _ in marks)]
    room = 0.06 * (max(all_x) - min(all_x)) or 0.5
    frame = _Frame(
        (min(all_x) - room, max(all_x) + room), _nice([y for entry in entries for y in entry.y]),
        top=18 + 16 * _legend_rows(entries), x_label=x_label,
    )  # fmt: skip
    parts = [frame.y_grid(), frame.x_line()]
    parts += [_label(frame.x(place), frame.bottom + 15, cut(name, 12)[0], "middle", full=name) for place, name in marks]
    for index, (entry, (left, row)) in enumerate(zip(entries, _legend_places(entries)[0], strict=True)):
        y = 8 + 16 * row
        points = [(frame.x(x), frame.y(value)) for x, value in zip(entry.x, entry.y, strict=True)]
        if entry is line:
            parts += [_path(points, index), _path([(left, y), (left + 18, y)], index)]
        else:
            parts += [_dot(x, up, index, size=4.5) for x, up in [(left + 9.0, float(y)), *points]]
        parts.append(_label(left + 23, y + 4, cut(entry.name, 24)[0], "start", "ink"))
    return _svg(frame.height, alt, parts)


def heatmap(counts: Sequence[Sequence[int]], *, alt: str) -> Markup:
    """A confusion matrix without its names: the darker, the larger the share of the row; rows are the true labels."""
    size = len(counts)
    left, top, room = 22, 22, WIDTH - 26
    cell = room / size
    parts = [
        Markup('<rect class="rule" x="{}" y="{}" width="{}" height="{}"/>').format(left, top, room, room),
        _label(left + room / 2, 14, "called", "middle"),
        Markup('<text x="14" y="{0}" text-anchor="middle" transform="rotate(-90 14 {0})">label</text>').format(
            _n(top + room / 2)
        ),
    ]
    for i, row in enumerate(counts):
        total = sum(row)
        for j, count in enumerate(row):
            if count:
                parts.append(
                    Markup(
                        '<rect x="{}" y="{}" width="{}" height="{}" style="fill:var(--c{})" fill-opacity="{}"/>'
                    ).format(
                        _n(left + j * cell), _n(top + i * cell), _n(cell), _n(cell), 0 if i == j else 1,
                        f"{0.08 + 0.92 * count / total:.2f}",
                    )
                )  # fmt: skip
    return _svg(top + room + 4, alt, parts)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`, at most six of them."""
    if not high > low:
        return [low]
    step = next(step for step in _steps(low, high) if (high - low) / step <= MOST_GAPS + 1e-9)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _steps(low: float, high: float) -> Iterator[float]:
    """Round distances of ticks, from one that is too small on."""
    power = 10 ** math.floor(math.log10((high - low) / MOST_GAPS))
    return (power * factor for factor in (1, 2, 5, 10, 20, 50))


class _Frame:
    """A plotting area: where it lies and how values map into it."""

    def __init__(
        self, x: tuple[float, float], y: tuple[float, float], *, top: float, x_label: str = "", height: float = 230,
        left: float = 46, bottom: float = 38,
    ) -> None:  # fmt: skip
        self.x_range, self.y_range, self.x_label, self.height = x, y, x_label, height
        self.left, self.right, self.top, self.bottom = left, WIDTH - 10, top, height - bottom

    def x(self, value: float) -> float:
        low, high = self.x_range
        return self.left + (value - low) / ((high - low) or 1) * (self.right - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return self.bottom - (value - low) / ((high - low) or 1) * (self.bottom - self.top)

    def axes(self) -> Markup:
        return self.y_grid() + self.x_line() + self.x_numbers()

    def y_grid(self, *, percent: bool = False) -> Markup:
        at = ticks(*self.y_range)
        return Markup("").join(
            Markup('<path class="rule" d="M{} {}H{}"/>{}').format(
                self.left, _n(self.y(value)), self.right,
                _label(self.left - 6, self.y(value) + 4, _tick(value, at, percent=percent), "end"),
            )
            for value in at
        )  # fmt: skip

    def x_grid(self, *, percent: bool = False) -> Markup:
        at = ticks(*self.x_range)
        return Markup("").join(
            Markup('<path class="rule" d="M{} {}V{}"/>{}').format(
                _n(self.x(value)), self.top, self.bottom,
                _label(self.x(value), self.bottom + 15, _tick(value, at, percent=percent), "middle"),
            )
            for value in at
        )  # fmt: skip

    def x_line(self) -> Markup:
        name = _label((self.left + self.right) / 2, self.height - 4, self.x_label, "middle") if self.x_label else ""
        return Markup('<path class="axis" d="M{} {}H{}"/>{}').format(self.left, self.bottom, self.right, name)

    def x_numbers(self) -> Markup:
        at = ticks(*self.x_range)
        return Markup("").join(
            _label(self.x(value), self.bottom + 15, _tick(value, at), "end" if self.x(value) > WIDTH - 18 else "middle")
            for value in at
        )


def _nice(values: Sequence[float], *, room: bool = True) -> tuple[float, float]:
    """The range of an axis that holds the values, with its ends at ticks where there may be room."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low == high:
        low, high = (low - abs(low) * 0.1 - 0.5, high + abs(high) * 0.1 + 0.5) if low else (0.0, 1.0)
    if not room:
        return low, high
    ends = ((math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9), step) for step in _steps(low, high))
    return next((first * step, last * step) for first, last, step in ends if last - first <= MOST_GAPS)


def _tick(value: float, at: Sequence[float], *, percent: bool = False) -> str:
    scale, sign = (100, "%") if percent else (1, "")
    step = (at[1] - at[0]) * scale if len(at) > 1 else 1
    largest = max(abs(value) for value in at) * scale
    if 0 < largest < 1e-3:
        power = math.floor(math.log10(largest))
        digits = max(0, power - math.floor(math.log10(step) + 1e-9))
        return f"{value / 10**power:.{digits}f}e−{-power}" if value else "0"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value * scale + 0.0:,.{decimals}f}{sign}".replace("-", "−")


def _n(value: float) -> str:
    """A coordinate: a tenth of a unit is finer than a screen shows."""
    return f"{value:.1f}".removesuffix(".0")


def _label(x: float, y: float, text: str, anchor: str, kind: str = "", full: str = "") -> Markup:
    tip = Markup("<title>{}</title>").format(full) if full and full != text else ""
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}{}</text>').format(
        kind, _n(x), _n(y), anchor, text, tip
    )


def _bar(x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" style="fill:var(--c0)" fill-opacity=".75"/>').format(
        _n(x), _n(y), _n(width), _n(max(height, 0))
    )


def _path(points: Iterable[tuple[float, float]], index: int) -> Markup:
    steps = " ".join(f"{'L' if place else 'M'}{_n(x)} {_n(y)}" for place, (x, y) in enumerate(points))
    dashes = ("", "6 3", "2 3", "8 3 2 3", "1 2")[index % COLOURS]
    return Markup('<path fill="none" stroke-width="2" style="stroke:var(--c{})" stroke-dasharray="{}" d="{}"/>').format(
        index % COLOURS, dashes or "none", steps
    )


def _dot(x: float, y: float, index: int, size: float = 3.5) -> Markup:
    """A mark whose shape goes with its colour: circle, diamond, square, triangle, dash."""
    s, d = _n(size), _n(2 * size)
    x_, y_ = _n(x), _n(y)
    shapes = (
        f"M{_n(x - size)} {y_}a{s} {s} 0 1 0 {d} 0a{s} {s} 0 1 0 -{d} 0Z",
        f"M{x_} {_n(y - 1.3 * size)}L{_n(x + 1.3 * size)} {y_}L{x_} {_n(y + 1.3 * size)}L{_n(x - 1.3 * size)} {y_}Z",
        f"M{_n(x - size)} {_n(y - size)}h{d}v{d}h-{d}Z",
        f"M{x_} {_n(y - 1.2 * size)}L{_n(x + 1.2 * size)} {_n(y + size)}H{_n(x - 1.2 * size)}Z",
        f"M{_n(x - size)} {_n(y - size / 3)}h{d}v{_n(0.7 * size)}h-{d}Z",
    )
    return Markup('<path style="fill:var(--c{});stroke:var(--paper)" d="{}"/>').format(
        index % COLOURS, shapes[index % COLOURS]
    )


def _legend_rows(series: Sequence[Series]) -> int:
    return len(_legend_places(series)[1])


def _legend_places(series: Sequence[Series]) -> tuple[list[tuple[float, int]], range]:
    """Where each entry begins (x, line), and the lines."""
    places, x, line = [], 2.0, 0
    for entry in series:
        wide = 34 + 6.2 * len(cut(entry.name, 24)[0])
        if x + wide > WIDTH and x > 2:
            x, line = 2.0, line + 1
        places.append((x, line))
        x += wide
    return places, range(line + 1)


def _legend(series: Sequence[Series], *, bar_first: bool = False) -> Markup:
    parts = []
    for index, (entry, (x, line)) in enumerate(zip(series, _legend_places(series)[0], strict=True)):
        y = 8 + 16 * line
        if bar_first and index == 0:
            parts.append(_bar(x, y - 5, 16, 10))
        elif bar_first:
            parts.append(_dot(x + 10, y, index, size=4.5))
        else:
            parts += [_path([(x, y), (x + 18, y)], index), _dot(x + 9, y, index)]
        parts.append(_label(x + 23, y + 4, cut(entry.name, 24)[0], "start", "ink"))
    return Markup("").join(parts)


def _svg(height: float, alt: str, parts: Iterable[Markup]) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, _n(height), alt, Markup("\n").join(parts)
    )
