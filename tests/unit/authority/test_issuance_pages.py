"""The reference pages say what the code does."""

import dataclasses
from pathlib import Path

import pytest
from cryptography import x509

from mintmark.authority.issuance.lints import LINTS
from mintmark.authority.issuance.ssh_lints import LINTS as SSH_LINTS
from mintmark.model.identifiers import IdentifierType
from mintmark.model.profile import BUILT_IN, OCSP_RESPONDER
from mintmark.model.ssh import SSH_BUILT_IN
from mintmark.model.time import duration
from tests import pki

PAGES = Path(__file__).parents[3] / "docs" / "reference"


def rows(page):
    """Return the cells of every table row of a page."""
    return [
        tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        for line in (PAGES / page).read_text().splitlines()
        if line.startswith("| ") and not line.startswith("|--")
    ]


def test_every_lint_stands_in_its_page_in_order():
    listed = [(row[0].strip("`"), row[1]) for row in rows("lints.md") if row[0].startswith("`")]
    order = [(lint.name, lint.clause) for lint in LINTS]

    assert listed[: len(order) + 1] == [("syntax", "RFC 5280 §4.1"), *order]


def test_every_ssh_lint_stands_in_its_page_in_order():
    (start,) = [at for at, row in enumerate(rows("lints.md")) if row[0] == "SSH lint"]
    listed = [row[0].strip("`") for row in rows("lints.md")[start + 1 :]]

    assert listed == ["syntax", *(name for name, _, _ in SSH_LINTS)]


@pytest.mark.parametrize("profile", SSH_BUILT_IN, ids=lambda each: each.name)
def test_every_built_in_ssh_profile_stands_in_its_page(profile):
    (row,) = [row for row in rows("profiles.md") if row[0] == f"`{profile.name}`"]

    assert row[1:] == (
        f"{profile.type.word}s",
        duration(profile.lifetime),
        f"{duration(profile.lifetime_min)} to {duration(profile.lifetime_max)}",
        ", ".join(f"`{name}`" for name, _ in profile.extensions) or "none",
    )


@pytest.mark.parametrize("profile", [*BUILT_IN, OCSP_RESPONDER], ids=lambda each: each.name)
def test_every_built_in_profile_stands_in_its_page(profile):
    (row,) = [row for row in rows("profiles.md") if row[0] == f"`{profile.name}`"]

    assert row[2:] == (
        duration(profile.lifetime),
        f"{duration(profile.lifetime_min)} to {duration(profile.lifetime_max)}",
        "yes" if profile.rsa_key_encipherment else "no",
    )


def test_extensions_stand_in_their_page_in_encoded_order():
    start = next(at for at, row in enumerate(rows("profiles.md")) if row[0] == "keyUsage")
    listed = [row[0] for row in rows("profiles.md")[start : start + 10]]
    names = {
        x509.KeyUsage: "keyUsage",
        x509.ExtendedKeyUsage: "extendedKeyUsage",
        x509.SubjectKeyIdentifier: "subjectKeyIdentifier",
        x509.AuthorityKeyIdentifier: "authorityKeyIdentifier",
        x509.SubjectAlternativeName: "subjectAltName",
        x509.CRLDistributionPoints: "cRLDistributionPoints",
        x509.AuthorityInformationAccess: "authorityInfoAccess",
        x509.CertificatePolicies: "certificatePolicies",
        x509.TLSFeature: "tlsFeature",
        x509.OCSPNoCheck: "id-pkix-ocsp-nocheck",
    }
    everything = dataclasses.replace(
        OCSP_RESPONDER,
        identifier_types=tuple(IdentifierType),
        certificate_policies=("1.2.3",),
        ocsp_must_staple=True,
        revocation_pointers=True,
    )
    leaf = x509.load_der_x509_certificate(pki.leaf(pki.pki().issuing, profile=everything).der)

    assert [names[type(each.value)] for each in leaf.extensions] == listed
