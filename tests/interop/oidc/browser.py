"""A browser in one file: it signs a person in at the provider of the tests.

As a program: browser.py PERSON ROOT URL. It follows redirects, fills in who signs in, agrees to
everything, and ends at the first page without a form.
"""

from __future__ import annotations

import html.parser
import http.cookiejar
import ssl
import sys
import urllib.request
from pathlib import Path
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


def sign_in(person: str, root: Path | str, url: str) -> str:
    """Sign in, starting at a URL, and return the last page.

    Args:
        person: who signs in, as the provider calls them.
        root: file of the only root that is trusted.
        url: where to begin.
    """
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=root)),
    )
    data: bytes | None = None
    for _ in range(_STEPS):
        with opener.open(url, data, timeout=10) as answer:
            url, page = answer.url, answer.read().decode()
        form = _Form()
        form.feed(page)
        if form.action is None:
            return page
        for name, value in (("login", person), ("password", "any")):
            if name in form.fields:
                form.fields[name] = value
        url, data = urljoin(url, form.action), urlencode(form.fields).encode()
    raise RuntimeError(f"the sign-in at {url} has no end")


if __name__ == "__main__":
    print(sign_in(*sys.argv[1:4]))  # noqa: T201 - what the person sees
