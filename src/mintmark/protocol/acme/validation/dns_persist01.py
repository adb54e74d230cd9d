"""dns-persist-01: a TXT record that stays, and names the authority and the account.

draft-ietf-acme-dns-persist-02 (20 September 2026). Earlier drafts had the account's URL in the
record, and clients of then write it so; this one has a digest, and refuses the URL (§4.1). What
is refused is answered with the value that would be accepted. The search for records at parent
names (§6) and validation without a challenge (§4.4) are options that are not taken.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mintmark.model.time import Clock
from mintmark.protocol.acme.validation.dns01 import told
from mintmark.protocol.acme.validation.outcome import Attempt, ChallengeError, Validated, shown
from mintmark.protocol.acme.validation.resolver import Resolver

LABEL: Final = "_validation-persist"
ANY_DOMAIN: Final = "*"  # §4.1: the client's choice not to bind the digest to a name
_MAX_KEYS: Final = 100  # former keys that are looked at
_WSP: Final = " \t"
# RFC 8659 §4.2, the parameters' grammar.
_PARAMETER: Final = re.compile(
    r"[ \t]*(?P<tag>[A-Za-z0-9](?:-*[A-Za-z0-9])*)[ \t]*=[ \t]*(?P<value>[!-:<-~]*)[ \t]*"
)
_HASH: Final = re.compile(r"sha-256/[A-Za-z0-9_-]{43}")
_UNTIL: Final = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Record:
    """One record that names this authority, parsed.

    Args:
        account_uri: the hashed URI.
        wildcard: whether it allows wildcards.
        until: Unix seconds, or None.
    """

    account_uri: str
    wildcard: bool
    until: int | None


async def validate(
    attempt: Attempt, resolver: Resolver, issuer_domain_names: tuple[str, ...], clock: Clock
) -> Validated:
    """Look for a record that names us and the account; any of several will do (§4.3.2).

    Raises:
        ChallengeError: malformed or unauthorized (§9.3.1), or dns.
    """
    if not issuer_domain_names:
        raise ChallengeError(
            "serverInternal",
            "dns-persist-01 is offered, but the authority's configuration gives it no issuer "
            "domain name",
        )
    name = f"{LABEL}.{attempt.identifier}"
    attempt.at("dns", f"looking up TXT of '{name}'")
    records = await resolver.texts(name)
    accepted = set(_accepted(attempt))
    failure: ChallengeError | None = None
    for text in records:
        if _issuer(text) not in issuer_domain_names:
            continue  # another authority's (§4.3.2)
        try:
            return _check(text, name, attempt, accepted, clock())
        except ChallengeError as error:
            failure = failure or error
    raise failure or ChallengeError(
        "unauthorized",
        f"TXT of '{name}' has {told(records)} and nothing that names this authority; expected "
        f"'{issuer_domain_names[0]}; {_expected(attempt)}'",
    )


def account_hash_prefix(account_url: str) -> str:
    """Return the directory's `accountHashPrefix` (§4.1) from any account URL of it.

    `https://ca.example/acme/acme/account/x` gives `https://ca.example/acme/acme/account-hash/`:
    it follows the base that the client uses, as all URLs do.
    """
    return f"{account_url.rpartition('/')[0]}-hash/"


def account_hash(domain: str, thumbprint: str, account_url: str) -> str:
    """Return the hashed part of an `accounturi` (§4.1).

    Args:
        domain: the name that the record is for, or `*`.
        thumbprint: of the account's key, base64url.
        account_url: as the client knows it.
    """
    octets = bytes((len(domain),)) + f"{domain}{thumbprint}{account_url}".encode("ascii")
    digest = base64.urlsafe_b64encode(hashlib.sha256(octets).digest())
    return f"sha-256/{digest.decode('ascii').rstrip('=')}"


def _accepted(attempt: Attempt) -> Iterable[str]:
    """Return the URIs that stand for the account, by its present and its former keys (§4.2)."""
    prefix = account_hash_prefix(attempt.account_url)
    for thumbprint in (attempt.thumbprint, *attempt.former_thumbprints[:_MAX_KEYS]):
        for domain in (attempt.identifier.value, ANY_DOMAIN):
            yield prefix + account_hash(domain, thumbprint, attempt.account_url)


def _expected(attempt: Attempt) -> str:
    """Return the parameters of the record that would be accepted."""
    uri = next(iter(_accepted(attempt)))
    return f"accounturi={uri}" + ("; policy=wildcard" if attempt.wildcard else "")


def _issuer(text: bytes) -> str:
    """Return the issuer domain name of a record in the form of §3.1."""
    name = text.partition(b";")[0].decode("ascii", "replace")
    return name.strip(_WSP).lower().removesuffix(".")


def _check(text: bytes, name: str, attempt: Attempt, accepted: set[str], now: float) -> Validated:
    """Accept one record of ours."""
    where = f"TXT of '{name}', record {shown(text.decode('ascii', 'backslashreplace'), 300)}"
    try:
        record = parse(text)
    except ValueError as error:
        raise ChallengeError("malformed", f"{where}: {error}") from None
    if record.account_uri not in accepted:
        raise _other_account(record.account_uri, where, attempt)
    if record.until is not None and record.until < now:
        raise ChallengeError(
            "unauthorized", f"{where}: it was good until {record.until}, which has passed"
        )
    if attempt.wildcard and not record.wildcard:
        raise ChallengeError(
            "unauthorized",
            f"{where}: a wildcard needs 'policy=wildcard' in it (draft-ietf-acme-dns-persist-02 "
            "§5.1)",
        )
    return Validated(f"TXT of '{name}'", record.until)


def _other_account(uri: str, where: str, attempt: Attempt) -> ChallengeError:
    """Say why an account URI is refused, and which one would not be (§9.3.1)."""
    expected = f"expected '{_expected(attempt)}'"
    if uri == attempt.account_url:
        return ChallengeError(
            "malformed",
            f"{where}: it has the account's URL, as drafts before "
            f"draft-ietf-acme-dns-persist-02 wrote it; {expected}",
        )
    prefix = account_hash_prefix(attempt.account_url)
    if not uri.startswith(prefix) or not _HASH.fullmatch(uri.removeprefix(prefix)):
        return ChallengeError(
            "malformed",
            f"{where}: its accounturi is not '{prefix}sha-256/' and a digest; {expected}",
        )
    return ChallengeError("unauthorized", f"{where}: it is for another account; {expected}")


def parse(text: bytes) -> Record:
    """Read the parameters of a record (RFC 8659 §4.2); unknown ones are ignored.

    Raises:
        ValueError: it breaks the grammar, repeats a parameter, has no `accounturi`, or a
            `persistUntil` that is no number.
    """
    _, semicolon, rest = text.decode("ascii", "replace").partition(";")
    parameters: dict[str, str] = {}
    for part in rest.split(";") if rest.strip(_WSP) else ():
        match = _PARAMETER.fullmatch(part)
        if match is None:
            raise ValueError(f"{shown(part)} is not 'tag=value' (RFC 8659 §4.2)")
        tag = match["tag"].lower()
        if tag in parameters:
            raise ValueError(f"it has '{match['tag']}' twice")
        parameters[tag] = match["value"]
    if "accounturi" not in parameters:
        raise ValueError("it has no 'accounturi'" if semicolon else "it has no parameters")
    until = parameters.get("persistuntil")
    if until is not None and not _UNTIL.fullmatch(until):
        raise ValueError(f"its persistUntil {shown(until)} is not a number of seconds since 1970")
    return Record(
        parameters["accounturi"],
        parameters.get("policy", "").lower() == "wildcard",
        None if until is None else int(until),
    )
