"""Faults of a page that keep people from using it."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = ("serious", "critical")


def grave_faults(page: Page) -> list[str]:
    """The serious faults of a page's accessibility, each with the element that has it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in _GRAVE
        for node in one["nodes"]
    ]


def is_wider_than_the_screen(page: Page) -> bool:
    """Whether a page has to be scrolled to the side."""
    script = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    return bool(page.evaluate(script))
