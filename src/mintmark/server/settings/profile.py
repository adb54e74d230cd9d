"""Section `profiles`: profiles of your own, and what none of them may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta

from mintmark.authority.policy.names import NameRules
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.keys import KeyType
from mintmark.model.profile import (
    BUILT_IN,
    CLIENT_AUTH,
    OCSP_RESPONDER,
    OCSP_SIGNING,
    SERVER_AUTH,
    KeyUsage,
    Profile,
    SubjectAttribute,
)
from mintmark.model.time import duration
from mintmark.server.sections import Section, at, key, unknown, wrong
from mintmark.server.settings.values import NAME, Lifetime, Some, Texts

V = TypeVar("V")

Attribute = Annotated[str, Meta(min_length=1, max_length=64)]  # RFC 5280 appendix A.1: ub-*
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", title="two capital letters, as DE")]

_PURPOSES: Final = {
    "serverAuth": SERVER_AUTH,
    "clientAuth": CLIENT_AUTH,
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
}
# What no profile may carry, and why.
_FORBIDDEN_WORDS: Final = {
    "OCSPSigning": OCSP_SIGNING,
    "anyExtendedKeyUsage": "2.5.29.37.0",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
}
_FORBIDDEN_PURPOSES: Final = {
    OCSP_SIGNING: "it would let any holder answer OCSP for the issuer (RFC 6960 §4.2.2.2)",
    "2.5.29.37.0": "it would let any holder answer OCSP for the issuer (RFC 5280 §4.2.1.12)",
    "1.3.6.1.5.5.7.3.8": "time stamping wants a critical extension (RFC 3161 §2.3), "
    "which profiles do not make",
}
_USAGES: Final = {
    "digitalSignature": KeyUsage.DIGITAL_SIGNATURE,
    "contentCommitment": KeyUsage.CONTENT_COMMITMENT,
    "dataEncipherment": KeyUsage.DATA_ENCIPHERMENT,
    "keyAgreement": KeyUsage.KEY_AGREEMENT,
}
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,18})){1,30}", re.ASCII)


class ProfileSubject(Section, frozen=True, kw_only=True):
    """Subject attributes that every certificate of a profile carries."""

    organization: Annotated[Attribute | None, key("organizationName.", "a misleading subject")] = (
        None
    )
    organizational_unit: Annotated[
        Attribute | None, key("organizationalUnitName.", "a misleading subject")
    ] = None
    country: Annotated[
        Country | None, key("countryName; write 'NO' in quotes.", "a misleading subject")
    ] = None


class ProfileEntry(Section, frozen=True, kw_only=True):
    """A profile of your own; a key left out keeps the value of the profile it extends."""

    extends: Annotated[
        Literal["server", "client", "peer"] | None,
        key(
            "The built-in profile it starts from; null: the one of its own name, else server.",
            "as the keys below",
        ),
    ] = None
    extended_key_usage: Annotated[
        Some | None,
        key(
            "Purposes: serverAuth, clientAuth, codeSigning, emailProtection or dotted OIDs.",
            "certificates that pass for something else",
        ),
    ] = None
    key_usage: Annotated[
        tuple[
            Literal[
                "digitalSignature",
                "contentCommitment",
                "keyEncipherment",
                "dataEncipherment",
                "keyAgreement",
            ],
            ...,
        ]
        | None,
        key(
            "What the key is for; keyEncipherment goes into certificates of RSA keys only.",
            "keys used for something else",
        ),
    ] = None
    key_types: Annotated[
        tuple[KeyType, ...] | None, key("Subject keys that it certifies.", "weaker keys")
    ] = None
    san_types: Annotated[
        tuple[IdentifierType, ...] | None,
        key("Kinds of name it may carry.", "other kinds of name"),
    ] = None
    names: Annotated[
        Texts | None,
        key(
            "Globs that every name must match one of; empty leaves it to the whitelist.",
            "certificates for other parties' names",
        ),
    ] = None
    wildcards: Annotated[
        bool | None,
        key("Whether a DNS name may begin with '*.'.", "one certificate for many hosts"),
    ] = None
    lifetime: Annotated[
        Lifetime | None, key("Used when a request names none.", "a stolen key works longer")
    ] = None
    lifetime_min: Annotated[
        Lifetime | None, key("The shortest that may be asked for.", "more certificates")
    ] = None
    lifetime_max: Annotated[
        Lifetime | None, key("The longest that may be asked for.", "a stolen key works longer")
    ] = None
    subject: Annotated[
        ProfileSubject | None, key("Fixed subject attributes.", "a misleading subject")
    ] = None
    common_name: Annotated[
        bool | None, key("Whether the subject carries the common name asked for.", "nothing")
    ] = None
    certificate_policies: Annotated[
        Texts | None, key("Dotted OIDs of certificate policies.", "false assurance")
    ] = None
    must_staple: Annotated[
        bool | None,
        key("Adds the TLS feature extension: servers have to staple OCSP.", "denial of service"),
    ] = None


def profiles(entries: Mapping[str, ProfileEntry]) -> dict[str, Profile]:
    """Return all profiles, the built-in ones included, by name.

    Raises:
        Error: CONFIGURATION for a profile that contradicts itself.
    """
    found = {profile.name: profile for profile in BUILT_IN}
    for name, entry in entries.items():
        found[name] = _profile(name, entry)
    return found


def profile_names(entries: Mapping[str, ProfileEntry]) -> set[str]:
    """Return the names of all profiles, the built-in ones included."""
    return {profile.name for profile in BUILT_IN} | set(entries)


def problems(entries: Mapping[str, ProfileEntry]) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form."""
    for name, entry in entries.items():
        try:
            _profile(name, entry)
        except Error as error:
            yield at(f"profiles.{name}", error)


