"""The report in a headless Chromium: what a reader clicks, types and sees."""

from __future__ import annotations

import pytest

from niah.report import content
from tests.helpers.browser import chromium
from tests.helpers.commands import report as main
from tests.helpers.fake_runs import make_case, make_record, write_run

HOSTILE = "</script><img src=x onerror=\"window.struck = 1\"><b>Which way</b> {{data}} & 'so'?"
SUITE = "name: fake\nlengths: [2000, 4000]\ndepths: [0.1, 0.9]\nfootage: {world: fake}\n"
PLACES = [("full", length, depth) for length in (2000, 4000) for depth in (0.1, 0.9)]
CONTROLS = [("needle_only", 0, 0), ("no_needle", 4000, 0), ("swapped", 4000, 0.9), ("blind", 0, 0)]
CASES = [make_case(f"n{i}", *place, question=HOSTILE) for i in range(2) for place in PLACES + CONTROLS]
OURS = {case.id: case for case in CASES}
FAR = ["n0.full.4000.3591", "n1.full.4000.3591"]  # depth 0.9 of the 3,990 frames a needle of 10 may start at


def answered(case):
    """Say B, which is right, but for n1 far and late; run out of memory near and early; n0 keeps two frames."""
    if case.condition == "full" and case.length == 2000 and case.depth < 0.5:
        return make_record(case, status="oom", detail="wanted 3 GiB")
    if case.id == FAR[1]:
        return make_record(case, "<i>A</i>")
    if case.id == FAR[0]:
        return make_record(case, frames_kept=(5, 3595))
    return make_record(case)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    one = write_run(folder / "one", CASES, [answered(case) for case in CASES], model="one", suite=SUITE)
    two = write_run(folder / "two", CASES, [make_record(case, "C") for case in CASES], model="two", suite=SUITE)
    page = folder / "report.html"
    assert main([str(one), str(two), "-o", str(page), "--no_thumbnails"]) == 0
    with chromium(folder / "profile") as driven:
        driven.get(page.as_uri())
        driven.execute_async_script("ready.then(() => unpackDetails(0)).then(arguments[0])")  # so that no test waits
        yield driven


