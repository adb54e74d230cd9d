"""A response of a protocol, read as a client reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mintmark.wire.http import Response


@dataclass(frozen=True)
class Reply:
    """A response, read."""

    response: Response

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.response.headers}

    @property
    def body(self) -> bytes:
        return self.response.body

    @property
    def json(self) -> Any:
        return json.loads(self.response.body)

    def problem_of_type(self, type: str) -> dict[str, Any]:  # noqa: A002 - RFC 9457's word
        """Assert that this is a problem of a type, and return it."""
        assert self.response.content_type == "application/problem+json", self.body
        problem = self.json
        assert problem["type"] == type, problem
        assert problem["status"] == self.status
        assert problem["detail"]
        return problem
