"""Text that others wrote, made fit for a terminal or a Markdown page: it can be seen and does nothing."""

import unicodedata

LONGEST = 200


def one_line(text: str, most: int = LONGEST) -> str:
    """A text on one line: no control or format character (escape codes, writing direction), white space as one space.

    At most `most` characters, ended with … where it was longer.
    """
    visible = "".join(
        " " if character.isspace() else "\N{REPLACEMENT CHARACTER}" if _acts(character) else character
        for character in text
    )
    line = " ".join(visible.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def markdown(text: str, most: int = LONGEST) -> str:
    """A text that Markdown and HTML show as it is: no markup, link, mention or column of a table comes of it."""
    line = one_line(text, most)
    return "".join(
        character if _is_inert(character, before) else f"&#{ord(character)};"
        for before, character in zip(f" {line}", line, strict=False)
    )


def code(text: str, most: int = LONGEST) -> str:
    """As `markdown`, set as code, in which GitHub makes no links of names and numbers."""
    return f"<code>{markdown(text, most)}</code>"


def _is_inert(character: str, before: str) -> bool:
    """Whether Markdown reads nothing into a character; a dot after a letter may be that of a link (`www.`)."""
    if character == ".":
        return not before.isalpha()
    return not character.isascii() or character.isalnum() or character in " ,;=/%'()+-"


def _acts(character: str) -> bool:
    """Whether a character steers the terminal or the direction of writing rather than being seen.

    Cc are the control codes, Cs lone surrogates; of the format codes (Cf) the joiners stay: words are spelt with them.
    """
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cs") or (kind == "Cf" and character not in "\u200c\u200d")
