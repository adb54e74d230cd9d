"""The documents of the REST API's part about provisioners; see `client.documents`.

A provisioner itself is a JSON object with the keys of an entry of `provisioners` in the
configuration, which the server checks as it checks the file: durations are `16h`, keys that are
left out have their defaults.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from mintmark.client.documents import Timestamp

Entry = Annotated[
    dict[str, Any],
    Meta(
        description="An entry of `provisioners`, as the configuration has it: `name`, `type` and "
        "the keys of that type.",
        examples=[
            {
                "name": "dex",
                "type": "oidc",
                "configuration_endpoint": "https://dex.example.internal",
                "client_id": "mintmark",
                "groups": ["example:datacenter"],
            }
        ],
    ),
]
Version = Annotated[
    int,
    Meta(
        ge=1,
        le=2**31,
        description="Of the provisioner that is meant; another one there is a conflict. Left "
        "out: whichever is there.",
    ),
]


class NewProvisioner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provisioner to be stored."""

    provisioner: Entry


class ProvisionerReplacement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stored provisioner shall be from now on; name and type stay."""

    provisioner: Entry
    version: Version | None = None


class ProvisionerRotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another key pair for a JWK provisioner.

    Args:
        key: the public JWK.
        encrypted_key: the private JWK as compact JWE under a password; anybody may read it.
        version: of the provisioner that is meant.
    """

    key: Annotated[dict[str, str], Meta(max_length=20)]
    encrypted_key: Annotated[str, Meta(max_length=16384)] = ""
    version: Version | None = None


class ProvisionerRemoval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stored provisioner to be removed."""

    version: Version | None = None


class ProvisionerDocument(Struct, frozen=True, kw_only=True):
    """A provisioner.

    Args:
        name: once only, whatever the type.
        type: acme, jwk, oidc, x5c, sshpop or token.
        origin: `configuration` is changed in mintmark.yaml, `stored` through this API.
        version: rises with every change of a stored one; 0 for a configured one.
        updated_at: RFC 3339; null for a configured one.
        problem: why it is not in force; empty when it is.
        provisioner: as an entry of the configuration, without what is the default; null when
            what is stored cannot be read.
    """

    name: str
    type: str
    origin: Literal["configuration", "stored"]
    version: int
    updated_at: Timestamp | None
    problem: str
    provisioner: dict[str, Any] | None


class ProvisionerList(Struct, frozen=True, kw_only=True):
    """All provisioners, configured ones first."""

    provisioners: list[ProvisionerDocument]
