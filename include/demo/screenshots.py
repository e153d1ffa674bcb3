"""Takes the pictures of the pages for the documentation: ``python -m include.demo.screenshots``.

It starts the embedded stack, lets it process the demo's images and an image whose text cannot be
removed, and writes the pictures to ``docs/pictures``. It needs Chromium.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from include.demo import run
from include.demo.browser import SECONDS, Visitor, chromium, program
from include.demo.letter import letter
from include.demo.stack import Stack
from include.demo.verification import BUCKET, expected_results
from xray.settings import Settings

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
HOME = Path(__file__).parents[2] / ".airflow"
SIZE = (1280, 860)
"""Width and height of the window, in pixels."""
ROWS = "table.cases tbody tr"
LETTER = "letter.png"


def main() -> int:
    """Run the command."""
    if program() is None:
        sys.stderr.write("Chromium is not installed on this machine.\n")
        return 1
    expect.set_options(timeout=1000 * SECONDS)
    settings = {"AIRFLOW_VAR_XRAY_SETTINGS": '{"anonymize": "always"}'}
    stack = Stack(home=HOME, airflow_settings=settings)
    with stack, chromium() as browser:
        run.upload(stack, expected_results(run.IMAGES, Settings()))
        stack.s3.put_object(Bucket=BUCKET, Key=LETTER, Body=letter())
        stack.s3.put_object(Bucket=BUCKET, Key="notes.txt", Body=b"This is no image.")
        _take(browser, stack)
    return 0


def _take(browser: Browser, stack: Stack) -> None:
    """Take all pictures."""
    window = {"width": SIZE[0], "height": SIZE[1]}
    for scheme in ("light", "dark"):
        visitor = Visitor(
            browser,
            stack.url,
            stack.user,
            stack.password,
            color_scheme=scheme,
            viewport=window,
        )
        page = visitor.open("/xray/cases")
        expect(page.locator(f"{ROWS}.finished")).to_have_count(17, timeout=10_000 * SECONDS)
        expect(page.locator(f"{ROWS}.failed")).to_have_count(1)
        _loaded(page, ".thumb img")
        _save(page, f"cases-{scheme}")
        visitor.open("/xray/cases?decision=published%20and%20anonymised&label=Pneumonia")
        _open_first(page)
        _loaded(page, ".pictures img")
        _save(page, f"case-{scheme}")
        if scheme == "light":
            _take_in_airflow(visitor)
        visitor.close()


def _take_in_airflow(visitor: Visitor) -> None:
    """Take the pictures of what is there in one colour scheme alone."""
    page = visitor.open("/xray/cases?waits=release")
    _open_first(page)
    picture = page.locator(".canvas img")
    _loaded(page, ".canvas img")
    picture.evaluate("image => image.scrollIntoView({ block: 'center' })")
    place = picture.bounding_box()
    assert place
    for top, bottom in ((0.01, 0.2), (0.3, 0.5)):
        page.mouse.move(place["x"] + 5, place["y"] + top * place["height"])
        page.mouse.down()
        page.mouse.move(place["x"] + 0.8 * place["width"], place["y"] + bottom * place["height"])
        page.mouse.up()
    # A turn of the mouse wheel takes effect later, and the picture showed a part of its way.
    page.evaluate("window.scrollTo({ top: 0, behavior: 'instant' })")
    _save(page, "release-boxes")
    visitor.open("/xray/cases?state=failed")
    run_id = f"xray__{page.locator(f'{ROWS} th a').get_attribute('title')}"
    visitor.open(f"/dags/xray_case/runs/{run_id}/plugin/case")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name=re.compile("^Case "))).to_be_visible()
    page.wait_for_load_state("networkidle")
    _save(page, "failed-case")
    _take_form(visitor)


def _take_form(visitor: Visitor) -> None:
    """Take the picture of the settings in the form of a new run."""
    page = visitor.open("/dags/xray_case")
    page.set_viewport_size({"width": 900, "height": 640})
    page.get_by_role("button", name=re.compile("^Trigger")).first.click()
    section = page.get_by_role("button", name=re.compile("^Settings of this case"))
    section.click()
    expect(page.get_by_text("below which an image is labelled Normal")).to_be_visible()
    section.evaluate("section => section.scrollIntoView()")
    _save(page, "settings")


def _open_first(page: Page) -> None:
    """Open the page of the first case of the list."""
    page.locator(f"{ROWS} th a").first.click()
    page.wait_for_url(re.compile("/cases/[0-9a-f]{32}$"))


def _loaded(page: Page, pictures: str) -> None:
    """Wait until the pictures in the window are there; those below it are loaded later."""
    expect(page.locator(pictures).first).to_be_visible()
    for picture in page.locator(pictures).all():
        place = picture.bounding_box()
        if place and place["y"] < SIZE[1]:
            expect(picture).not_to_have_js_property("naturalWidth", 0)
    page.wait_for_load_state("networkidle")


def _save(page: Page, name: str) -> None:
    path = FOLDER / f"{name}.png"
    page.screenshot(path=path)
    image = Image.open(path)
    image.quantize(128).save(path, optimize=True)
    sys.stdout.write(f"{path.relative_to(FOLDER.parents[1])}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
