"""Sections `issuer` and `limits`: what the authority signs for itself, and how fast for others."""

from __future__ import annotations

from typing import Annotated

from mintmark.model.time import DAY, HOUR, MINUTE
from mintmark.server.sections import Section, key, span
from mintmark.server.settings.values import Count


class Issuing(Section, frozen=True, kw_only=True):
    """How long the things are good that the authority signs for itself."""

    crl_lifetime: Annotated[
        Annotated[int, span(10 * MINUTE, 30 * DAY)],
        key(
            "From thisUpdate to nextUpdate of a CRL; it is signed anew before half of it.",
            "an old CRL can be replayed for so long",
        ),
    ] = DAY
    ocsp_lifetime: Annotated[
        Annotated[int, span(5 * MINUTE, 7 * DAY)],
        key(
            "From thisUpdate to nextUpdate of an OCSP response.",
            "an old response can be replayed for so long",
        ),
    ] = 12 * HOUR
    server_certificate_lifetime: Annotated[
        Annotated[int, span(HOUR, 398 * DAY)],
        key("Of the server's own certificate, which renews itself.", "a stolen key works longer"),
    ] = 90 * DAY
    backdate: Annotated[
        Annotated[int, span(0, DAY)],
        key("How far notBefore lies in the past, for clients whose clock is late.", "nothing"),
    ] = 60


class Limits(Section, frozen=True, kw_only=True):
    """How fast certificates can be had."""

    certificates_per_hour: Annotated[
        Count | None,
        key(
            "Of one service, unless its entry says otherwise; null: no limit.", "more certificates"
        ),
    ] = 100
    total_certificates_per_hour: Annotated[
        Count | None, key("Of all services together; null: no limit.", "more certificates")
    ] = 10_000
