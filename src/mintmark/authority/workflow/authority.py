"""The authority as a value: everything an act needs, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.limits import Limits, Refusals
from mintmark.authority.workflow.presented import PresentedCertificates
from mintmark.authority.workflow.providers import NoProviders, Providers
from mintmark.authority.workflow.provisioned import Provisioned
from mintmark.authority.workflow.stages import Stages
from mintmark.model.issuer import Issuer
from mintmark.model.time import Clock
from mintmark.store.interface import Store


@dataclass(slots=True)
class Authority:
    """One authority, open for business.

    Args:
        store: what it remembers.
        issuing: the issuer that signs now.
        issuers: every issuer that ever signed, for answering about the past.
        policy: the rules in force; replaced as a whole when the configuration is reloaded.
        limits: how much may be issued in how short a time.
        clock: Unix seconds.
        entropy: `n -> n` random octets, from the operating system outside of tests.
        refusals: rate limits known to be exhausted, so that a flood is refused unsigned.
        secret: what all servers of this authority share and nobody else knows; keys are
            derived from it (`workflow.secrets`) and it is used for nothing else.
        names: DNS names and addresses by which clients reach it: the audiences of tokens.
        ssh: its SSH CA keys; replaced as a whole when they are rolled over.
        providers: what tells the keys of OpenID providers.
        provisioned: what is known of stored provisioners, which are a part of `policy`.
        stages: where requests gather that take their steps together.
        presented: client certificates that were found on record.
    """

    store: Store
    issuing: IssuingKey
    issuers: tuple[Issuer, ...]
    policy: Policy
    limits: Limits
    clock: Clock
    entropy: Callable[[int], bytes]
    refusals: Refusals = field(default_factory=Refusals)
    secret: bytes = field(default=b"", repr=False)
    names: tuple[str, ...] = ()
    ssh: SSHKeys = field(default_factory=SSHKeys)
    providers: Providers = field(default_factory=NoProviders)
    provisioned: Provisioned = field(default_factory=Provisioned)
    stages: Stages = field(default_factory=Stages)
    presented: PresentedCertificates = field(default_factory=PresentedCertificates)
