"""What all pages have in common: their templates, their headers, and times in words."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from xray.errors import TransientError, XrayError

FILES = Path(__file__).with_name("files")
"""The templates, the style sheets and the scripts."""
STATIC = (
    *("page.css", "cases.css", "case.css"),
    *("cases.svg", "cases-dark.svg"),
    *("page.js", "live.js", "boxes.js"),
    *("case.js", "cases.js", "dead_letters.js", "start.js", "waiting.js"),
)
"""The files that are served as they are."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TEMPLATES = Environment(
    loader=FileSystemLoader(FILES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def page(template: str, status: int, **values: Any) -> HTMLResponse:
    """Return a page.

    Args:
        template: the name of its template.
        status: of the answer.
        values: for the template. ``root`` leads from the address of the page to that of the app.
    """
    values.setdefault("root", "")
    return HTMLResponse(_TEMPLATES.get_template(template).render(values), status, HEADERS)


def status_of(error: XrayError) -> int:
    """Return the HTTP status of an answer that a failure keeps from its user."""
    return 503 if isinstance(error, TransientError) else 500


def in_words(time: timedelta) -> str:
    """Return a span of time with its two largest units, such as ``2 d 4 h``."""
    minutes = max(0, int(time.total_seconds() // 60))
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
