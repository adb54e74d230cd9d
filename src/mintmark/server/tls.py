"""TLS under a connection, and server certificates that change while connections live.

Client certificates are asked for and not demanded: whoever shows none is anonymous, and each
route says whom it serves. One that is shown must verify (RFC 5280 §6.1) against the trust
anchors and be good for client authentication, or the handshake fails: the client reads the
alert `certificate_expired`, `unknown_ca` or `unsupported_certificate` (RFC 8446 §6.2), under
TLS 1.3 not while connecting but with its first read. Whether it was revoked is asked per
request, of the store.

The handshake is driven here and not by the event loop, for three reasons (ADR 0002): a
connection too many is closed before it costs a handshake, a stalled handshake has the same
kind of deadline as everything else, and it costs less.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mintmark.model.errors import Error, Kind
from mintmark.server.connection import (
    CLOSING,
    HANDSHAKE,
    LINGERING,
    Connection,
)
from mintmark.server.connections import Connections, log
from mintmark.server.responses import CLOSE, refusal
from mintmark.wire.http import Peer

# Forward secrecy and AEAD only (RFC 9325 §4.2); TLS 1.3 has nothing else.
_TLS12_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
_SESSIONS_MAX: Final = 1000
_RECORD_BYTES: Final = 16 * 1024  # RFC 8446 §5.1


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """What a TLS listener shows and whom it believes.

    Args:
        chain: PEM file of the server's certificate, leaf first.
        key: PEM file of its key, not encrypted.
        trust_anchors: DER of the certificates that client certificates must chain to: the
            root, and the intermediates so that clients may send their leaf alone.
    """

    chain: Path
    key: Path
    trust_anchors: Sequence[bytes]


class ServerTLS:
    """The TLS context that new connections use now.

    Connections keep the context that they were made with; `reload` changes what the next
    ones get, trust anchors and all.

    Args:
        settings: see `TLSSettings`.

    Raises:
        Error: CONFIGURATION, the files cannot be used.
    """

    __slots__ = ("_accepted", "_settings", "context")

    def __init__(self, settings: TLSSettings) -> None:
        self.context: ssl.SSLContext = _context(settings)
        self._settings = settings
        self._accepted = 0

    def reload(self, settings: TLSSettings) -> None:
        """Use other settings, or the same files read again, for new connections.

        Raises:
            Error: CONFIGURATION, the files cannot be used; the old context stays.
        """
        self.context = _context(settings)
        self._settings = settings

    def accept(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
        """Return the server's end of a new connection over two buffers."""
        self._accepted += 1
        if not self._accepted % _SESSIONS_MAX:
            self._forget_sessions()
        return self.context.wrap_bio(incoming, outgoing, server_side=True)

    def _forget_sessions(self) -> None:
        """Begin again with an empty session cache.

        OpenSSL remembers TLS 1.2 sessions by id, 20 000 of 13 kB each with their client
        certificates, and Python cannot tell it not to; a new context has forgotten them.
        """
        if not self.context.session_stats()["number"]:
            return
        try:
            self.context = _context(self._settings)
        except Error as error:
            log.warning("TLS sessions are not forgotten: %s", error.detail)


