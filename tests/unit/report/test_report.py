"""The report page: what it shows, that it is the same on every machine, and how a browser draws it."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import environment
from made_runs import HOSTILE, HOSTILE_LABELS, HOSTILE_TEXTS, LABELS, write

from refit import params, paths
from refit.data.task_record import TaskRecord
from refit.errors import DataError
from refit.report import build
from refit.storage import files

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "hostile pairs": {"labels": HOSTILE_LABELS, "texts": HOSTILE_TEXTS, "is_pair": True},
    "regression": {"labels": []},
    "multi-label": {"labels": HOSTILE_LABELS, "is_multi_label": True},
    "many labels": {"labels": [f"{i} {'x' * 400}" for i in range(2_000)]},
}
SECTIONS = {"scores", "curves", "hardness", "mistakes", "examples", "data", "run", "reproduce"}


class Reader(HTMLParser):
    """The tags of a page in order, each with its attributes; fails if one closes another."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens."""
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """A tag closes: the last one that opened."""
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every tag of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]


def text_of(page: Path) -> str:
    """A page without its tags."""
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def make(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """A made-up run with its page, in `folder`."""
    write(folder, **KINDS[kind])
    patch.chdir(folder)
    build.write(params.values())
    return folder / paths.REPORT


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_a_complete_page_that_runs_and_loads_nothing(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a task without a report, dead links, a page that loads anything or runs a label, or a page of MBs."""
    content = make(kind, tmp_path / "run", monkeypatch).read_text(encoding="utf-8")
    assert len(content) < 300_000
    found = Reader(content)
    anchors = {str(section["id"]) for section in found.all("section")}
    of_kind = {"plain": {"confusion", "thresholds"}, "regression": {"residuals"}, "multi-label": {"thresholds"}}
    calibration = set() if kind == "regression" else {"calibration"}
    assert anchors == SECTIONS | of_kind.get(kind, {"confusion"}) | calibration
    assert found.open == []
    assert [link["href"] for link in found.all("a")] == [f"#{section['id']}" for section in found.all("section")]
    assert all(picture["aria-label"] for picture in found.all("svg"))
    assert found.all("img") == found.all("script") == []
    (policy,) = (meta["content"] for meta in found.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'")
    assert not re.search(r"https?://|url\(|@import|\x00|&lt;built-in|dict object", content)
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_the_page_is_the_same_in_any_folder_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a time or a path on the page, with which the dvc.lock of two clones would differ."""
    first = make("hostile pairs", tmp_path / "one", monkeypatch).read_bytes()
    time.sleep(1.1)
    monkeypatch.setenv("DVC_EXP_NAME", "other-name")
    second = make("hostile pairs", tmp_path / "somewhere" / "else", monkeypatch).read_bytes()
    assert first == second
    assert str(tmp_path).encode() not in first


def test_the_page_says_what_the_run_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents figures other than those of the files, and the last epoch in place of the selected one."""
    page = make("plain", tmp_path / "run", monkeypatch)
    text = text_of(page)
    scores = json.loads(paths.SCORES.read_text())["own/made"]
    details = json.loads(paths.DETAILS.read_text())["own/made"]
    assert f"{scores['test']['accuracy']:.3f}" in text
    assert "95%: {:.3f} to {:.3f}".format(*details["test"]["intervals"]["accuracy"]) in text
    assert "selected: epoch 2" in text
    assert "2 (selected)" in text
    assert f"Expected calibration error {details['validation']['calibration_error']:.3f}" in text
    assert "validation with train" in text
    assert "dvc exp run -S task=own/made" in text


@pytest.mark.parametrize("learned", [True, False])
def test_a_score_that_is_not_above_the_baseline_has_a_warning(
    learned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents an F1 of 0.8 from looking good where a linear model, or one label for every example, has it, too."""
    monkeypatch.chdir(write(tmp_path / "run"))
    details = json.loads(paths.DETAILS.read_text())
    of_test = details["own/made"]["test"]
    labels = [of_test["classes"][name]["rows"] for name in LABELS]
    of_test["baseline"]["accuracy"] |= {"value": 0.4321, "difference": 0.1, "p": 0.01 if learned else 0.06}
    files.write_json(paths.DETAILS, details)
    build.write(params.values())
    text = text_of(paths.REPORT)
    assert "TF-IDF: 0.432" in text
    assert f"+0.100, {'real (p 0.0100)' if learned else 'not shown to be better (p 0.0600)'}" in text
    assert f"most frequent label: {labels[0] / sum(labels):.3f}" in text
    assert ("The accuracy on test is not shown to be better" in text) is not learned


def test_what_people_score_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a score without the one thing that says how high it could be."""
    monkeypatch.chdir(write(tmp_path / "run"))
    task = TaskRecord.read(paths.TASK)
    task.model_copy(update={"human": {"one rater": {"accuracy": 0.671, "macro_f1": 0.55}}}).write(paths.TASK)
    build.write(params.values())
    text = text_of(paths.REPORT)
    assert text.index("one rater") < text.index("0.671") < text.index("0.550")


def test_examples_of_max_length_are_drawn_left_of_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a bar that claims examples longer than max_length."""
    page = make("plain", tmp_path / "run", monkeypatch).read_text(encoding="utf-8")
    chart = page.partition("<b>Lengths</b>")[2].partition("</svg>")[0]
    line = re.search(r'class="limit dash" x1="([\d.]+)"', chart)
    assert line
    bars = [(float(x), float(wide)) for x, wide in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', chart)]
    assert max(x + wide for x, wide in bars) <= float(line[1]) + 0.1


@pytest.mark.parametrize(
    ("how", "said"),
    [("head", "their text was truncated."), ("head_tail", "a part in the middle was left out."),
     ("windows", "longer ones were read in windows that overlap")],
)  # fmt: skip
def test_the_page_says_what_was_done_with_long_texts(
    how: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a page that calls texts truncated of which every token was read."""
    page = make("plain", tmp_path / "run", monkeypatch)
    build.write({**params.values(), "long_texts": how})
    assert said in text_of(page)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda: paths.SCORES.write_text('{"mrpc": {}}'), "is of mrpc, not of own/made; run: dvc repro"),
        (
            lambda: shutil.copy(paths.SAMPLED / "test.arrow", paths.SAMPLED / "validation.arrow"),
            "its validation rows are not those of data/sampled",
        ),
    ],
)
def test_a_file_of_another_run_is_named(
    harm: Callable[[], object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a page about other examples than it says."""
    monkeypatch.chdir(write(tmp_path / "run"))
    harm()
    with pytest.raises(DataError, match=message):
        build.write(params.values())


# ---- In a real browser ----


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that records every request and every message of its console."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver_path = shutil.which("chromedriver")
    if not binary or not driver_path:
        pytest.skip("no browser here; on Debian: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed; run: make test")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.chrome.service.Service(driver_path, env=environment())
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def see(browser: Any, page: Path, *, width: int = 1280, scheme: str = "light", media: str = "") -> None:
    """Open a page in a window of a width, in a colour scheme, on the screen or as printed."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(page.as_uri())


@pytest.mark.parametrize("kind", KINDS)
def test_a_browser_draws_all_and_asks_for_nothing_and_a_phone_does_not_scroll_sideways(
    kind: str, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents errors in the console, requests, empty charts, and on a phone a page wider than it or tiny letters."""
    page = make(kind, tmp_path / "run", monkeypatch)
    see(browser, page)
    assert browser.get_log("browser") == []
    messages = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    asked = {m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"}
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    widths = browser.execute_script("return [...document.querySelectorAll('svg')].map(s => s.getBBox().width)")
    assert len(widths) >= 5
    assert min(widths) > 100
    see(browser, page, width=390)
    assert browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    heights = "return [...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)"
    assert min(browser.execute_script(heights)) > 8


def test_hostile_labels_and_texts_are_only_shown(browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens a report of somebody else's data must not run that data."""
    see(browser, make("hostile pairs", tmp_path / "run", monkeypatch))
    active, text = browser.execute_script(
        "return [document.querySelectorAll('img,script,[onerror],[onload],[onclick],iframe,object,embed').length,"
        " document.body.innerText]"
    )
    assert active == 0
    for shown in (HOSTILE, "{{7*7}} ${7*7} <%= 7*7 %>", "a NUL ␀", "[U+202E]overridden"):
        assert shown in text


@pytest.mark.parametrize(("scheme", "media"), [("light", ""), ("dark", ""), ("dark", "print")])
def test_the_contrast_is_high_enough(
    scheme: str, media: str, browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WCAG asks for 4.5 to 1; grey on grey is what nobody reads."""
    see(browser, make("plain", tmp_path / "run", monkeypatch), scheme=scheme, media=media)
    paper, lowest = browser.execute_script("""
      const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
        return .2126 * r + .7152 * g + .0722 * b; };
      const paper = lum(getComputedStyle(document.body).backgroundColor);
      const ratio = c => (Math.max(lum(c), paper) + .05) / (Math.min(lum(c), paper) + .05);
      return [paper, Math.min(...[...document.querySelectorAll('p, h1, h2, h3, td, th, dt, dd, figcaption, svg text')]
        .map(e => ratio(getComputedStyle(e)[e.closest('svg') ? 'fill' : 'color'])))];
    """)
    assert (paper < 0.1) == (scheme == "dark" and not media)
    assert lowest > 4.5
