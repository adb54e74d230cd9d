"""`mintmark token`: the first certificate of a service, without handing keys around."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import msgspec

from mintmark.authority.signer.files import write_secret
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import moment, say
from mintmark.cli.reach import distant_url, reach, trust_anchor
from mintmark.client.documents import TokenRequest
from mintmark.model.errors import Error, Kind


def token(
    place: Place,
    service: str,
    sans: tuple[str, ...],
    principals: tuple[str, ...],
    profile: str | None,
    lifetime: str,
    out: Path | None,
) -> None:
    """Make a one-time token and say how to use it."""
    if out is not None and out.exists():
        raise Error(Kind.CONFLICT, f"'{out}' exists already", hint="name another file with --out")
    with reach(place) as api:
        wish = TokenRequest(
            service_name=service,
            names=list(sans),
            principals=list(principals),
            profile=profile,
            lifetime=lifetime,
        )
        made = api.token(wish)
    if out is not None:
        write_secret(out, f"{made.token}\n".encode())
    if place.as_json:
        print_json(msgspec.to_builtins(made))
        return
    say(f"wrote {out}" if out is not None else made.token)
    say(f"good once, for service {made.service_name}, {moment(made.expires_at, time.time())}")
    say("")
    say(f"on its host, with the token in a file of mode 0600 and {trust_anchor(place)} as ca.pem:")
    names = " ".join(shlex.quote(name.value) for name in made.names) or shlex.quote(service)
    command = f"ssh user {shlex.quote(service)}" if principals else f"issue {names}"
    token_file = shlex.quote(str(out)) if out is not None else "token"
    say(f"  mintmark {command} --token-file {token_file} --server {distant_url(place)} --ca ca.pem")
