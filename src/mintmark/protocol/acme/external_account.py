"""External account binding: an account that somebody vouched for (RFC 8555 §7.3.4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from mintmark.authority.workflow import secrets
from mintmark.model.acme import ExternalKey
from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call, check_url
from mintmark.wire import jose, json
from mintmark.wire.jose import AlgorithmError


async def bind(call: Call, binding: Any, account: str) -> ExternalKey | None:
    """Return the external account key, bound to an account, to be written with it.

    Args:
        call: of new-account.
        binding: what it has as `externalAccountBinding`, None without one.
        account: id of the account that is being made.

    Returns:
        None when none is given and none is needed.

    Raises:
        Error: a problem that says what is wrong; it does not tell unknown keys, used ones,
            revoked ones and those of another provisioner apart.
    """
    if binding is None:
        if call.provisioner.settings.external_account_binding:
            raise ACMEError(
                "externalAccountRequired",
                f"provisioner '{call.provisioner.name}' wants an external account binding",
                hint="ask an operator for one: mintmark acme eab add",
            )
        return None
    jws = jose.parse(_flattened(binding))
    if "nonce" in jws.header or not isinstance(jws.header.get("kid"), str):
        raise Error(
            Kind.MALFORMED,
            "the external account binding has a nonce, or no 'kid' (RFC 8555 §7.3.4)",
        )
    check_url(jws, call.url)
    key = await call.authority.store.external_key(jws.header["kid"])
    if key is None or not _is_good(key, call.provisioner.name):
        raise _refused()
    hmac_key = secrets.unseal(call.authority, secrets.EXTERNAL_KEYS, key.hmac_key, key.id)
    try:
        jose.verify_hmac(jws, hmac_key)
    except AlgorithmError as error:
        raise ACMEError(
            "badSignatureAlgorithm", error.detail, algorithms=(jose.HMAC_ALGORITHM,)
        ) from error
    # The binding is for the very key that signs the request around it.
    if jose.public_key(_decoded(jws.payload)).thumbprint != call.signed[1].thumbprint:
        raise ACMEError(
            "unauthorized", "the external account binding was made for another account key"
        )
    return replace(key, account=account, version=key.version + 1)


def _is_good(key: ExternalKey, provisioner: str) -> bool:
    return key.account is None and key.revoked_at is None and key.provisioner == provisioner


def _refused() -> ACMEError:
    return ACMEError(
        "unauthorized",
        "the external account key is unknown here, used already or revoked",
        hint="a key binds one account of one provisioner; ask an operator for a new one: "
        "mintmark acme eab add",
    )


def _flattened(binding: Any) -> bytes:
    """Return the inner JWS as a document of its own."""
    if not isinstance(binding, dict):
        raise Error(Kind.MALFORMED, "'externalAccountBinding' is not a JWS in flattened JSON")
    return msgspec.json.encode(binding)


def _decoded(payload: bytes) -> Any:
    return json.decode(payload, dict[str, Any])
