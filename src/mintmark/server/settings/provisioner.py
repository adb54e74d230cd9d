"""Section `provisioners`: who may ask without being known before, one entry for each way.

An entry means the same in the configuration and in the API, where it is JSON; one declaration
reads, checks and writes both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.provisioners import segment
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import (
    ACMEProvisioner,
    AnyProvisioner,
    JWKProvisioner,
    OIDCProvisioner,
    SSHPOPProvisioner,
    TokenProvisioner,
    X5CProvisioner,
)
from mintmark.server.sections import TAG, Section, brief, decode_one, key, wrong
from mintmark.server.settings.acme_provisioner import ACMEEntry
from mintmark.server.settings.claims import ClaimsEntry, Known, RulesEntry
from mintmark.server.settings.jwk_provisioner import JWKEntry
from mintmark.server.settings.oidc_provisioner import (
    Certificates,
    OIDCEntry,
    certificate_problems,
)
from mintmark.server.settings.values import NAME, PROVISIONER_NAME, ProvisionerName

_X5C: Final = X5CProvisioner("x5c")
_SSHPOP: Final = SSHPOPProvisioner("sshpop")
_TOKEN: Final = TokenProvisioner("token")


class X5CEntry(Section, frozen=True, kw_only=True):
    """Tokens signed by the key of a certificate under given roots (RFC 7515 §4.1.6)."""

    name: Annotated[ProvisionerName, key("What clients call it by.", "nothing")]
    type: Annotated[Literal["x5c"], key(TAG, "nothing")]
    roots: Annotated[
        Certificates,
        key("PEM of the roots; empty takes this authority's own.", "certificates for anybody"),
    ] = ""
    claims: Annotated[
        ClaimsEntry,
        key(
            "Lifetimes and renewal; nothing outlives the certificate that signed.",
            "a stolen key works longer",
        ),
    ] = ClaimsEntry()
    rules: Annotated[
        RulesEntry, key("Names, principals and profiles.", "certificates for other parties")
    ] = RulesEntry()

    def provisioner(self) -> X5CProvisioner:
        """Return what the entry says."""
        return X5CProvisioner(
            self.name, self.roots, self.claims.claims(_X5C.claims), self.rules.rules()
        )

    @classmethod
    def of(cls, provisioner: X5CProvisioner) -> X5CEntry:
        """Return the entry that says this provisioner."""
        return cls(
            name=provisioner.name,
            type="x5c",
            roots=provisioner.roots,
            claims=ClaimsEntry.of(provisioner.claims, _X5C.claims),
            rules=RulesEntry.of(provisioner.rules),
        )

    def problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield what is wrong although each key by itself is of its form."""
        yield from certificate_problems(f"{path}.roots", self.roots)
        yield from self.claims.problems(f"{path}.claims", _X5C.claims)
        yield from self.rules.problems(f"{path}.rules", known)


class SSHPOPEntry(Section, frozen=True, kw_only=True):
    """Holders of an SSH certificate of ours, who renew, rekey and revoke it."""

    name: Annotated[ProvisionerName, key("What clients call it by.", "nothing")]
    type: Annotated[Literal["sshpop"], key(TAG, "nothing")]
    claims: Annotated[
        ClaimsEntry,
        key("Whether it renews at all, and after expiry.", "a key stolen long ago works again"),
    ] = ClaimsEntry()

    def provisioner(self) -> SSHPOPProvisioner:
        """Return what the entry says."""
        return SSHPOPProvisioner(self.name, self.claims.claims(_SSHPOP.claims))

    @classmethod
    def of(cls, provisioner: SSHPOPProvisioner) -> SSHPOPEntry:
        """Return the entry that says this provisioner."""
        claims = ClaimsEntry.of(provisioner.claims, _SSHPOP.claims)
        return cls(name=provisioner.name, type="sshpop", claims=claims)

    def problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield what is wrong although each key by itself is of its form."""
        del known
        yield from self.claims.problems(f"{path}.claims", _SSHPOP.claims)


class TokenEntry(Section, frozen=True, kw_only=True):
    """One-time tokens that an admin makes; the whitelist and the token say what is allowed."""

    name: Annotated[ProvisionerName, key("What the audit log calls it by.", "nothing")]
    type: Annotated[Literal["token"], key(TAG, "nothing")]
    claims: Annotated[
        ClaimsEntry,
        key("Lifetimes; of X.509, left out, those of the profile.", "a stolen key works longer"),
    ] = ClaimsEntry()

    def provisioner(self) -> TokenProvisioner:
        """Return what the entry says."""
        return TokenProvisioner(self.name, self.claims.claims(_TOKEN.claims))

    @classmethod
    def of(cls, provisioner: TokenProvisioner) -> TokenEntry:
        """Return the entry that says this provisioner."""
        claims = ClaimsEntry.of(provisioner.claims, _TOKEN.claims)
        return cls(name=provisioner.name, type="token", claims=claims)

    def problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield what is wrong although each key by itself is of its form."""
        del known
        yield from self.claims.problems(f"{path}.claims", _TOKEN.claims)


