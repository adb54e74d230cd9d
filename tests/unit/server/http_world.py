"""A listener in a thread of its own, with a clock that tests turn, and raw clients."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager

import uvloop

from mintmark.server.limits import Limits
from mintmark.server.listener import Endpoint, Listener, bind
from mintmark.wire.http import Response

NOW = 1_795_000_000.0


def get(path="/", *lines, version="1.1"):
    return message("GET", path, *lines, version=version)


def message(method, path, *lines, body=b"", version="1.1"):
    head = "\r\n".join((f"{method} {path} HTTP/{version}", "Host: a", *lines, "", ""))
    return head.encode("latin-1") + body


class Client:
    """A socket that says whatever a test wants."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(5)
        self._read = b""

    def send(self, *pieces):
        for piece in pieces:
            self.sock.sendall(piece)
        return self

    def answer(self, *, head_only=False):
        """Return status, headers and body of the next answer."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = 0 if head_only else int(headers.get("Content-Length", 0))
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return int(status.split()[1]), headers, body

    def _more(self):
        data = self.sock.recv(65536)
        assert data, f"closed after {self._read!r}"
        self._read += data

    def is_closed(self):
        """Whether the server ends the connection, with nothing more said."""
        try:
            return self._read == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.sock.close()


class World:
    """A running listener."""

    def __init__(self, app, limits, tls, encoded_slash):
        self.seconds = 1000.0
        (self.socket,) = bind("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.loop = uvloop.new_event_loop()
        endpoint = Endpoint([self.socket], app, tls, limits, encoded_slash)
        self.listener = Listener(
            endpoint, lambda: NOW, lambda size: b"\x11" * size, monotonic=lambda: self.seconds
        )
        self.connections = self.listener.connections
        self.clients = []
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.run(self.listener.start())

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def call(self, function, *arguments):
        async def within():
            return function(*arguments)

        return self.run(within())

    def advance(self, seconds):
        """Let time pass, and the sweep see it."""
        self.seconds += seconds
        self.call(self.connections.sweep)

    def sock(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def client(self, *pieces):
        client = Client(self.sock())
        self.clients.append(client)
        return client.send(*pieces)

    def until(self, fact):
        """Wait until the loop has seen to it that `fact()` holds."""
        for _ in range(500):
            if self.call(fact):
                return
            self.run(asyncio.sleep(0.002))
        raise AssertionError("it does not come true")

    def stop(self):
        for client in self.clients:
            client.close()
        self.run(self.listener.stop(0.05))
        self.call(self.loop.stop)
        self._thread.join()
        self.loop.close()


def echo(request):
    """Answer with what was asked."""
    return Response(200, f"{request.method} {request.path}".encode() + request.body, "text/plain")


def reset(client):
    """Leave without a word."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


@contextmanager
def serving(app=echo, *, tls=None, encoded_slash=False, **limits):
    world = World(app, Limits(**limits), tls, encoded_slash)
    try:
        yield world
    finally:
        world.stop()
