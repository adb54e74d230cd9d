"""Requests: who signed this, for this URL, just now (RFC 8555 §6).

`authenticate` takes the steps in one order, the cheap ones first: form, algorithm, nonce, URL,
key, signature. Only then is the nonce used up, so that nobody can spend another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

import msgspec

from mintmark.authority.policy.provisioners import ACME
from mintmark.authority.workflow.authority import Authority
from mintmark.model.acme import Account, AccountStatus
from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme.links import Links
from mintmark.protocol.acme.nonce import Nonces
from mintmark.protocol.acme.problem import ACMEError
from mintmark.wire import jose, json
from mintmark.wire.http import Request, Response
from mintmark.wire.jose import JWS, AlgorithmError, PublicKey

MEDIA_TYPE: Final = "application/jose+json"
T = TypeVar("T")
_ENCODER: Final = msgspec.json.Encoder()


class Access(Enum):
    """Who may call a resource."""

    PUBLIC = "public"  # anyone, unsigned: directory, nonces, renewal information
    NEW_KEY = "jwk"  # whoever has the key in `jwk`
    ACCOUNT = "kid"  # a valid account of this provisioner
    EITHER = "either"  # revocation: an account, or the certificate's own key


@dataclass(slots=True)
class Call:
    """One call of a resource, authenticated as its route asks.

    Args:
        authority: who answers.
        provisioner: whose server this is.
        links: its URLs, for this client.
        nonces: of this process.
        request: the HTTP request.
        arguments: of the path.
        url: as the client has to have signed it.
        issuer_domain_names: by which dns-persist-01 records name this authority.
        jws: the signed request; None for an unsigned one.
        key: that signed it.
        signer: the account whose key that is.
    """

    authority: Authority
    provisioner: ACME
    links: Links
    nonces: Nonces
    request: Request
    arguments: dict[str, str]
    url: str
    issuer_domain_names: tuple[str, ...] = ()
    jws: JWS | None = None
    key: PublicKey | None = None
    signer: Account | None = None

    @property
    def now(self) -> int:
        """Unix seconds."""
        return int(self.authority.clock())

    @property
    def account(self) -> Account:
        """The account that asks.

        Raises:
            RuntimeError: on a route that asks for none.
        """
        if self.signer is None:
            raise RuntimeError("this resource asks for no account")
        return self.signer

    @property
    def signed(self) -> tuple[JWS, PublicKey]:
        """The signed request and the key that signed it.

        Raises:
            RuntimeError: on a public route.
        """
        if self.jws is None or self.key is None:
            raise RuntimeError("this resource is not signed")
        return self.jws, self.key

    @property
    def nonce(self) -> str:
        """The nonce of this request, used up by now."""
        return str(self.signed[0].header["nonce"])

    @property
    def is_read(self) -> bool:
        """Whether this is POST-as-GET (RFC 8555 §6.3)."""
        return not self.signed[0].payload

    def payload(self, type: type[T]) -> T:  # noqa: A002 - msgspec's word
        """Return the payload, a JSON object; members that nobody knows are ignored (§7.3).

        Raises:
            Error: MALFORMED.
        """
        return json.decode(self.signed[0].payload, type)

    async def burn(self) -> None:
        """Use the nonce up on all servers, for a change that a replay could repeat.

        Raises:
            ACMEError: badNonce when another server took it.
        """
        nonce, expires_at = self.nonces.burnable(self.nonce)
        if not await self.authority.store.burn_nonce(nonce, expires_at):
            raise replayed()

    def answer(
        self,
        document: Any,
        status: int = 200,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        """Return a JSON answer."""
        return Response(status, _ENCODER.encode(document), "application/json", headers)

    def not_found(self, what: str) -> Error:
        """Return the refusal of an object that is not there, or not this account's."""
        return ACMEError("malformed", f"this account has no {what} of this name", status=404)


def replayed() -> ACMEError:
    """Return the refusal of a request that another process has answered already."""
    return ACMEError("badNonce", "the nonce was used before", hint="make a new request")


class Payload(msgspec.Struct, rename="camel"):
    """A payload's members, in the RFC's spelling."""


