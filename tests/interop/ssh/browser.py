"""A browser for the forms of the npm package oidc-provider: `browser.py USER URL`.

It follows redirects, fills in who signs in, and agrees to everything; it runs as a program.
"""

from __future__ import annotations

import html.parser
import http.cookiejar
import sys
import urllib.error
import urllib.request
from urllib.parse import urlencode, urljoin

_STEPS = 20


class _Form(html.parser.HTMLParser):
    """The first form of a page: where it goes, and what it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "form" and self.action is None:
            self.action = found.get("action")
        elif tag == "input" and found.get("name"):
            self.fields[str(found["name"])] = found.get("value") or ""


def browse(user: str, url: str) -> str:
    """Sign in, starting at a URL, and return the last page."""
    browser = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
    )
    data: bytes | None = None
    for _ in range(_STEPS):
        with browser.open(url, data, timeout=10) as answer:
            url, page = answer.url, answer.read().decode()
        form = _Form()
        form.feed(page)
        if form.action is None:
            return page
        for name, value in (("login", user), ("password", "any")):
            if name in form.fields:
                form.fields[name] = value
        url, data = urljoin(url, form.action), urlencode(form.fields).encode()
    raise RuntimeError("the sign-in has no end")


if __name__ == "__main__":
    browse(*sys.argv[1:3])
