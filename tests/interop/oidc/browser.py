"""A browser in one file: it signs a person in at the provider of the tests.

As a program: browser.py PERSON URL. It follows redirects, fills in the provider's forms, and
ends where the provider sends it when all is done.
"""

from __future__ import annotations

import re
import sys
from urllib.parse import urljoin, urlsplit

import httpx

_FORM = re.compile(r'<form[^>]*action="([^"]+)"')
_HIDDEN = re.compile(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"')
_STEPS = 20


def sign_in(person: str, url: str) -> httpx.Response:
    """Sign in, and return the last page."""
    provider = urlsplit(url).netloc
    with httpx.Client(trust_env=False, timeout=10) as client:
        page = client.get(url)
        for _ in range(_STEPS):
            if page.is_redirect:
                page = client.get(urljoin(str(page.url), page.headers["location"]))
                continue
            form = _FORM.search(page.text)
            if form is None or page.url.netloc.decode() != provider:
                return page
            data = dict(_HIDDEN.findall(page.text))
            if 'name="login"' in page.text:
                data |= {"login": person, "password": "any"}
            page = client.post(urljoin(str(page.url), form[1]), data=data)
    raise RuntimeError(f"no end of forms at {page.url}")


if __name__ == "__main__":
    print(sign_in(*sys.argv[1:3]).text)  # noqa: T201 - what the person sees
