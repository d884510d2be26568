"""Escape untrusted text (labels, texts, commit titles) for HTML pages, terminals, Markdown and CSV."""

import re
import unicodedata

LONGEST = 200

# Control characters become their pictures, direction embeddings and overrides, which can make one text look like
# another, their code points. Direction marks and isolates stay: right-to-left text needs them.
_VISIBLE = (
    {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
    | {0x7F: "␡"}
    | dict.fromkeys(range(0x80, 0xA0), "�")
    | {code: f"[U+{code:04X}]" for code in range(0x202A, 0x202F)}
)
# What Markdown may not display as it is. A dot after a letter may make a link (`www.`); an underscore opens emphasis
# unless it follows a letter or digit.
_MARKUP = re.compile(r"[!-$&*:<>?@\[-^`{-~]|(?<![^\W_])_|(?<=[^\W\d_])\.")
# What makes a spreadsheet read a cell as a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def visible(value: str) -> str:
    """A text for an HTML page, with control characters and direction overrides replaced by visible ones.

    HTML markup is escaped by the page's template.
    """
    return value.replace("\r\n", "\n").translate(_VISIBLE)


def cut(value: str, most: int) -> tuple[str, int]:
    """At most `most` characters of a text, preferably up to a space, and how many characters were cut off."""
    if len(value) <= most:
        return value, 0
    kept = value[:most]
    space = kept.rfind(" ")
    kept = kept[:space] if space > most * 0.7 else kept
    return kept + "…", len(value) - len(kept)


def one_line(text: str, most: int = LONGEST) -> str:
    """A text on one line for a terminal, at most `most` characters long.

    Runs of white space become one space; characters that control the terminal or the text direction become U+FFFD.
    """
    plain = " ".join(text.split())
    shown = "".join("\N{REPLACEMENT CHARACTER}" if _is_control(character) else character for character in plain)
    return shown if len(shown) <= most else cut(shown, most - 1)[0]


def markdown(text: str, most: int = LONGEST) -> str:
    """A text on one line that Markdown and HTML display literally, without markup, links, mentions or table columns."""
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", one_line(text, most))


def code(text: str, most: int = LONGEST) -> str:
    """As `markdown`, in code font, where GitHub does not link names and numbers."""
    return f"<code>{markdown(text, most)}</code>"


def csv_cell(text: str) -> str:
    """A text as a CSV cell that a spreadsheet does not run as a formula and a web page does not read as a tag."""
    plain = text.translate({ord("<"): "‹", ord(">"): "›", ord("&"): "＆", **dict.fromkeys(range(32), " ")})
    is_number = re.fullmatch(r"[+-]?\d+(\.\d+)?", plain.strip()) is not None
    return f"'{plain}" if plain.strip()[:1] in _FORMULA_STARTS and not is_number else plain


def _is_control(character: str) -> bool:
    """Whether a character is a control code (Cc), a lone surrogate (Cs) or a format code (Cf).

    Joiners (U+200C and U+200D, Cf) are not counted: some scripts spell words with them.
    """
    return unicodedata.category(character) in ("Cc", "Cs", "Cf") and character not in "\u200c\u200d"
