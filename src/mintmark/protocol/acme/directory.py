"""The directory: where everything is, and what the server is like (RFC 8555 §7.1.1)."""

from __future__ import annotations

from typing import Any

from mintmark.model.profile import Profile
from mintmark.model.provisioner import ChallengeType
from mintmark.model.time import duration
from mintmark.protocol.acme.request import Call
from mintmark.protocol.acme.validation.dns_persist01 import account_hash_prefix
from mintmark.wire.http import Response


async def directory(call: Call) -> Response:
    """Return the directory."""
    links, settings = call.links, call.provisioner.settings
    meta: dict[str, Any] = {"externalAccountRequired": settings.external_account_binding}
    if settings.terms_of_service:
        meta["termsOfService"] = settings.terms_of_service
    if settings.website:
        meta["website"] = settings.website
    # draft-ietf-acme-profiles §3: name and a description for people.
    profiles = call.authority.policy.profiles
    meta["profiles"] = {
        name: _description(profiles[name], settings.lifetime)
        for name in settings.profiles
        if name in profiles
    }
    if ChallengeType.DNS_PERSIST_01 in settings.challenges:
        # draft-ietf-acme-dns-persist-02: records can be written before there is an order.
        meta["issuerDomainNames"] = list(call.issuer_domain_names)
        meta["accountHashPrefix"] = account_hash_prefix(links.account(""))
    return call.answer(
        {
            "newNonce": links("new-nonce"),
            "newAccount": links("new-account"),
            "newOrder": links("new-order"),
            "newAuthz": links("new-authz"),
            "revokeCert": links("revoke-cert"),
            "keyChange": links("key-change"),
            "renewalInfo": links("renewal-info"),
            "meta": meta,
        }
    )


async def new_nonce(call: Call) -> Response:
    """Return a nonce, in the header that the server adds (§7.2)."""
    status = 200 if call.request.method == "HEAD" else 204
    return Response(status, headers=(("Cache-Control", "no-store"),))


def _description(profile: Profile, lifetime: int | None) -> str:
    kinds = ", ".join(kind.value for kind in profile.key_types)
    wanted = duration(profile.lifetime if lifetime is None else lifetime)
    return f"{profile.name}: {wanted}, keys {kinds}"
