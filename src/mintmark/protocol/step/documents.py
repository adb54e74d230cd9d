"""Bodies of requests, as step clients send them.

Members that are not listed are ignored: later clients send more, and `templateData` feeds
templates that we do not have. `null` and `""` both mean that something was left out.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

Text = Annotated[str, Meta(max_length=16384)] | None
TokenText = Annotated[str, Meta(max_length=131072)] | None
Principals = Annotated[list[Annotated[str, Meta(max_length=1024)]], Meta(max_length=256)] | None
Data = (
    Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=4096)] | None],
        Meta(max_length=64),
    ]
    | None
)


class SignRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /sign."""

    csr: Text = None
    ott: TokenText = None
    not_before: Text = None
    not_after: Text = None


class RekeyRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /rekey; of the CSR only the key counts."""

    csr: Text = None


class RevokeRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /revoke and /ssh/revoke."""

    serial: Text = None
    ott: TokenText = None
    reason_code: int | None = None
    reason: Text = None
    passive: bool | None = None


class SSHSignRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /ssh/sign."""

    public_key: Text = None
    ott: TokenText = None
    cert_type: Text = None
    key_id: Text = field(default=None, name="keyID")
    principals: Principals = None
    valid_after: Text = None
    valid_before: Text = None
    add_user_public_key: Text = None
    identity_csr: Text = field(default=None, name="identityCSR")


class SSHRenewRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /ssh/renew."""

    ott: TokenText = None


class SSHRekeyRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /ssh/rekey."""

    ott: TokenText = None
    public_key: Text = None


class SSHConfigRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /ssh/config."""

    type: Text = None
    data: Data = None


class CheckHostRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /ssh/check-host."""

    type: Text = None
    principal: Text = None


class BastionRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """POST /ssh/bastion."""

    user: Text = None
    hostname: Text = None