async def authenticate(call: Call, access: Access) -> None:
    """Find out who signed a request, and use up its nonce.

    Raises:
        Error: a problem that says what is wrong.
    """
    await call.authority.stages.read
    # 1. A JWS of its form, by an algorithm that is verified here.
    jws = parse(call.request)
    # 2. Fresh, and meant for this very URL.
    nonce = jws.header.get("nonce")
    if not isinstance(nonce, str):
        raise ACMEError("badNonce", "the JWS has no nonce")
    opened = call.nonces.check(nonce)
    check_url(jws, call.url)
    # 3. By a key that may call this.
    key = await _key(call, jws, access)
    # 4. Truly by that key.
    check_signature(jws, key)
    # 5. Nobody else's from here on.
    call.nonces.take(opened)
    call.jws, call.key = jws, key
    if call.signer is not None and call.signer.status is not AccountStatus.VALID:
        raise ACMEError(
            "unauthorized",
            f"the account is {call.signer.status.value}",
            hint="register a new one",
            status=403,
        )


def parse(request: Request) -> JWS:
    """Read the JWS of a request (RFC 8555 §6.2).

    Raises:
        Error: MALFORMED, TOO_LARGE; ACMEError badSignatureAlgorithm.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != MEDIA_TYPE:
        raise ACMEError(
            "malformed",
            f"a body of type {media_type[:64]!r} is not read here",
            hint=f"send 'Content-Type: {MEDIA_TYPE}' (RFC 8555 §6.2)",
            status=415,
        )
    jws = jose.parse(request.body)
    try:
        jose.check_algorithm(jws)
    except AlgorithmError as error:
        raise _bad_algorithm(error) from error
    if ("jwk" in jws.header) == ("kid" in jws.header):
        raise Error(
            Kind.MALFORMED,
            "the JWS has both of 'jwk' and 'kid', or none of them",
            hint="send 'jwk' for new-account, else 'kid' (RFC 8555 §6.2)",
        )
    return jws


def check_url(jws: JWS, url: str) -> None:
    """Refuse a request that was signed for another URL (RFC 8555 §6.4).

    Raises:
        ACMEError: unauthorized.
    """
    signed = jws.header.get("url")
    if signed != url:
        raise ACMEError(
            "unauthorized",
            f"the request was signed for the URL {str(signed)[:200]!r} and sent to '{url}'",
            hint="do forwarders change the host or path?",
        )


def check_signature(jws: JWS, key: PublicKey) -> None:
    """Verify a signature.

    Raises:
        Error: MALFORMED; ACMEError badSignatureAlgorithm.
    """
    try:
        jose.verify(jws, key)
    except AlgorithmError as error:
        raise _bad_algorithm(error) from error


async def _key(call: Call, jws: JWS, access: Access) -> PublicKey:
    """Return the key that has to have signed, and set the account if there is one."""
    if "jwk" in jws.header:
        if access is Access.ACCOUNT:
            raise Error(
                Kind.MALFORMED,
                "this resource takes requests of an account, named by 'kid'",
                hint="send 'kid' with the account's URL instead of 'jwk' (RFC 8555 §6.2)",
            )
        return jose.public_key(jws.header["jwk"])
    if access is Access.NEW_KEY:
        raise Error(
            Kind.MALFORMED,
            "this resource takes requests of a new key, in 'jwk'",
            hint="send 'jwk' instead of 'kid' (RFC 8555 §6.2)",
        )
    call.signer = await _account(call, jws.header["kid"])
    return jose.parse_jwk(call.signer.jwk)


async def _account(call: Call, kid: Any) -> Account:
    """Return the account that a `kid` names; one of another provisioner is none of ours."""
    id = call.links.account_id(kid) if isinstance(kid, str) else None  # noqa: A001 - its name
    account = await call.authority.store.account(id) if id else None
    if account is None or account.provisioner != call.provisioner.name:
        raise ACMEError(
            "accountDoesNotExist",
            f"no account of provisioner '{call.provisioner.name}' has the URL {str(kid)[:200]!r}",
            hint=f"account URLs begin with '{call.links.account('')}'; register first",
        )
    return account


def _bad_algorithm(error: AlgorithmError) -> ACMEError:
    return ACMEError(
        "badSignatureAlgorithm", error.detail, hint=error.hint, algorithms=jose.ALGORITHMS
    )