@pytest.fixture
def page(browser):
    """The page as it opens: loading it anew for every test would take seconds."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.execute_script(
        "document.getElementById('cell').close();"
        "document.querySelector('#theme [data-value=auto]').click();"
        "document.querySelector('[aria-label=Condition] [data-value=full]').click();"
        "document.activeElement.blur(); scrollTo(0, 0);"
    )
    return browser


def css(page, selector):
    return page.find_elements("css selector", selector)


def cell(page, length, depth, panel=1):
    (found,) = css(page, f".panel:nth-child({panel}) td[data-length='{length}'][data-depth='{depth}']")
    return found


def visible_cases(page):
    return [item.get_attribute("data-id") for item in css(page, "#list .item")]


def press(page, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).send_keys(*keys).perform()


def test_clicking_a_cell_shows_its_cases_and_no_others(page):
    cell(page, 4000, 0.9).click()
    assert visible_cases(page) == FAR
    assert css(page, "#cell-title")[0].text == "one: full, length 4K, depth 0.9"
    assert css(page, "#cell-summary")[0].text.startswith("50.0 %: 1 of 2 right")


def test_a_case_shows_question_options_reply_and_that_it_is_wrong(page):
    cell(page, 4000, 0.9).click()
    css(page, "#list .item")[1].click()
    assert css(page, "#detail h3")[0].text == " ".join(HOSTILE.split())
    assert [line.text.split("\n")[:2] for line in css(page, "#detail .options li")] == [
        ["A", "Left"], ["B", "Right"], ["C", "Up"], ["D", "Down"]
    ]  # fmt: skip
    assert css(page, ".options .tag.wrong")[0].find_element("xpath", "..").text.startswith("A")
    assert css(page, ".options .tag.answer")[0].find_element("xpath", "..").text.startswith("B")
    assert css(page, ".reply-text pre")[0].text == "<i>A</i>"
    assert css(page, ".reply-text .chip")[0].text == "✗ wrong"


def test_the_timeline_shows_where_the_needle_and_the_kept_frames_lie(page):
    cell(page, 4000, 0.9).click()
    css(page, "#list .item")[0].click()
    label = css(page, "#detail .track")[0].get_attribute("aria-label")
    assert label == "4,000 frames; needle in frames 3,591 to 3,600; kept frames 5, 3,595"
    track = css(page, ".track")[0].rect
    (needle,) = css(page, ".track .needle")
    middle = (needle.rect["x"] + needle.rect["width"] / 2 - track["x"]) / track["width"]
    assert middle == pytest.approx(3596 / 4000, abs=0.003)
    assert len(css(page, ".track .kept")) == 2
    assert len(css(page, ".track .kept.hit")) == 1


def test_controls_of_the_same_needle_and_the_other_run_stand_beside_a_case(page):
    cell(page, 4000, 0.9).click()
    css(page, "#list .item")[0].click()
    heads = [head.text.split("\n")[0] for head in css(page, ".matrix thead th")[1:]]
    assert heads == ["full", "needle_only", "no_needle", "swapped", "blind"]
    rows = [[box.text for box in row.find_elements("css selector", "td")] for row in css(page, ".matrix tbody tr")]
    ours = ["✓ right B", "✓ right B", "✓ right by luck B", "✓ right by luck B", "✓ right B"]
    assert rows == [ours, ["✗ wrong C"] * 5]
    css(page, ".matrix tbody tr:nth-child(2) button")[1].click()
    assert css(page, "#detail .where")[0].text.startswith("n0.needle_only.0.0")
    assert "two" in css(page, ".reply-text p")[0].text


def test_a_cell_opens_on_its_first_wrong_answer(page):
    cell(page, 4000, 0.9).click()
    assert css(page, "#detail .where")[0].text.startswith(FAR[1])
    assert css(page, "#list .item[aria-selected=true]")[0].get_attribute("data-id") == FAR[1]


def test_being_right_without_the_needle_is_luck_and_has_its_own_colour(page):
    css(page, "[aria-label='Condition'] [data-value='swapped']")[0].click()
    cell(page, 4000, "all").click()
    mark = css(page, "#list .mark")[0]
    assert mark.get_attribute("class") == "mark luck" and mark.get_attribute("title") == "right by luck"
    right = page.execute_script("return getComputedStyle(document.documentElement).getPropertyValue('--right')")
    assert mark.value_of_css_property("color") not in right
    assert [choice.text for choice in css(page, "#filter button")] == ["All 2", "Right by luck 2"]


def test_on_a_phone_wide_tables_scroll_and_no_keys_are_named(page):
    phone = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        wide = "return document.documentElement.scrollWidth > innerWidth"
        assert not page.execute_script(wide)
        cell(page, 4000, 0.9).click()
        assert not page.execute_script(wide)
        assert page.execute_script("const d = document.getElementById('detail'); return d.scrollWidth <= d.clientWidth")
        table = "const m = document.querySelector('.matrix').parentElement;"
        assert page.execute_script(
            f"{table} m.scrollLeft = 50; return m.scrollWidth > m.clientWidth && m.scrollLeft > 0"
        )
        assert "Esc" not in css(page, "#close")[0].text
        css(page, "#close")[0].click()
        assert "Esc" not in css(page, "main")[0].text
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_what_users_wrote_is_never_markup_and_nothing_is_fetched(page):
    cell(page, "all", "all").click()
    assert page.execute_script("return window.struck") is None
    assert not css(page, "img") and not css(page, "#detail h3 b")
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert page.get_log("browser") == []


def test_pointing_at_a_cell_tells_n_interval_and_oom(page):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page).move_to_element(cell(page, 4000, 0.9)).perform()
    told = css(page, "#tip")[0].text
    assert "1 right of 2" in told and "9 to 91 %" in told  # Wilson for 1 of 2
    ActionChains(page).move_to_element(cell(page, 2000, 0.1)).perform()
    assert "2 out of memory" in css(page, "#tip")[0].text
    assert cell(page, 2000, 0.1).text == "OOM"
    assert "partial" in cell(page, "all", "all").get_attribute("class")


def test_the_keyboard_walks_opens_and_closes(page):
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.querySelector('.panel td[tabindex=\"0\"]').focus()")
    press(page, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    focused = page.switch_to.active_element
    assert (focused.get_attribute("data-length"), focused.get_attribute("data-depth")) == ("4000", "0.9")
    assert focused.value_of_css_property("outline-style") == "solid"
    press(page, Keys.ENTER)
    assert visible_cases(page) == FAR
    press(page, Keys.ARROW_DOWN)
    assert css(page, "#detail .where")[0].text.startswith(FAR[1])
    press(page, Keys.ESCAPE)
    assert page.execute_script("return document.getElementById('cell').open") is False
    assert page.switch_to.active_element == focused


def test_another_condition_and_type_redraw_the_heatmaps(page):
    css(page, "[aria-label='Condition'] [data-value='no_needle']")[0].click()
    assert len(css(page, ".panel")) == 2
    cells = css(page, ".panel:first-child td")
    assert [found.text for found in cells] == ["", "100 %\nn 2", "100 %\nn 2"]  # 2K was not asked, 4K, all
    cells[1].click()
    assert visible_cases(page) == ["n0.no_needle.4000.0", "n1.no_needle.4000.0"]


def test_colours_follow_the_system_and_the_switch(page):
    def paper():
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    light = paper()
    preferred = {"name": "prefers-color-scheme", "value": "dark"}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [preferred]})
    dark = paper()
    css(page, "#theme [data-value='light']")[0].click()
    assert paper() == light != dark
    css(page, "#theme [data-value='dark']")[0].click()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert paper() == dark


def test_paper_is_light_and_has_no_buttons_to_press(page):
    css(page, "#theme [data-value='dark']")[0].click()
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not css(page, "#controls")[0].is_displayed()
    assert cell(page, 4000, 0.9).is_displayed()
    assert page.execute_script("return getComputedStyle(document.body).color") == "rgb(27, 29, 32)"


def test_details_are_unpacked_when_a_case_is_opened_and_a_long_list_is_drawn_in_parts(browser, tmp_path, monkeypatch):
    from selenium.webdriver.support.ui import WebDriverWait

    monkeypatch.setattr(content, "PACK", 100)
    cases = [make_case(f"n{number:03}") for number in range(620)]
    run = write_run(tmp_path / "run", cases, [make_record(case, f"B, {case.id}") for case in cases], suite=SUITE)
    path = tmp_path / "many.html"
    assert main([str(run), "-o", str(path), "--no_thumbnails"]) == 0
    before = browser.current_url
    browser.get(path.as_uri())
    try:
        opened, waiting = "return Object.keys(unpacking)", WebDriverWait(browser, 20)
        assert browser.execute_script(opened) == []
        cell(browser, "all", "all").click()
        waiting.until(lambda page: len(visible_cases(page)) == 500)
        browser.execute_script("document.querySelector('#list .more').click()")
        assert len(visible_cases(browser)) == 620 and not css(browser, "#list .more")
        browser.execute_script("document.querySelectorAll('#list .item')[350].click()")
        waiting.until(lambda page: css(page, ".reply-text pre"))
        assert css(browser, ".reply-text pre")[0].text == f"B, {cases[350].id}"
        assert browser.execute_script(opened) == ["0", "3"]
    finally:
        browser.get(before)
        browser.execute_async_script("ready.then(() => unpackDetails(0)).then(arguments[0])")


def test_curves_of_accuracy_memory_and_time_are_drawn(page):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 20).until(lambda page: len(css(page, ".chart svg")) == 3)
    titles = [title.text for title in css(page, "#curves h2")]
    assert titles == ["Accuracy over length", "Memory over length", "Time over length"]
