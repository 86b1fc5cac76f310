"""The page says what the estimator says, and nothing in a table can break it."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pandas as pd
import polars as pl
import pytest
from common import LONGER, SMALL

import skvae

EVIL = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"


class Page(HTMLParser):
    """Tags of a page, their attributes, its visible text, and the data of its script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self._inside = [], [], [], None
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = dict(attrs).get("type", tag)

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "application/json":
            self.data = json.loads(data)
        elif self._inside not in ("script", "style"):
            self.texts.append(data)

    def cell(self, column, cell):
        levels = self.data["levels"][column]
        return cell if cell is None or levels is None else levels[cell]

    def parts(self, i):
        """Column, nats, cell and expectation of each part that is told of a row."""
        flat = self.data["parts"][4 * self.data["nTold"] * i : 4 * self.data["nTold"] * (i + 1)]
        return list(zip(*[iter(flat)] * 4, strict=True))


# Of `mixed`, whose numbers of rows are no key by intention.
PARAMS = LONGER | {"validation_fraction": 0.4, "likelihoods": {"n": "spike_slab"}}


@pytest.fixture(scope="module")
def mixed(frame):
    """`frame` with holes, strings, an integer column, names and cells that are markup."""
    rng = np.random.default_rng(0)
    X = frame.assign(**{EVIL: rng.choice([EVIL, "&amp;", '"'], len(frame)), "n": range(len(frame))})
    X.loc[X.index[::7], "b"] = np.nan
    X.loc[X.index[5], "c"] = 100.0  # the main reason of a row
    return X.rename(index={"row 3": EVIL})


@pytest.fixture(scope="module")
def detector(mixed):
    return skvae.VAEAnomalyDetector(**PARAMS).fit(mixed)


@pytest.fixture(scope="module")
def page(detector, mixed):
    return Page(skvae.report(detector, mixed, title=EVIL))


def test_what_to_change_is_told_of_flagged_rows(detector, mixed, page):
    data, changed = page.data, detector.repair(mixed, return_cells=True)[1]
    for row, sentence in zip(data["rows"], data["repairs"], strict=True):
        names = list(mixed.columns[changed.iloc[row]])
        assert (sentence is not None) == bool(names)
        for name in names:
            assert f"{name} from " in sentence
    assert any(data["repairs"])


def test_the_numbers_are_those_of_explain(detector, mixed, page):
    data, both = page.data, detector.explain(mixed, return_rest=True)
    parts = pd.concat(both, axis=1)
    scores = detector.negative_elbo(mixed)
    assert data["rows"] == list(np.argsort(-scores, kind="stable"))
    np.testing.assert_allclose(data["scores"], scores[data["rows"]], atol=0.0051)
    np.testing.assert_allclose(data["pValues"], detector.p_values(mixed)[data["rows"]], rtol=1e-2)
    assert data["columns"] == list(mixed.columns)
    assert data["nFlagged"] == (detector.predict(mixed) == -1).sum()
    for i, row in enumerate(data["rows"]):
        columns, nats = list(zip(*page.parts(i), strict=True))[:2]
        np.testing.assert_allclose(nats, parts.iloc[row, list(columns)], atol=0.0051)
        total = sum(nats) + data["rest"][i] + data["baseline"]
        assert total == pytest.approx(scores[row], abs=0.1)


def test_the_cells_are_those_of_the_table(mixed, page):
    for j, name in enumerate(mixed.columns):
        cells = [page.cell(j, cell) for cell in page.data["cells"][j]]
        for cell, expected in zip(cells, mixed[name].iloc[page.data["rows"]], strict=True):
            if isinstance(expected, float):
                expected = None if np.isnan(expected) else float(f"{expected:.6g}")
            assert cell == (expected if name in "abcden" else str(expected))
    assert page.data["labels"][page.data["rows"].index(3)] == EVIL


def test_odd_cells_come_with_what_was_expected(detector, mixed):
    X = mixed.iloc[:50].copy()
    X.iloc[5, X.columns.get_loc("c")] *= 1000
    page = Page(skvae.report(detector, X))
    column, nats, cell, expected = page.parts(0)[0]
    assert (page.data["rows"][0], page.data["columns"][column]) == (5, "c")
    assert nats > 30
    assert cell == float(f"{X['c'].iloc[5]:.6g}")
    assert abs(expected) < 3 * mixed["c"].std()


def test_long_whole_numbers_are_told_in_full():
    X = pd.DataFrame({"amount": 1_700_000_000 + np.arange(40), "x": np.arange(40) / 7})
    params = {"max_steps": 5, "random_state": 0, "likelihoods": {"amount": "spike_slab"}}
    detector = skvae.VAEAnomalyDetector(**params).fit(X)
    page = Page(skvae.report(detector, X))
    assert page.data["cells"][0] == X["amount"].iloc[page.data["rows"]].tolist()


