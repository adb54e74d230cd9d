"""Reasons: a closed set, none of which can be taken back (design rule 4)."""

from __future__ import annotations

from cryptography import x509

from mintmark.model.status import Reason


def test_no_reason_can_be_taken_back():
    """WISeKey 2023: a background service put certificates on hold (RFC 5280 §5.3.1)."""
    assert {reason.value for reason in Reason}.isdisjoint({6, 8})  # certificateHold, removeFromCRL
    assert {reason.word for reason in Reason} == {
        "unspecified",
        "key-compromise",
        "ca-compromise",
        "affiliation-changed",
        "superseded",
        "cessation-of-operation",
        "privilege-withdrawn",
    }


def test_reasons_have_the_names_of_the_rfc():
    theirs = {reason.value.lower() for reason in x509.ReasonFlags}

    assert {reason.word.replace("-", "") for reason in Reason} <= theirs
