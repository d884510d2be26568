"""The pages that refit writes: one style, a skeleton with a contents list, and the parts that go into it.

A page is one file: no font, image, style or script comes from anywhere else, and its Content-Security-Policy forbids
it. What comes from data (labels, texts) is only ever put in by Markup.format, which escapes it; its control characters
are made visible in the whole page at the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from refit.escaping import cut, visible

Content = str | Markup

# Okabe and Ito's colours, which people who see fewer colours can tell apart, a little darker on white.
STYLE = Markup("""
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1c2126; --quiet: #5b6570; --line: #dde1e6; --wash: #f5f7f9;
  --c0: #0067a8; --c1: #c2500a; --c2: #00805c; --c3: #a54a86; --c4: #7a6a00; --warn: #a33b00;
}
@media (prefers-color-scheme: dark) { :root {
  --paper: #14181c; --ink: #e4e8ec; --quiet: #9aa5b1; --line: #333b44; --wash: #1c2228;
  --c0: #5ab4ee; --c1: #f0924c; --c2: #3cc79c; --c3: #dd8fc3; --c4: #d6c34a; --warn: #f2a36b;
} }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", Arial,
    "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif;
}
.sheet { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 5rem; }
header { max-width: 54rem; }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -.015em; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; line-height: 1.3; letter-spacing: -.01em; margin: 0 0 .75rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
p { margin: .5rem 0; max-width: 44rem; }
a { color: var(--c0); text-underline-offset: .15em; }
section { border-top: 1px solid var(--line); padding-top: 1.75rem; margin-top: 2.5rem; scroll-margin-top: 1rem; }
nav { margin: 1.75rem 0 0; font-size: .9rem; }
nav h2 { font-size: .75rem; text-transform: uppercase; letter-spacing: .08em; color: var(--quiet); margin: 0 0 .4rem; }
nav ol { list-style: none; margin: 0; padding: 0; columns: 9rem; }
nav a { display: block; padding: .2rem 0; color: inherit; text-decoration: none; break-inside: avoid; }
nav a:hover { color: var(--c0); text-decoration: underline; }
.quiet, figcaption, caption { color: var(--quiet); font-size: .875rem; }
.warn { color: var(--warn); }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Noto Sans Mono", monospace; }
code { overflow-wrap: anywhere; }
pre span { display: inline-block; max-width: 100%; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem;
  margin: .75rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.card { background: var(--wash); border-radius: 8px; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.7rem; line-height: 1.25; font-weight: 600; font-variant-numeric: tabular-nums; }
.card span { display: block; color: var(--quiet); font-size: .8rem; line-height: 1.4; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .75rem 0; }
section > .scroll + .scroll { margin-top: 1.75rem; }
.scroll:focus-visible { outline: 2px solid var(--c0); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { padding: .32rem 1.1rem .32rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { color: var(--quiet); font-size: .8rem; vertical-align: bottom; }
tbody th { font-weight: inherit; max-width: 22rem; overflow-wrap: anywhere; min-width: 5.5rem; }
.grid tbody th { min-width: 3.5rem; }
.r { text-align: right; white-space: nowrap; }
.grid { border-collapse: separate; border-spacing: 2px; }
.grid th, .grid td { border: 0; padding: .3rem .5rem; }
.grid thead th, .grid td { text-align: center; }
.grid thead th { max-width: 9rem; overflow-wrap: anywhere; }
.grid td { min-width: 3.6rem; line-height: 1.25; border-radius: 4px;
  background: color-mix(in srgb, var(--c0) calc(var(--share) * 70%), var(--wash)); }
.grid td small { display: block; font-size: .75rem; opacity: .85; }
.grid td.same { outline: 1.5px solid var(--quiet); outline-offset: -1.5px; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1.25rem 2rem;
  margin: 1rem 0; }
.figures > * { min-width: 0; }
.figures h3 { margin-top: 0; }
figure { margin: 0; max-width: 32rem; break-inside: avoid; }
figcaption { margin-top: .35rem; }
figure > b { display: block; font-size: .9rem; font-weight: 600; margin-bottom: .35rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif;
  fill: var(--quiet); font-variant-numeric: tabular-nums; }
svg .ink { fill: var(--ink); }
svg .rule { stroke: var(--line); stroke-width: 1; fill: none; }
svg .axis { stroke: var(--quiet); stroke-width: 1; fill: none; }
svg .dash { stroke-dasharray: 4 3; }
.examples { list-style: none; padding: 0; margin: .75rem 0; display: grid; gap: 1rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); }
.examples li { border-left: 3px solid var(--line); padding-left: .85rem; break-inside: avoid; min-width: 0; }
.text { margin: 0; white-space: pre-line; overflow-wrap: anywhere; unicode-bidi: isolate; text-align: start; }
.text + .text { margin-top: .35rem; padding-top: .35rem; border-top: 1px dotted var(--line); }
.examples .quiet { margin: .25rem 0 0; }
bdi { overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: 9rem 1fr; gap: .3rem 1.25rem; margin: 1rem 0; max-width: 54rem; }
dt { color: var(--quiet); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
@media (min-width: 68rem) {
  .columns { display: grid; grid-template-columns: 11rem minmax(0, 1fr); gap: 0 3.5rem; }
  nav { margin-top: 2.5rem; padding-top: 1.75rem; }
  nav > div { position: sticky; top: 1.5rem; }
  nav ol { columns: auto; }
}
@media (max-width: 30rem) {
  .sheet { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
  .cards { grid-template-columns: 1fr 1fr; }
  table { font-size: .82rem; }
  th, td { padding-right: .6rem; }
  tbody th { min-width: 4.2rem; }
  thead th { font-size: .75rem; }
  .grid { border-spacing: 1px; }
  .grid th, .grid td { padding: .25rem .15rem; }
  .grid td { min-width: 2.9rem; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --quiet: #444; --line: #ccc; --wash: #f5f7f9;
    --c0: #0067a8; --c1: #c2500a; --c2: #00805c; --c3: #a54a86; --c4: #7a6a00; --warn: #a33b00; }
  html { font-size: 9.5pt; }
  body { font-size: 1rem; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .sheet, header { padding: 0; max-width: none; }
  .columns { display: block; }
  nav { display: none; }
  section { margin-top: 1.5rem; padding-top: 1rem; }
  h2, h3, section > p { break-after: avoid; }
  p { max-width: none; break-inside: avoid; }
  tr, .card { break-inside: avoid; }
  .scroll { overflow: visible; }
  .figures { display: block; }
  .figures > * { display: inline-block; width: 48%; margin: 0 1.5% 1rem 0; vertical-align: top; break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
}
""")

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Section:
    """One part of a page: its id in links, its heading and what it holds."""

    anchor: str
    title: str
    body: Markup


def document(title: str, lead: Markup, sections: Sequence[Section]) -> str:
    """A whole page as text: title, lead, a contents list, the sections."""
    contents = join(Markup('<li><a href="#{}">{}</a></li>').format(part.anchor, part.title) for part in sections)
    bodies = join(
        Markup('<section id="{0}" aria-labelledby="{0}-title">\n<h2 id="{0}-title">{1}</h2>\n{2}\n</section>').format(
            part.anchor, part.title, part.body
        )
        for part in sections
    )
    return visible(
        Markup(
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
            "<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n"
            '<div class="sheet">\n<header>\n<h1>{title}</h1>\n{lead}\n</header>\n<div class="columns">\n'
            '<nav aria-labelledby="contents"><div><h2 id="contents">Contents</h2><ol>{contents}</ol></div></nav>\n'
            "<main>\n{bodies}\n</main>\n</div>\n</div>\n</body>\n</html>\n"
        ).format(
            policy=POLICY, title=title, style=STYLE, lead=lead, contents=contents, bodies=bodies,
        )
    )  # fmt: skip


def join(parts: Iterable[Content]) -> Markup:
    """Parts one after the other, each on its line; what is not Markup is escaped."""
    return Markup("\n").join(parts)


def paragraph(content: Content, *, kind: str = "") -> Markup:
    """A paragraph; `kind` is a class of the style (quiet, warn)."""
    return Markup('<p class="{}">{}</p>').format(kind, content) if kind else Markup("<p>{}</p>").format(content)


_CELL = Markup('<td class="{}">{}</td>')
_FIRST_CELL = Markup('<th scope="row" class="{}">{}</th>')


def table(head: Sequence[Content], rows: Iterable[Sequence[Content]], *, columns: str, caption: str = "") -> Markup:
    """A table whose first column heads its rows; `columns` has an l (left) or r (right) for each column."""
    kinds = ["r" if kind == "r" else "l" for kind in columns]
    header = Markup("").join(
        Markup('<th scope="col" class="{}">{}</th>').format(kind, cell) for kind, cell in zip(kinds, head, strict=True)
    )
    body = join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                (_CELL if place else _FIRST_CELL).format(kind, cell)
                for place, (kind, cell) in enumerate(zip(kinds, row, strict=True))
            )
        )
        for row in rows
    )
    return scrolling(
        Markup("<table>{}<thead><tr>{}</tr></thead><tbody>\n{}\n</tbody></table>").format(
            Markup("<caption>{}</caption>").format(caption) if caption else "", header, body
        ),
        caption or "table",
    )


def scrolling(content: Markup, name: str) -> Markup:
    """A part that scrolls sideways by itself where it is wider than the page."""
    return Markup('<div class="scroll" tabindex="0" role="region" aria-label="{}">{}</div>').format(name, content)


def facts(pairs: Iterable[tuple[str, Content]]) -> Markup:
    """A list of names and what they are."""
    return Markup("<dl>{}</dl>").format(
        join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in pairs)
    )


def card(value: str, *notes: Content) -> Markup:
    """One large number with small notes under it."""
    lines = Markup("").join(Markup("<span>{}</span>").format(note) for note in notes)
    return Markup('<div class="card"><b>{}</b>{}</div>').format(value, lines)


def cards(parts: Iterable[Markup]) -> Markup:
    """Cards side by side."""
    return Markup('<div class="cards">\n{}\n</div>').format(join(parts))


def figure(title: str, chart: Markup, caption: Content = "") -> Markup:
    """A chart under its title."""
    below = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
    return Markup("<figure><b>{}</b>{}{}</figure>").format(title, chart, below)


def figures(parts: Iterable[Markup]) -> Markup:
    """Figures side by side where there is room."""
    return Markup('<div class="figures">\n{}\n</div>').format(join(parts))


def name(label: str, most: int = 60) -> Markup:
    """A label of the data: cut, inert, in its own writing direction."""
    return Markup("<bdi>{}</bdi>").format(cut(label, most)[0])


def text(value: str, most: int = 320) -> Markup:
    """A text of the data: cut at a word, inert, in its own writing direction, its line breaks kept."""
    shown, left_out = cut(value.strip(), most)
    note = Markup(' <span class="quiet">(+{} characters)</span>').format(f"{left_out:,}") if left_out else ""
    return Markup('<p class="text" dir="auto">{}{}</p>').format(shown or "(empty)", note)
