"""How the page writes names, texts and numbers of a run: the filters of its template."""

from collections.abc import Sequence

from markupsafe import Markup

from refit.escaping import cut


def words(split: str) -> str:
    """A split's name in words: `test_matched` is `test matched`."""
    return split.replace("_", " ")


def label(name: str, most: int = 60) -> Markup:
    """A label of the data: escaped, shortened, in its own writing direction."""
    return Markup("<bdi>{}</bdi>").format(cut(name, most)[0])


def labels(names: Sequence[str]) -> Markup:
    """The labels of an example."""
    return Markup(", ").join(map(label, names)) if names else Markup("no label")


def excerpt(text: str, most: int = 320) -> Markup:
    """A text of the data: escaped, cut at a word, in its own writing direction, its line breaks kept."""
    shown, left_out = cut(text.strip(), most)
    note = Markup(' <span class="quiet">(+{} characters)</span>').format(number(left_out)) if left_out else ""
    return Markup('<p class="text" dir="auto">{}{}</p>').format(shown or "(empty)", note)


def number(count: int) -> str:
    """A count with commas between thousands."""
    return f"{count:,.0f}"


def number_of(count: int, total: int) -> str:
    """A count and the fraction of the total that it is."""
    if not count:
        return "0"
    return f"{count:,} ({percent(count / total) if count / total >= 0.001 else 'under 0.1%'})"


def decimals(value: float, digits: int = 3) -> str:
    """A number with a fixed number of decimals."""
    return f"{value:,.{digits}f}"


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as a percentage."""
    return f"{fraction:.{digits}%}"


FILTERS = (words, label, labels, excerpt, number, number_of, decimals, percent)