ProvisionerEntry = ACMEEntry | JWKEntry | OIDCEntry | X5CEntry | SSHPOPEntry | TokenEntry
DEFAULT: Final[tuple[ProvisionerEntry, ...]] = (
    ACMEEntry(name="acme"),
    TokenEntry(name="token", type="token"),
    SSHPOPEntry(name="sshpop", type="sshpop"),
)
_ENTRIES: Final[Mapping[type[AnyProvisioner], type[ProvisionerEntry]]] = {
    ACMEProvisioner: ACMEEntry,
    JWKProvisioner: JWKEntry,
    OIDCProvisioner: OIDCEntry,
    X5CProvisioner: X5CEntry,
    SSHPOPProvisioner: SSHPOPEntry,
    TokenProvisioner: TokenEntry,
}


class Codec:
    """Provisioners as the API's JSON documents: the entries of the configuration.

    Args:
        issuer_domain_names: by which dns-persist-01 records speak of this authority.
    """

    def __init__(self, issuer_domain_names: tuple[str, ...] = ()) -> None:
        self._issuer_domain_names = issuer_domain_names

    def parse(self, document: Mapping[str, Any], policy: Policy) -> AnyProvisioner:
        """Return the provisioner that a document says.

        Args:
            document: an entry of `provisioners`.
            policy: has the profiles that it may refer to.

        Raises:
            Error: MALFORMED, with the key's path and what it has to be.
        """
        known = Known(policy.profiles, policy.ssh_profiles, self._issuer_domain_names)
        try:
            entry = decode_one(tuple(_ENTRIES.values()), dict(document), _DOCUMENT)
            for problem in _entry_problems(_DOCUMENT, entry, known):
                raise problem
            return entry.provisioner()
        except Error as error:
            raise Error(Kind.MALFORMED, error.detail, hint=error.hint) from error

    def render(self, provisioner: AnyProvisioner) -> dict[str, Any]:
        """Return the document that says a provisioner, without what is the default."""
        of: Any = _ENTRIES[type(provisioner)].of
        entry: ProvisionerEntry = of(provisioner)
        return {"name": entry.name, "type": entry.type, **brief(entry)}


_DOCUMENT: Final = "provisioner"


def provisioners(entries: Iterable[ProvisionerEntry]) -> tuple[AnyProvisioner, ...]:
    """Return the provisioners.

    Raises:
        Error: for entries that have problems.
    """
    return tuple(entry.provisioner() for entry in entries)


def problems(entries: Sequence[ProvisionerEntry], known: Known) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form.

    Args:
        entries: the section.
        known: what they refer to.
    """
    seen: set[str] = set()
    clients: set[str] = set()
    for number, entry in enumerate(entries):
        path = f"provisioners[{number}]"
        yield from _entry_problems(path, entry, known)
        if segment(entry.name) in seen:
            yield Error(
                Kind.CONFIGURATION,
                f"'{path}' is a second provisioner '{entry.name}'",
                hint="names are unique, whatever the type, and however they are written",
            )
        seen.add(segment(entry.name))
        if isinstance(entry, OIDCEntry):
            if entry.client_id in clients:
                yield Error(
                    Kind.CONFIGURATION,
                    f"'{path}.client_id' is '{entry.client_id}', as that of another entry",
                    hint="tokens say by it whose they are: register a client for each",
                )
            clients.add(entry.client_id)


def _entry_problems(path: str, entry: ProvisionerEntry, known: Known) -> Iterator[Error]:
    in_urls = isinstance(entry, ACMEEntry)
    if not (NAME if in_urls else PROVISIONER_NAME).fullmatch(entry.name):
        form = "a-z, 0-9 and '-'" if in_urls else "letters, digits, '.', '_', '@' and '-'"
        yield wrong(f"'{path}.name' is '{entry.name}'; it has to be of {form}")
    yield from entry.problems(path, known)
