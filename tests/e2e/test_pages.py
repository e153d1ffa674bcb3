"""The pages in a browser, on all of Airflow: what people see, do, and may not do."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from include.demo import run
from include.demo.api import Api
from include.demo.browser import SECONDS, Visitor, chromium, program
from include.demo.letter import letter
from include.demo.stack import Stack
from include.demo.verification import BUCKET, expected_results
from tests.support.accessibility import grave_faults, is_wider_than_the_screen
from tests.support.stacks import running
from xray.settings import Settings

expect.set_options(timeout=1000 * SECONDS)
LONG = 4000 * SECONDS
"""Milliseconds for what several tasks have to do."""
ROWS = "table.cases tbody tr"
PAGES = ("cases", "waiting", "dead-letters", "start")


@pytest.fixture(scope="module")
def browser(real: bool) -> Iterator[Browser]:
    """Start the browser."""
    if program() is None:
        if real:
            pytest.fail("Chromium is not installed: apt-get install chromium")
        pytest.skip("Chromium is not installed on this machine")
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def stack(
    browser: Browser, real: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Start the stack, with a user who may only look and one who may act, if there is a browser."""
    users = {"viewer": "viewer", "radiologist": "user"}
    with running(tmp_path_factory.mktemp("pages"), real=real, users=users) as stack:
        yield stack


@pytest.fixture(scope="module")
def radiologists_browser(browser: Browser, stack: Stack) -> Iterator[Visitor]:
    visitor = Visitor(browser, stack.url, "radiologist", stack.password)
    yield visitor
    visitor.close()


@pytest.fixture
def radiologist(radiologists_browser: Visitor) -> Iterator[Visitor]:
    """A user who may see images and act on cases; no page of it may have a problem."""
    yield radiologists_browser
    assert radiologists_browser.problems == []


def upload(stack: Stack, key: str, content: bytes) -> None:
    """Upload an image, which the store announces."""
    stack.s3.put_object(Bucket=BUCKET, Key=key, Body=content)


def start_with(page: Page, **settings: str) -> None:
    """Start a new case with other settings, on the page of a case, and wait for its page."""
    before = page.url
    page.get_by_text("With other settings").click()
    for name, value in settings.items():
        field = page.locator(f".settings [name={name}]")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    page.get_by_role("button", name="Start the new case").click()
    page.wait_for_url(lambda address: address != before)


def loaded(image: Locator) -> Locator:
    """Wait until a picture is shown, and return it."""
    expect(image).not_to_have_js_property("naturalWidth", 0)
    return image


def open_first(page: Page) -> None:
    """Open the page of the first case of the list."""
    page.locator(f"{ROWS} th a").first.click()
    page.wait_for_url(re.compile("/cases/[0-9a-f]{32}$"))


def all_loaded(page: Page) -> None:
    """Wait until all pictures of a page are shown."""
    for image in page.locator(".pictures img").all():
        loaded(image)


def test_the_cases_of_the_demo_appear_while_they_run(stack: Stack, radiologist: Visitor) -> None:
    page = radiologist.open("/xray/cases")
    expect(page.get_by_text("There are no cases yet.")).to_be_visible()
    run.upload(stack, expected_results(run.IMAGES, Settings()))
    expect(page.locator(ROWS)).to_have_count(16)
    expect(page.locator(f"{ROWS}.running").first).to_be_visible()
    expect(page.locator(f"{ROWS}.finished")).to_have_count(16, timeout=LONG)
    expect(page.locator(".thumb img")).to_have_count(16)
    page.locator(".thumb img").first.scroll_into_view_if_needed()
    loaded(page.locator(".thumb img").first)


def test_the_list_is_filtered_and_searched(stack: Stack, radiologist: Visitor) -> None:
    page = radiologist.open("/xray/cases")
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Label").select_option("Pneumonia")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("label=Pneumonia"))
    shown = page.locator(ROWS).count()
    assert 0 < shown < 16
    assert set(page.locator(f"{ROWS} .label").all_text_contents()) == {"Pneumonia"}
    key = expected_results(run.IMAGES, Settings())[0].key
    patient = re.search(r"_(\d+)_", key)
    assert patient
    for by, text in (("object", key), ("patient", patient[1])):
        page.get_by_label("Find by").select_option(by)
        page.get_by_label("Key or patient").fill(text)
        page.get_by_role("button", name="Find").click()
        page.wait_for_url(re.compile(rf"\?{by}=[0-9a-f]{{32}}$"))
        expect(page.locator(ROWS)).to_have_count(1)
        assert text not in page.url


