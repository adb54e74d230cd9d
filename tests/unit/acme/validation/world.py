"""Servers of a name's holder, good and hostile, and validations of them."""

from __future__ import annotations

import asyncio
import inspect

from mintmark.model.provisioner import ChallengeType
from mintmark.protocol.acme.validation.outcome import Failed, Validated
from mintmark.protocol.acme.validation.settings import ValidationSettings
from mintmark.protocol.acme.validation.validator import Validator
from mintmark.wire.identifiers import parse_any

NOW = 1_795_000_000.0
TOKEN = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"  # RFC 7638 §3.1
KEY_AUTHORIZATION = f"{TOKEN}.{THUMBPRINT}".encode()
ACCOUNT = "https://ca.example.internal:8443/acme/acme/account/abc"
PATH = f"/.well-known/acme-challenge/{TOKEN}"


def response(body=KEY_AUTHORIZATION, status=200, *headers):
    """Return an HTTP response as octets."""
    lines = (f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def redirect(location, status=302):
    return response(b"", status, f"Location: {location}")


class World:
    def __init__(self, run, dns):
        self.run = run
        self.dns = dns
        self.heads = []
        self._servers = []

    def web(self, *answers, host="127.0.0.1", port=0, tls=None):
        """Start a web server that gives these answers, the last one again and again.

        An answer is octets, a function of the request's head, or a coroutine function of reader
        and writer. Returns its port.
        """
        left = list(answers)

        async def serve(reader, writer):
            try:
                answer = left.pop(0) if len(left) > 1 else left[0]
                if inspect.iscoroutinefunction(answer):
                    await answer(reader, writer)
                else:
                    head = (await reader.readuntil(b"\r\n\r\n")).decode()
                    self.heads.append(head)
                    writer.write(answer(head) if callable(answer) else answer)
                    await writer.drain()
            except (OSError, EOFError):
                pass
            finally:
                writer.transport.close()

        async def start():
            return await asyncio.start_server(serve, host, port, ssl=tls)

        server = self.run(start())
        self._servers.append(server)
        return server.sockets[0].getsockname()[1]

    def settings(self, **settings):
        defaults = {"resolvers": (self.dns.address,), "timeout": 5.0, "dns_try": 0.5}
        return ValidationSettings(**(defaults | settings))

    def check(self, challenge, name, *, wildcard=False, token=TOKEN, former=(), **settings):
        """Validate, and return what came out."""
        validator = Validator(self.settings(**settings), lambda: NOW)

        async def within():
            return await validator.validate(
                ChallengeType(challenge),
                parse_any(name),
                wildcard,
                token,
                THUMBPRINT,
                ACCOUNT,
                former,
            )

        return self.run(within())

    def http(self, port, name="a.example.internal", **settings):
        return self.check("http-01", name, http_port=port, **settings)

    def close(self):
        async def stop():
            for server in self._servers:
                server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(stop())


def assert_failed(outcome, kind, *parts):
    """The outcome is a failure of this type, one line whose detail has these parts."""
    assert isinstance(outcome, Failed), outcome
    assert outcome.kind == kind, outcome
    assert "\n" not in outcome.detail
    assert "\r" not in outcome.detail
    for part in parts:
        assert part in outcome.detail, outcome.detail


def assert_validated(outcome):
    assert isinstance(outcome, Validated), outcome
