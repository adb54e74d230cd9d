"""ACME objects for the store's tests; ids count up where randomness does not matter."""

from __future__ import annotations

import hashlib
import itertools

from mintmark.model.acme import (
    Account,
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    ExternalKey,
    Order,
    OrderStatus,
)
from mintmark.model.act import Act
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import ChallengeType
from mintmark.model.time import DAY
from tests.unit.store.acts import NOW

_numbers = itertools.count(1)


def name(value="web.example.internal") -> Identifier:
    return Identifier(IdentifierType.DNS, value)


def account(id_=None, **fields) -> Account:
    id_ = id_ or f"account{next(_numbers)}"
    values = {
        "provisioner": "acme",
        "jwk": b'{"crv":"P-256"}',
        "thumbprint": hashlib.sha256(id_.encode()).digest(),
        "status": AccountStatus.VALID,
        "contacts": ("mailto:ops@example.internal",),
        "terms_agreed": True,
        "external_key": None,
        "created_at": NOW,
    }
    return Account(id_, **(values | fields))


def order(of="account", **fields) -> Order:
    values = {
        "provisioner": "acme",
        "status": OrderStatus.PENDING,
        "identifiers": (name(),),
        "authorizations": ("authorization",),
        "profile": "server",
        "not_before": None,
        "not_after": None,
        "replaces": None,
        "expires_at": NOW + 7 * DAY,
    }
    id_ = fields.pop("id", None) or f"order{next(_numbers)}"
    return Order(id_, of, **(values | fields))


def challenge(**fields) -> Challenge:
    return Challenge(**({"type": ChallengeType.HTTP_01, "token": "t" * 43} | fields))


def authorization(of="account", **fields) -> Authorization:
    values = {
        "identifier": name(),
        "wildcard": False,
        "status": AuthorizationStatus.PENDING,
        "expires_at": NOW + DAY,
        "challenges": (challenge(), challenge(type=ChallengeType.DNS_01)),
    }
    id_ = fields.pop("id", None) or f"authorization{next(_numbers)}"
    return Authorization(id_, of, **(values | fields))


def processing(next_attempt: int, **fields) -> Authorization:
    tried = challenge(status=ChallengeStatus.PROCESSING, next_attempt=next_attempt, attempts=1)
    return authorization(challenges=(challenge(type=ChallengeType.DNS_01), tried), **fields)


def valid(**fields) -> Authorization:
    done = challenge(status=ChallengeStatus.VALID, validated_at=NOW)
    return authorization(status=AuthorizationStatus.VALID, challenges=(done,), **fields)


def external_key(**fields) -> ExternalKey:
    values = {
        "id": f"key{next(_numbers)}",
        "provisioner": "acme",
        "hmac_key": b"h" * 32,
        "name": "ops",
        "created_at": NOW,
    }
    return ExternalKey(**(values | fields))


def changing(*changes, **fields) -> Act:
    return Act(changes=changes, **fields)