def test_flagged_rows_and_false_alarms_are_the_detectors(detector, mixed, page):
    flagged = (detector.predict(mixed) == -1).sum()
    m = detector.n_calibration_
    at_most = np.floor(0.01 * (m + 1)) / (m + 1) * len(mixed)
    assert f"{at_most:.1f} false alarms would be expected at most. {flagged} rows" in page.text
    selected = detector.detect(mixed, fdr=0.2).sum()
    assert f"{selected} rows at 20 %." in page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_column_tells_how_many_flagged_rows_it_is_the_main_reason_of(page):
    main = [page.parts(i)[0][0] for i in range(page.data["nFlagged"])]
    shown = [int(value) for name, value in page.attributes if name == "data-reason"]
    assert shown == sorted({column for column in main if column < len(page.data["columns"])})
    assert main


def test_markup_in_a_table_stays_text(page, detector, mixed):
    harmless = mixed.rename(columns={EVIL: "text"}, index={EVIL: "row 3"})
    fitted = skvae.VAEAnomalyDetector(**PARAMS).fit(harmless)
    assert page.tags == Page(skvae.report(fitted, harmless)).tags
    assert page.text.count(EVIL) >= 3  # title, heading, column
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_refers_to_nothing_outside(detector, mixed, page):
    targets = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert targets
    assert all(target.startswith("#") for target in targets)
    policy = dict(page.attributes)["content"]
    text = skvae.report(detector, mixed)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in " ".join(value or "" for _, value in page.attributes), policy
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)


def test_a_file_holds_the_same_page_each_time(detector, mixed, tmp_path):
    assert skvae.report(detector, mixed, tmp_path / "page.html") is None
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text == skvae.report(detector, mixed)


@pytest.mark.parametrize("n_rows", [1, 7])
def test_the_oddest_rows_are_listed_and_all_are_counted(detector, mixed, n_rows):
    page = Page(skvae.report(detector, mixed, n_rows=n_rows))
    oddest = np.argsort(-detector.negative_elbo(mixed), kind="stable")[:n_rows]
    assert page.data["rows"] == list(oddest)
    assert f"The {n_rows} oddest of 400 rows." in page.text
    assert page.data["nFlagged"] == (detector.predict(mixed) == -1).sum()


CONTAINERS = {
    "array": lambda X: X,
    "lists": lambda X: X.tolist(),
    "polars": lambda X: pl.DataFrame(X, schema=[str(j) for j in range(X.shape[1])]),
    "strings": lambda X: np.where(X > 0, X, "no number").astype(object),
}


@pytest.mark.parametrize("contain", CONTAINERS.values(), ids=CONTAINERS)
def test_any_table_that_can_be_scored_has_a_report(holed, contain):
    X = contain(holed)
    detector = skvae.VAEAnomalyDetector(**SMALL).fit(X)
    data = Page(skvae.report(detector, X)).data
    np.testing.assert_allclose(
        data["scores"], np.sort(detector.negative_elbo(X))[::-1], atol=0.0051
    )
    assert data["labels"] is None


@pytest.mark.filterwarnings("ignore:No cell of")
def test_columns_that_hold_little_are_told_as_well():
    X = pd.DataFrame({"empty": np.nan, "same": 2.0, "far": [-1.7e308, 1.7e308] * 15})
    detector = skvae.VAEAnomalyDetector(**SMALL).fit(X)
    page = Page(skvae.report(detector, X))
    assert "no cells" in page.text
    assert page.data["cells"][0] == [None] * 30


def test_without_calibration_nothing_is_said_of_false_alarms(table):
    detector = skvae.VAEAnomalyDetector(**SMALL, validation_fraction=0).fit(table)
    page = Page(skvae.report(detector, table))
    assert "No rows calibrate this threshold" in page.text
    assert page.data["pValues"] is None


def test_a_transformer_has_no_threshold(table):
    page = Page(skvae.report(skvae.VAETransformer(**SMALL).fit(table), table))
    assert page.data["nFlagged"] is None
    assert "flagged" not in page.text


def test_scores_of_another_bound_are_told_apart(table):
    detector = skvae.VAEAnomalyDetector(**SMALL, bound="iwae").fit(table)
    page = Page(skvae.report(detector, table))
    assert "importance-weighted bound" in page.text
    np.testing.assert_allclose(
        page.data["scores"], np.sort(-detector.score_samples(table))[::-1], atol=0.0051
    )


@pytest.mark.parametrize(
    ("n_rows", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("9", TypeError)]
)
def test_a_wrong_number_of_rows_is_named(detector, mixed, n_rows, error):
    with pytest.raises(error, match=rf"The 'n_rows' parameter .* Got {n_rows!r} instead"):
        skvae.report(detector, mixed, n_rows=n_rows)


def test_an_estimator_that_explains_nothing_is_refused(mixed):
    with pytest.raises(TypeError, match="Got a VAEClassifier"):
        skvae.report(skvae.VAEClassifier(), mixed)


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_a_missing_library_is_named(detector, mixed, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=r"pip install 'skvae\[report\]'"):
        skvae.report(detector, mixed)


