"""A real DNS server on loopback, UDP and TCP, that says whatever a test wants.

It answers from a dictionary and follows aliases as a recursive resolver does. Names can be made
slow, silent, truncated over UDP, refused with any response code, or answered with raw octets.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

TTL = 60


class DNSServer:
    """The server; its dictionaries may change while it runs.

    `records` by (name, kind), `rcodes` by name, `raw` by name: octets in place of an answer;
    `silent` and `truncated` (over UDP) are sets of names. `recursive` says whether aliases are
    followed. `queries` remembers what was asked: (name, kind, "udp" or "tcp").
    """

    def __init__(self, host="127.0.0.1"):
        self.records: dict[tuple[str, str], list[dns.rdata.Rdata]] = {}
        self.rcodes: dict[str, str] = {}
        self.raw: dict[str, Callable[[bytes, bool], bytes]] = {}
        self.silent: set[str] = set()
        self.truncated: set[str] = set()
        self.recursive = True
        self.queries: list[tuple[str, str, str]] = []
        self.host = host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.port = self._run(self._start())

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def add(self, name, kind, *values):
        """Add records; TXT values are octets, or lists of octets for several strings."""
        for value in values:
            if kind == "TXT":
                strings = value if isinstance(value, list) else _split(value)
                txt = dns.rdata.get_rdata_class(dns.rdataclass.IN, dns.rdatatype.TXT)
                rdata = txt(dns.rdataclass.IN, dns.rdatatype.TXT, strings)
            else:
                rdata = dns.rdata.from_text("IN", kind, value)
            self.records.setdefault((name.lower(), kind), []).append(rdata)

    def remove(self, name, kind):
        self.records.pop((name.lower(), kind), None)

    def close(self):
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def answer(self, wire, tcp):
        """Return the octets that answer a query, or None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, kind, "tcp" if tcp else "udp"))
        if name in self.silent:
            return None
        if name in self.raw:
            return self.raw[name](wire, tcp)
        reply = dns.message.make_response(query, recursion_available=self.recursive)
        if name in self.rcodes:
            reply.set_rcode(dns.rcode.from_text(self.rcodes[name]))
        else:
            self._fill(reply, name, kind)
        octets = reply.to_wire(max_size=65535)
        if not tcp and (len(octets) > 512 or name in self.truncated):
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            octets = reply.to_wire()
        return octets

    def _fill(self, reply, name, kind):
        for _ in range(12):  # a loop is answered as servers do: with a part of it
            found = self.records.get((name, kind))
            alias = self.records.get((name, "CNAME"))
            if found or not alias:
                break
            reply.answer.append(dns.rrset.from_rdata(f"{name}.", TTL, *alias))
            name = alias[0].target.to_text(omit_final_dot=True).lower()
            if not self.recursive:
                return
        if found:
            reply.answer.append(dns.rrset.from_rdata(f"{name}.", TTL, *found))
        elif not any(known == name for known, _ in self.records):
            reply.set_rcode(dns.rcode.NXDOMAIN)

    def call(self, coroutine_function):
        """Run one of the server's own coroutines in its loop."""
        self._run(coroutine_function())

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self):
        self._tcp = await asyncio.start_server(self._serve, self.host, 0)
        port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await self._loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(self.host, port)
        )
        return port

    async def stop_tcp(self):
        self._tcp.close()
        await self._tcp.wait_closed()

    async def _stop(self):
        self._udp.close()
        await self.stop_tcp()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader, writer):
        try:
            size = int.from_bytes(await reader.readexactly(2))
            octets = self.answer(await reader.readexactly(size), tcp=True)
            if octets is None:
                await reader.read()
            else:
                writer.write(len(octets).to_bytes(2) + octets)
                await writer.drain()
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server):
        self._server = server

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, addr):
        octets = self._server.answer(data, tcp=False)
        if octets is not None:
            self._transport.sendto(octets, addr)


def _split(octets):
    return [octets[start : start + 255] for start in range(0, len(octets), 255)] or [b""]


@contextmanager
def dns_server(host="127.0.0.1"):
    server = DNSServer(host)
    try:
        yield server
    finally:
        server.close()