def _profile(name: str, entry: ProfileEntry) -> Profile:
    """Return the profile that an entry makes of the one it extends."""
    if not NAME.fullmatch(name) or name == OCSP_RESPONDER.name:
        raise Error(
            Kind.CONFIGURATION,
            f"'{name}' cannot name a profile",
            hint="use 1 to 64 of a-z, 0-9 and '-'; ocsp-responder is the server's own",
        )
    built_in = {profile.name: profile for profile in BUILT_IN}
    base = built_in[entry.extends or (name if name in built_in else "server")]
    usages, encipherment = base.key_usages, base.rsa_key_encipherment
    if entry.key_usage is not None:
        usages = frozenset(_USAGES[word] for word in entry.key_usage if word in _USAGES)
        encipherment = "keyEncipherment" in entry.key_usage
    profile = Profile(
        name,
        base.extended_key_usages
        if entry.extended_key_usage is None
        else _purposes(entry.extended_key_usage),
        usages,
        _or(entry.key_types, base.key_types),
        _or(entry.san_types, base.identifier_types),
        _or(entry.names, base.names),
        _or(entry.wildcards, base.wildcards),
        _or(entry.lifetime, base.lifetime),
        _or(entry.lifetime_min, base.lifetime_min),
        _or(entry.lifetime_max, base.lifetime_max),
        base.subject if entry.subject is None else _subject(entry.subject),
        _or(entry.common_name, base.common_name),
        _or(entry.certificate_policies, base.certificate_policies),
        _or(entry.must_staple, base.ocsp_must_staple),
        rsa_key_encipherment=encipherment,
    )
    _check_profile(profile)
    return profile


def _or(given: V | None, inherited: V) -> V:
    return inherited if given is None else given


def _purposes(words: Iterable[str]) -> tuple[str, ...]:
    """Return extended key usages as dotted OIDs, without those that would break the CA."""
    found = []
    for word in words:
        oid = _PURPOSES.get(word) or _FORBIDDEN_WORDS.get(word, word)
        if not _OID.fullmatch(oid):
            raise unknown(f"unknown purpose '{word}'", word, _PURPOSES)
        if oid in _FORBIDDEN_PURPOSES:
            raise Error(
                Kind.CONFIGURATION,
                f"purpose '{word}' cannot be in a profile",
                hint=_FORBIDDEN_PURPOSES[oid],
            )
        if oid in found:
            raise wrong(f"purpose '{word}' is written twice")
        found.append(oid)
    return tuple(found)


def _subject(entry: ProfileSubject) -> tuple[tuple[SubjectAttribute, str], ...]:
    """Return the fixed attributes, the widest first, as names are usually written."""
    attributes = (
        (SubjectAttribute.COUNTRY, entry.country),
        (SubjectAttribute.ORGANIZATION, entry.organization),
        (SubjectAttribute.ORGANIZATIONAL_UNIT, entry.organizational_unit),
    )
    return tuple((attribute, text) for attribute, text in attributes if text is not None)


def _check_profile(profile: Profile) -> None:
    """Refuse a profile that no certificate could satisfy."""
    low, usual, high = profile.lifetime_min, profile.lifetime, profile.lifetime_max
    if not low <= usual <= high:
        raise wrong(
            f"lifetime {duration(usual)} is not between lifetime_min {duration(low)} "
            f"and lifetime_max {duration(high)}"
        )
    if not profile.key_types:
        raise wrong("key_types is empty, so no key could be certified")
    _check_usages(profile)
    for oid in profile.certificate_policies:
        if not _OID.fullmatch(oid):
            raise wrong(f"certificate policy '{oid}' is not a dotted OID")
    NameRules(profile.names)


def _check_usages(profile: Profile) -> None:
    """Refuse key usages that a key type of the profile cannot have (RFC 3279 §2.3, RFC 8410 §5)."""
    for key_type in profile.key_types:
        is_rsa, is_ec = key_type.rsa_bits is not None, key_type.value.startswith("ec-")
        allowed = {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.CONTENT_COMMITMENT}
        allowed |= {KeyUsage.DATA_ENCIPHERMENT} if is_rsa else set()
        allowed |= {KeyUsage.KEY_AGREEMENT} if is_ec else set()
        if excess := profile.key_usages - allowed:
            word = next(word for word, usage in _USAGES.items() if usage in excess)
            raise Error(
                Kind.CONFIGURATION,
                f"key usage '{word}' does not fit key type '{key_type.value}'",
                hint="narrow key_types, or leave the usage out",
            )
        if not profile.key_usages and not (is_rsa and profile.rsa_key_encipherment):
            raise wrong(f"key_usage leaves nothing for key type '{key_type.value}'")
