"""The skeleton of a page and its parts, read by an HTML parser."""

from html.parser import HTMLParser

from markupsafe import Markup

from refit.report import page

HOSTILE = "</script></style></title><img src=x onerror=alert(1)>'\"{{7*7}}\x00"


class Reader(HTMLParser):
    """The tags of a page in order, each with its attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br", "path", "rect", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag closes: the last one that opened."""
        if tag not in ("path", "rect", "circle"):
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        """Text."""
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every tag of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def sample() -> str:
    parts = [
        page.Section("one", "One", page.join([page.text(HOSTILE), page.paragraph(HOSTILE)])),
        page.Section("two", "Two", page.table([HOSTILE, "b"], [[page.name(HOSTILE), HOSTILE]], columns="lr")),
    ]
    return page.document(HOSTILE, page.paragraph(HOSTILE), parts)


def test_a_page_is_well_formed_titled_and_its_contents_list_leads_to_every_section() -> None:
    """A link to nowhere, or a tag left open, breaks the page for whoever relies on its structure."""
    found = Reader(sample())
    assert found.open == []
    anchors = [str(section["id"]) for section in found.all("section")]
    assert anchors == ["one", "two"]
    assert [link["href"] for link in found.all("a")] == [f"#{anchor}" for anchor in anchors]
    assert found.all("html")[0]["lang"] == "en"
    assert len(found.all("title")) == len(found.all("h1")) == 1


def test_hostile_text_stays_text_everywhere() -> None:
    """A label must never run in the browser of who opens the report."""
    text = sample()
    found = Reader(text)
    assert found.all("img") == []
    assert found.all("script") == []
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert "".join(found.text).count("<img src=x onerror=alert(1)>'\"{{7*7}}") == 7
    assert "\x00" not in text


def test_a_page_asks_for_nothing() -> None:
    """One font or image from elsewhere, and the page no longer works offline and tells who reads it."""
    found = Reader(sample())
    (policy,) = (m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'")
    assert "script-src" not in str(policy)
    assert found.all("script") == []
    assert "http://" not in sample()
    assert "https://" not in sample()
    assert "url(" not in page.STYLE
    assert "@import" not in page.STYLE


def test_a_text_keeps_its_own_direction_and_says_what_was_cut() -> None:
    """Arabic set from left to right is unreadable; a cut text that looks whole misleads."""
    assert 'dir="auto"' in page.text("نص")
    assert page.name("نص").startswith("<bdi>")
    assert "(+9,680 characters)" in page.text("x" * 10_000)
    assert "(empty)" in page.text("  ")


def test_markup_goes_through_and_text_is_escaped() -> None:
    """The one rule that all safety of the pages rests on."""
    assert page.join([Markup("<b>1</b>"), "<b>2</b>"]) == "<b>1</b>\n&lt;b&gt;2&lt;/b&gt;"
    assert page.card("<", "a & b") == '<div class="card"><b>&lt;</b><span>a &amp; b</span></div>'
    assert page.facts([("<", ">")]) == "<dl><dt>&lt;</dt><dd>&gt;</dd></dl>"
