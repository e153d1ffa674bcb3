"""A browser that is logged in to Airflow, and that keeps what goes wrong in its pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0
"""How long a page may take to show what is expected."""
_GRAVE = ("serious", "critical")


def program() -> str | None:
    """Return the path of Chromium; None if this machine has none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


class Visitor:
    """A user of Airflow with a browser of one's own.

    Args:
        browser: the browser.
        url: of Airflow.
        name, password: the login.
        options: of the browser's context, such as ``color_scheme`` or ``viewport``.
    """

    def __init__(
        self, browser: Browser, url: str, name: str, password: str, **options: Any
    ) -> None:
        self.context: BrowserContext = browser.new_context(base_url=url, **options)
        self.context.set_default_timeout(1000 * SECONDS)
        self.page: Page = self.context.new_page()
        self.problems: list[str] = []
        """Errors of scripts, errors on the console, and violations of the content policy."""
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._keep)
        self.page.goto("/auth/login/")
        self.page.fill("input[name=username]", name)
        self.page.fill("input[name=password]", password)
        self.page.press("input[name=password]", "Enter")
        self.page.wait_for_url(lambda address: "/login" not in address)
        self.problems.clear()  # Those of Airflow's own page.

    def _keep(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)

    def open(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(path)
        return self.page

    def grave_faults(self) -> list[str]:
        """Return the serious faults of the page's accessibility."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {node['html'][:200]}"
            for one in found
            if one["impact"] in _GRAVE
            for node in one["nodes"]
        ]

    def is_wider_than_the_screen(self) -> bool:
        """Return whether the page has to be scrolled to the side."""
        script = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.page.evaluate(script))

    def close(self) -> None:
        """Close the browser of the user."""
        self.context.close()
