"""A browser that is logged in to Airflow, for the pictures of the documentation and for tests.

It is the Chromium of the machine, driven by Playwright.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0
"""How long a page may take to show what is expected."""


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
            self.problems.append(f"{message.text} {message.location.get('url', '')}")

    def open(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(path)
        return self.page

    def close(self) -> None:
        """Close the browser of the user."""
        self.context.close()