def test_a_case_shows_its_pictures_side_by_side_and_enlarged(radiologist: Visitor) -> None:
    page = radiologist.open("/xray/cases?decision=published%20and%20anonymised")
    open_first(page)
    captions = page.locator(".pictures figcaption")
    expect(captions).to_have_text(["Original", "Annotated", "Anonymised"])
    all_loaded(page)
    page.get_by_role("button", name="Original: enlarge").click()
    viewer = page.get_by_role("dialog", name="Original")
    image = loaded(viewer.locator("img"))
    width = image.bounding_box()["width"]  # type: ignore[index]
    viewer.get_by_role("button", name="1 : 1").click()
    natural = image.evaluate("image => image.naturalWidth")
    assert image.bounding_box()["width"] == pytest.approx(natural, abs=2)  # type: ignore[index]
    viewer.get_by_role("button", name="Larger").click()
    assert image.bounding_box()["width"] > natural  # type: ignore[index]
    page.keyboard.press("0")
    assert image.bounding_box()["width"] == pytest.approx(width, abs=2)  # type: ignore[index]
    with page.expect_response(re.compile("/original/stretched$")) as stretched:
        viewer.get_by_role("button", name="Greys stretched").click()
    assert stretched.value.ok
    page.keyboard.press("Escape")
    expect(viewer).to_be_hidden()


def test_the_audit_log_names_who_has_seen_an_image(radiologist: Visitor, api: Api) -> None:
    case_id = radiologist.page.url.rpartition("/")[2]
    entries = api.all("/eventLogs", "event_logs", event="xray_view")
    seen = {one["extra"] for one in entries if one["owner"] == "radiologist"}
    for picture in ("original", "annotated", "anonymised", "thumbnail"):
        assert f'{{"case_id": "{case_id}", "picture": "{picture}"}}' in seen


def test_a_case_is_run_again_from_a_step(radiologist: Visitor, api: Api) -> None:
    page = radiologist.open("/xray/cases?decision=published")
    open_first(page)
    case_id = page.url.rpartition("/")[2]
    page.get_by_label("From step").select_option("annotate")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator(".trail li")).to_have_count(2)
    expect(page.locator(".trail li").nth(1)).to_contain_text("Run again by radiologist.")
    (cleared,) = api.all(
        "/eventLogs", "event_logs", run_id=f"xray__{case_id}", event="post_clear_task_instances"
    )
    assert cleared["owner"] == "radiologist"


def test_a_case_is_run_again_with_other_settings(radiologist: Visitor) -> None:
    page = radiologist.open("/xray/cases?decision=published&label=Normal")
    open_first(page)
    start_with(page, anonymize="always")
    expect(page.locator(".pictures figcaption").nth(2)).to_have_text("Anonymised")
    all_loaded(page)
    expect(page.locator(".trail")).to_contain_text("Started by radiologist.")


def test_an_unsure_case_is_reviewed(radiologist: Visitor) -> None:
    page = radiologist.open("/xray/cases?decision=published&label=Normal")
    open_first(page)
    start_with(page, normal_below="0", pneumonia_above="1", review_unsure="true")
    decision = page.get_by_role("region", name="Review: which is it?")
    expect(decision).to_be_visible()
    decision.get_by_role("button", name="Pneumonia").click()
    expect(page.locator(".verdict .label")).to_have_text("Pneumonia", timeout=LONG)
    trail = page.locator(".trail")
    expect(trail).to_contain_text("radiologist chose 'Pneumonia'")
    expect(trail).to_contain_text("The annotated and the anonymised image were published.")


def test_a_quarantined_image_is_released_with_a_drawn_box(
    stack: Stack, radiologist: Visitor
) -> None:
    upload(stack, "letter.png", letter())
    page = radiologist.open("/xray/cases")
    expect(page.locator(f"{ROWS}.finished .label.unsure").first).to_be_visible()
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("Key or patient").fill("letter.png")
    page.get_by_role("button", name="Find").click()
    page.wait_for_url(re.compile(r"\?object="))
    open_first(page)
    start_with(page, anonymize="always")
    decision = page.get_by_role("region", name=re.compile("^Release:"))
    release = decision.get_by_role("button", name="Mask and release")
    expect(release).to_be_enabled()  # The script is there, which draws the boxes.
    page.wait_for_load_state()  # Until then, a page that was reloaded may scroll back.
    picture = decision.get_by_alt_text("The image in quarantine")
    loaded(picture).evaluate("image => image.scrollIntoView({ block: 'center' })")
    place = picture.bounding_box()
    assert place
    page.mouse.move(place["x"] + 1, place["y"] + 1)
    page.mouse.down()
    page.mouse.move(place["x"] + 100, place["y"] + 100)
    page.mouse.move(place["x"] + place["width"] + 9, place["y"] + place["height"] - 10)
    page.mouse.up()
    sides = [int(field.input_value()) for field in decision.locator(".box-list input").all()]
    assert sides == pytest.approx([1, 1, 500, 390], abs=2)
    release.click()
    expect(page.locator(".trail")).to_contain_text(
        "radiologist chose 'Mask and release' with 1 box masked.", timeout=LONG
    )
    expect(page.locator(".pictures figcaption").nth(2)).to_have_text("Anonymised")


