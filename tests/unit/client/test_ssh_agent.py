"""ssh-agent's protocol, against an agent that says what a test wants it to say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mintmark.client.ssh_agent import VARIABLE, Held, SSHAgent
from mintmark.model.errors import Error, Kind
from mintmark.wire.ssh.encoding import Reader, string, uint32

SUCCESS = string(b"\x06")
FAILURE = string(b"\x05")
CERTIFICATE = string(b"ssh-ed25519-cert-v01@openssh.com") + b"the rest"


@contextmanager
def agent(*answers: bytes) -> Iterator[tuple[SSHAgent, list[bytes]]]:
    """Connect to an agent that gives these answers, octet for octet, and then hangs up."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    heard: list[bytes] = []

    def serve() -> None:
        with theirs:
            for answer in answers:
                size = int.from_bytes(theirs.recv(4, socket.MSG_WAITALL))
                heard.append(theirs.recv(size, socket.MSG_WAITALL))
                theirs.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with SSHAgent(ours) as connected:
            yield connected, heard
    finally:
        thread.join()


def test_what_an_agent_holds_is_read():
    identities = uint32(2) + string(b"one") + string(b"a key") + string(b"two") + string(b"\xff")
    with agent(string(b"\x0c" + identities)) as (connected, heard):
        assert connected.held() == [
            Held(b"one", "a key"),
            Held(b"two", "\N{REPLACEMENT CHARACTER}"),
        ]
    assert heard == [b"\x0b"]


def read_added(request: bytes, fields: int) -> tuple[list[bytes], bytes]:
    """Return the strings of a request to add a key, and what stands behind them."""
    assert request[0] == 25  # SSH_AGENTC_ADD_ID_CONSTRAINED
    reader = Reader(request[1:])
    strings = [reader.string() for _ in range(fields)]
    return strings, request[1 + reader.position :]


def test_an_ed25519_key_goes_in_with_its_certificate_and_its_end():
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    with agent(SUCCESS) as (connected, heard):
        connected.add(key, CERTIFICATE, "mintmark alice", 3600)
    strings, rest = read_added(heard[0], 5)
    assert strings == [
        b"ssh-ed25519-cert-v01@openssh.com",
        CERTIFICATE,
        public,
        key.private_bytes_raw() + public,
        b"mintmark alice",
    ]
    assert rest == b"\x01" + uint32(3600)


def test_an_ecdsa_key_goes_in_as_its_number():
    key = ec.generate_private_key(ec.SECP256R1())
    with agent(SUCCESS) as (connected, heard):
        connected.add(key, CERTIFICATE, "c", 1)
    strings, _ = read_added(heard[0], 4)
    assert int.from_bytes(strings[2]) == key.private_numbers().private_value


def test_an_rsa_key_goes_in_as_its_four_numbers():
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.private_numbers()
    with agent(SUCCESS) as (connected, heard):
        connected.add(key, CERTIFICATE, "c", 1)
    strings, _ = read_added(heard[0], 7)
    assert [int.from_bytes(one) for one in strings[2:6]] == [
        numbers.d,
        numbers.iqmp,
        numbers.p,
        numbers.q,
    ]


@pytest.mark.parametrize(("lifetime", "said"), [(0, 1), (-5, 1), (1 << 40, (1 << 32) - 1)])
def test_a_key_never_goes_in_without_an_end(lifetime, said):
    with agent(SUCCESS) as (connected, heard):
        connected.add(ed25519.Ed25519PrivateKey.generate(), CERTIFICATE, "c", lifetime)
    assert heard[0][-5:] == b"\x01" + uint32(said)


def test_a_certificate_is_taken_out():
    with agent(SUCCESS, FAILURE) as (connected, heard):
        assert connected.remove(b"blob")
        assert not connected.remove(b"blob")
    assert heard == [b"\x12" + string(b"blob")] * 2


def refused(ask: Callable[[SSHAgent], object], *answers: bytes) -> Error:
    with agent(*answers) as (connected, _), pytest.raises(Error) as caught:
        ask(connected)
    assert caught.value.kind is Kind.UNAVAILABLE
    return caught.value


def test_an_agent_that_takes_no_certificates_is_named():
    key = ed25519.Ed25519PrivateKey.generate()
    error = refused(lambda connected: connected.add(key, CERTIFICATE, "c", 1), FAILURE)
    assert "does not take the certificate" in error.detail
    assert "--no-agent" in error.hint


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(FAILURE, id="failure"),
        pytest.param(string(b""), id="nothing"),
        pytest.param(uint32(1 << 31), id="two gigabytes"),
        pytest.param(string(b"\x0c" + uint32(1 << 31)), id="more keys than it sends"),
        pytest.param(string(b"\x0c" + uint32(1) + uint32(1 << 31)), id="a key without an end"),
        pytest.param(b"\0\0", id="half a length"),
        pytest.param(uint32(10) + b"\x0c", id="half an answer"),
        pytest.param(b"", id="silence"),
    ],
)
def test_what_no_agent_says_is_refused(answer):
    refused(SSHAgent.held, answer)


def test_no_agent_is_said_so(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(Error, match="SSH_AUTH_SOCK is not set") as caught:
        SSHAgent.connect()
    assert "ssh-agent" in caught.value.hint
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(Error, match="no ssh-agent at"):
        SSHAgent.connect()