def test_a_missing_folder_is_named(detector, mixed, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        skvae.report(detector, mixed, tmp_path / "none" / "page.html")


def test_the_package_holds_all_that_its_page_is_made_of():
    names = {path.name for path in files("skvae").joinpath("templates").iterdir()}
    assert names >= {"report.html.j2", "report.css", "report.js"}


# In a browser.


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with playwright.sync_playwright() as started:
        try:
            opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"needs Chromium: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def path(detector, mixed, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    skvae.report(detector, mixed, path, title=EVIL)
    return path


@pytest.fixture
def tab(browser, path):
    """Page in a tab that must neither complain nor ask for anything else."""
    tab = browser.new_page()
    complaints, requests = [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(path.as_uri())
    yield tab
    assert complaints == []
    assert requests == [path.as_uri()]
    assert tab.evaluate("window.broken") is None
    tab.close()


def names(tab):
    """Names of the rows that are shown."""
    return [text.split("\n")[0].strip() for text in tab.locator("#list .name").all_inner_texts()]


def test_rows_are_sorted_by_key_presses(tab, mixed):
    header = tab.locator("#list").get_by_role("columnheader", name="Row")
    assert header.get_attribute("aria-sort") == "none"
    header.get_by_role("button").focus()
    tab.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert names(tab)[0].startswith("row 0")
    tab.keyboard.press("Space")
    assert header.get_attribute("aria-sort") == "descending"
    assert names(tab)[0].startswith("row 399")
    assert tab.locator("#list [aria-sort=descending]").count() == 1


def test_rows_are_searched_filtered_and_turned(tab, page):
    status = tab.get_by_role("status")
    assert status.inner_text() == "400 of 400 rows"
    tab.get_by_role("button", name="Next").click()
    assert tab.locator("#page").inner_text() == "page 2 of 8"
    tab.get_by_label("Search").fill("row 39")
    assert status.inner_text() == "11 of 400 rows"
    tab.get_by_role("button", name="Clear").click()
    tab.get_by_label("flagged only").check()
    assert status.inner_text() == f"{page.data['nFlagged']} of 400 rows"
    tab.get_by_label("flagged only").uncheck()
    main = [page.parts(i)[0][0] for i in range(400)]
    tab.locator("#reason").select_option(str(main[0]))
    assert status.inner_text() == f"{main.count(main[0])} of 400 rows"


def test_the_details_of_a_row_add_up(tab, page):
    button = tab.get_by_role("button", name="Details").first
    button.focus()
    tab.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    lines = tab.locator(".detail .nats").all_inner_texts()
    nats = [float(text.replace(",", "").replace("\N{MINUS SIGN}", "-")) for text in lines]
    assert nats[-1] == pytest.approx(page.data["scores"][0], abs=1)
    assert sum(nats[:-1]) == pytest.approx(nats[-1], abs=1)
    tab.keyboard.press("Enter")
    assert tab.locator(".detail").count() == 0


def test_columns_are_sorted_and_lead_to_their_rows(tab, page):
    header = tab.get_by_role("columnheader", name="Mean nats")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    cells = tab.locator("#column-list tbody td:nth-child(5)")
    values = [float(cell.get_attribute("data-value")) for cell in cells.all()]
    assert values == sorted(values, reverse=True)
    button = tab.locator("#column-list button[data-reason]").first
    n = button.inner_text()
    button.click()
    assert tab.get_by_role("status").inner_text() == f"{n} of 400 rows"


def test_the_first_key_press_offers_to_skip_to_the_rows(tab):
    tab.keyboard.press("Tab")
    link = tab.get_by_role("link", name="Skip to the rows")
    assert link.evaluate("link => link === document.activeElement")
    assert link.bounding_box()["x"] >= 0
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"


@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_its_width_in_both_schemes(browser, path, width):
    colors = set()
    for scheme in ("light", "dark"):
        tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.goto(path.as_uri())
        tab.get_by_role("button", name="Details").first.click()
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        colors.add(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
        figures = tab.locator("figure svg")
        assert [figure.is_visible() for figure in figures.all()].count(True) == 1
        tab.close()
    assert len(colors) == 2


def test_ten_thousand_rows_open_within_two_seconds(browser, tmp_path):
    X = np.random.default_rng(0).normal(size=(10_000, 12))
    detector = skvae.VAEAnomalyDetector(**SMALL, n_draws=1).fit(X[:1000])
    skvae.report(detector, X, tmp_path / "page.html")
    tab = browser.new_page()
    tools = tab.context.new_cdp_session(tab)
    tools.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.goto((tmp_path / "page.html").as_uri())
    assert tab.get_by_role("status").inner_text() == "10,000 of 10,000 rows"
    metrics = {m["name"]: m["value"] for m in tools.send("Performance.getMetrics")["metrics"]}
    assert 0 < metrics["TaskDuration"] < 2  # of the processor: others may use it too
    tab.close()