def test_a_case_is_started_from_the_listing_of_the_bucket(
    stack: Stack, radiologist: Visitor
) -> None:
    content = run.IMAGES.rglob("*.jpeg").__next__().read_bytes()
    upload(stack, "ward 7/first.jpeg", content)
    page = radiologist.open("/xray/start")
    page.get_by_role("button", name="ward 7/").click()
    page.get_by_role("checkbox", name="Choose first.jpeg").check()
    page.get_by_role("button", name="Start the chosen").click()
    expect(page.get_by_text("1 case was started.")).to_be_visible()
    page.get_by_role("link", name="See the case").click()
    expect(page.locator(".summary")).to_contain_text("from backfill")
    expect(page.locator(".trail")).to_contain_text("Started by radiologist.")


def test_the_tab_of_a_run_shows_its_case(stack: Stack, radiologist: Visitor, api: Api) -> None:
    *_, newest = api.all("/dags/xray_case/dagRuns", "dag_runs")
    page = radiologist.open(f"/dags/xray_case/runs/{newest['dag_run_id']}/plugin/case")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name=re.compile("^Case "))).to_be_visible()
    # The script of the page is there: it opens links outside of the frame.
    expect(frame.get_by_role("button", name="Run again")).to_be_enabled()
    frame.get_by_role("link", name="The run in Airflow").click()
    expect(page).to_have_url(re.compile(rf"/dags/xray_case/runs/{newest['dag_run_id']}$"))
    radiologist.problems.clear()  # Those of Airflow's own pages.


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1300, 390])
def test_the_pages_are_accessible_and_fit(
    browser: Browser, stack: Stack, api: Api, scheme: Any, width: int
) -> None:
    viewport: Any = {"width": width, "height": 900}
    visitor = Visitor(
        browser, stack.url, "admin", stack.password, color_scheme=scheme, viewport=viewport
    )
    (first, *_) = api.all("/dags/xray_case/dagRuns", "dag_runs")
    case = f"cases/{first['dag_run_id'].removeprefix('xray__')}"
    for path in (*PAGES, case):
        visitor.open(f"/xray/{path}").wait_for_load_state("networkidle")
        assert grave_faults(visitor.page) == [], path
        assert not is_wider_than_the_screen(visitor.page), path
    assert visitor.problems == []
    visitor.close()


def test_a_viewer_sees_neither_images_nor_names(browser: Browser, stack: Stack, api: Api) -> None:
    viewer = Visitor(browser, stack.url, "viewer", stack.password)
    page = viewer.open("/xray/cases?decision=published%20and%20anonymised")
    expect(page.locator(ROWS).first).to_be_visible()
    assert page.locator("img").count() == 0
    open_first(page)
    expect(page.get_by_text("You may not see the images of this case")).to_be_visible()
    assert page.locator("main img").count() == 0
    assert page.get_by_role("button", name="Run again").count() == 0
    case = page.url
    for picture in ("original", "annotated", "anonymised"):
        assert page.request.get(f"{case}/pictures/{picture}/full").status == 403
    assert page.request.get(f"{stack.url}/xray/start").status == 403
    assert viewer.problems == []
    viewer.close()


@contextmanager
def another_site() -> Iterator[str]:
    """Serve an empty page of another site, and give its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Another site</title>")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_a_forged_rerun_is_refused(browser: Browser, stack: Stack, api: Api) -> None:
    visitor = Visitor(browser, stack.url, "admin", stack.password)
    (first, *_) = api.all("/dags/xray_case/dagRuns", "dag_runs")
    run_id = first["dag_run_id"]
    runs = len(api.all("/dags/xray_case/dagRuns", "dag_runs"))

    def tries() -> list[tuple[Any, ...]]:
        path = f"/dags/xray_case/dagRuns/{run_id}/taskInstances"
        names = ("task_id", "try_number", "state")
        return [tuple(one[name] for name in names) for one in api.get(path)["task_instances"]]

    before = tries()
    forged = {
        f"/xray/cases/{run_id.removeprefix('xray__')}/again": "{}",
        "/xray/start/backfill": "{}",
        f"/api/v2/dags/xray_case/dagRuns/{run_id}/clear": '{"dry_run": false}',
        "/api/v2/dags/xray_case/dagRuns": '{"logical_date": null, "conf": {}}',
    }
    script = """async ([address, body]) => {
        const login = { method: "POST", mode: "no-cors", credentials: "include", body };
        await fetch(address, login);
    }"""
    with another_site() as site:
        visitor.open(site)
        for path, body in forged.items():
            # The login goes with the request, because the port does not matter to a cookie:
            # otherwise the answer would be 401.
            with visitor.page.expect_response(f"{stack.url}{path}") as answer:
                visitor.page.evaluate(script, [f"{stack.url}{path}", body])
            assert answer.value.status >= 400, path
            assert answer.value.status != 401, path
    assert len(api.all("/dags/xray_case/dagRuns", "dag_runs")) == runs
    assert api.get(f"/dags/xray_case/dagRuns/{run_id}")["state"] == first["state"]
    assert tries() == before
    visitor.close()
