"""Refuses requests that a page of another site sends with the login of its visitor."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow.configuration import conf
from fastapi import HTTPException, Request

HEADER, VALUE = "X-Requested-With", "xray"
"""The header that a form or a link cannot send, and a script of another site only if it may."""


def from_our_page(request: Request) -> None:
    """Let only a request of our own page pass.

    Browsers send ``Sec-Fetch-Site`` over https and to the own machine, and ``Origin`` always.

    Raises:
        HTTPException: 403 if the header is missing, or the request comes from another site.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    ours = request.headers.get(HEADER) == VALUE
    if site is not None:
        ours &= site == "same-origin"
    elif origin is not None:
        # A proxy may hide from this server which host the browser has asked for.
        base = urlsplit(conf.get("api", "base_url", fallback="")).netloc
        ours &= urlsplit(origin).netloc in {request.headers.get("host"), base} - {""}
    if not ours:
        raise HTTPException(403, "Only a page of this package may ask for this.")