def _context(settings: TLSSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.options |= (
        ssl.OP_NO_RENEGOTIATION
        | ssl.OP_NO_COMPRESSION
        | ssl.OP_NO_TICKET  # a ticket would carry a verified client past its certificate's end
        | ssl.OP_CIPHER_SERVER_PREFERENCE
    )
    context.num_tickets = 0  # the same under TLS 1.3; two of them cost half a handshake
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a callback, OpenSSL would ask the terminal for the passphrase.
        context.load_cert_chain(settings.chain, settings.key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Error(
            Kind.CONFIGURATION,
            f"cannot serve TLS with '{settings.chain}' and '{settings.key}': {_reason(error)}",
            hint="the key must be unencrypted PEM and belong to the first certificate",
        ) from error
    # The path may end at an intermediate that is a trust anchor itself: what lies above it was
    # checked when it was made (design rule 6), and would cost a tenth of the handshake.
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_mode = ssl.CERT_OPTIONAL
    if settings.trust_anchors:
        try:
            context.load_verify_locations(cadata=b"".join(settings.trust_anchors))
        except ssl.SSLError as error:
            raise Error(
                Kind.CONFIGURATION, f"cannot read the trust anchors: {_reason(error)}"
            ) from error
    return context


def _reason(error: Exception) -> str:
    """Return what OpenSSL or the system says is wrong, in its own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)


class TLSConnection(Connection):
    """A connection whose octets are encrypted.

    Args:
        shared: the listener's connections, limits and application.
        tls: the context to use.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "_tls")

    def __init__(self, shared: Connections, tls: ServerTLS) -> None:
        super().__init__(shared)
        self._tls = tls
        self._incoming: Any = None
        self._outgoing: Any = None
        self._object: Any = None

    def data_received(self, data: bytes) -> None:
        """Decrypt what arrived, and serve it."""
        if self._state >= LINGERING:
            return
        self._incoming.write(data)
        if self._state is HANDSHAKE and not self._shake_hands():
            return
        try:
            # At least one record was complete if anything is left to say; a record that is
            # not complete costs an exception, so look before asking.
            while self._incoming.pending and self._state < LINGERING:
                plain = self._object.read(_RECORD_BYTES)
                if not plain:
                    self._client_ended()
                    return
                super().data_received(plain)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # close_notify
            self._client_ended()
        except ssl.SSLError as error:
            self._shared.tell("TLS with %s broke: %s", self._address, _reason(error))
            self.abort()
            return
        if self._state < LINGERING and self._outgoing.pending:
            self._transport.write(self._outgoing.read())  # an answer to KeyUpdate

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything."""
        super().connection_lost(exc)
        self._object = self._incoming = self._outgoing = None

    def _begin(self) -> None:
        self._state = HANDSHAKE
        self.deadline = self._shared.now + self._shared.limits.handshake_seconds
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = self._tls.accept(self._incoming, self._outgoing)

    def _turn_away(self) -> None:
        # A word of explanation would cost a handshake.
        self._state = CLOSING
        self._transport.abort()

    def _shake_hands(self) -> bool:
        """Take one more step of the handshake; return whether it is complete."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            if self._outgoing.pending:
                self._transport.write(self._outgoing.read())
            return False
        except ssl.SSLError as error:
            self._fail_handshake(error)
            return False
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())
        certificate = self._object.getpeercert(binary_form=True)
        self._serve(Peer(self._address, certificate, self._object.version()))
        return True

    def _fail_handshake(self, error: ssl.SSLError) -> None:
        self._shared.tell("TLS handshake with %s failed: %s", self._address, _reason(error))
        self._transport.write(self._outgoing.read())  # the alert
        if error.reason == "HTTP_REQUEST":
            told = Error(Kind.MALFORMED, "this port speaks HTTPS, and this is plain HTTP")
            answer = refusal(400, told)
            self._transport.write(self._shared.heads.encode(answer, CLOSE) + answer.body)
        self._linger()

    def _client_ended(self) -> None:
        if not self.eof_received() and self._state < LINGERING:
            self._close()

    def _send(self, data: bytes | memoryview) -> None:
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            self._shared.tell("TLS with %s broke: %s", self._address, _reason(error))
            self.abort()
            return
        self._transport.write(self._outgoing.read())

    def _linger(self) -> None:
        if self._state is not HANDSHAKE:
            self._notify_close()
        super()._linger()

    def _close(self) -> None:
        if self._state is not HANDSHAKE:
            self._notify_close()
        super()._close()

    def _notify_close(self) -> None:
        """Say that nothing more follows, so that nobody can cut an answer (RFC 8446 §6.1)."""
        with suppress(ssl.SSLError):  # it waits for the client's own close_notify; we do not
            self._object.unwrap()
        self._transport.write(self._outgoing.read())
