"""Texts of the data made fit to be shown: cut, and without characters that hide or reorder what is there."""

# A control character as its picture; the embeddings and overrides of writing direction, with which a text can pose
# as another, by their numbers. Marks and isolates of direction stay: they are part of right-to-left text.
_SHOWN = (
    {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
    | {0x7F: "␡"}
    | dict.fromkeys(range(0x80, 0xA0), "�")
    | {code: f"[U+{code:04X}]" for code in range(0x202A, 0x202F)}
)


def visible(value: str) -> str:
    """A text whose control characters and overrides of direction can be seen and do nothing."""
    return value.replace("\r\n", "\n").translate(_SHOWN)


def cut(value: str, most: int) -> tuple[str, int]:
    """At most `most` characters of a text, ended at a word where one ends near, and how many were left out."""
    if len(value) <= most:
        return value, 0
    kept = value[:most]
    space = kept.rfind(" ")
    kept = kept[:space] if space > most * 0.7 else kept
    return kept + "…", len(value) - len(kept)
