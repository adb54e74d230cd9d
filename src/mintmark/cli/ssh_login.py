"""`mintmark ssh login`: a person signs in, and may log in everywhere until the evening."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from mintmark.authority.signer.file import SigningPrivateKey, generate
from mintmark.cli.asking import once
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import moment, say
from mintmark.cli.reach import reach
from mintmark.cli.sign_in import sign_in
from mintmark.cli.ssh_files import SSHFiles, answered_certificate
from mintmark.cli.ssh_issuing import tell
from mintmark.cli.ssh_trust import known
from mintmark.client.ssh_agent import Held, SSHAgent
from mintmark.client.ssh_documents import SSHCertificateDocument, SSHCertificateRequest
from mintmark.model.errors import Error
from mintmark.model.keys import KeyType
from mintmark.wire.ssh import certificate as certificates
from mintmark.wire.ssh import key as keys

_MARK: Final = "mintmark "  # how the comments of what we put into an agent begin


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say of a sign-in, in the options' own words."""

    provisioner: str | None
    device: bool
    provider_ca: Path | None
    principals: tuple[str, ...]
    lifetime: str | None
    profile: str | None
    key_type: str
    no_agent: bool
    out: Path | None
    force: bool


def login(place: Place, *, fingerprint: str | None, **options: Any) -> None:
    """Sign in, and have a fresh key certified."""
    wish = Wish(**options)
    if wish.no_agent != (wish.out is not None):
        raise click.UsageError("--no-agent and --out FILE go together")
    place = known(place, fingerprint)
    if wish.out is not None:
        files = SSHFiles(wish.out)
        files.require_room(force=wish.force)
        key, issued, _ = _certified(place, wish)
        wish.out.parent.mkdir(parents=True, exist_ok=True)
        written = files.write_key(key, issued.key_id)
        tell(place, issued, [*written, files.write_certificate(issued.certificate)])
        return
    with SSHAgent.connect() as agent:
        agent.held()  # what is in the way here is said before anybody signs in
        key, issued, trusted = _certified(place, wish)
        _hand_over(place, agent, key, issued, trusted)


def _certified(
    place: Place, wish: Wish
) -> tuple[SigningPrivateKey, SSHCertificateDocument, set[str]]:
    """Return a new key, its certificate, and fingerprints of the CA keys for users."""
    with reach(place) as api:
        token = sign_in(
            api.sign_in_providers(),
            wish.provisioner,
            device=wish.device,
            ca=wish.provider_ca,
            as_json=place.as_json,
        )
    key = generate(KeyType(wish.key_type))
    public = keys.from_public_key(key.public_key())
    request = SSHCertificateRequest(
        public_key=keys.line(public),
        type="user",
        profile=wish.profile,
        principals=list(wish.principals),
        lifetime=wish.lifetime,
    )
    with reach(place, token=token) as api:
        issued = once(lambda again: api.request_ssh_certificate(request, idempotency_key=again))
        trusted = {one.fingerprint for one in api.ssh_authorities() if one.type == "user"}
    answered_certificate(issued.certificate, public)
    return key, issued, trusted


def _hand_over(
    place: Place,
    agent: SSHAgent,
    key: SigningPrivateKey,
    issued: SSHCertificateDocument,
    trusted: set[str],
) -> None:
    """Put key and certificate into the agent, and take out what they replace."""
    blob = certificates.parse_line(issued.certificate).blob
    lifetime = datetime.fromisoformat(issued.valid_before).timestamp() - time.time()
    agent.add(key, blob, f"{_MARK}{issued.key_id}", int(lifetime))
    replaced = 0
    for held in agent.held():
        if held.blob != blob and _is_ours(held, trusted):
            replaced += agent.remove(held.blob)
    if place.as_json:
        print_json(
            {
                "key_id": issued.key_id,
                "principals": issued.principals,
                "serial_number": issued.serial_number,
                "valid_before": issued.valid_before,
                "certificate": issued.certificate,
                "replaced": replaced,
            }
        )
        return
    say(f"signed in as {issued.key_id}; log in as {', '.join(issued.principals)}")
    say(f"ssh-agent has the certificate until {moment(issued.valid_before, time.time())}")


def _is_ours(held: Held, trusted: set[str]) -> bool:
    """Whether an earlier sign-in at this authority put it there."""
    if not held.comment.startswith(_MARK):
        return False
    try:
        fields = certificates.parse(held.blob).fields
    except Error:  # a bare key, or somebody else's
        return False
    return keys.fingerprint(fields.authority.blob) in trusted
