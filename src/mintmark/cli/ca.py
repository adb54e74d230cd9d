"""`mintmark ca`: what is done to all that an issuer has signed."""

from __future__ import annotations

import click

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import say
from mintmark.cli.reach import reach
from mintmark.client.documents import RenewalWindowsRequest
from mintmark.model.errors import Error, Kind


def renew_now(
    place: Place,
    over: str,
    reason: str | None,
    all_: bool,  # noqa: FBT001 - a flag of the command line
    **selection: str | None,
) -> None:
    """Move renewal windows of certificates."""
    if not all_ and not any(selection.values()):
        raise click.UsageError(
            "say which certificates: --service, --name, --profile, --issuer, --issued-before "
            "or --all"
        )
    is_url = reason is not None and reason.startswith(("https://", "http://"))
    wish = RenewalWindowsRequest(
        service_name=selection["service"],
        name=selection["name"],
        profile=selection["profile"],
        issuer=selection["issuer"],
        issued_before=_moment(selection["issued_before"]),
        all=all_,
        over=over,
        explanation_url=reason if is_url else None,
        reason=reason or "",
    )
    with reach(place) as api:
        moved = api.move_renewal_windows(wish)
    if not moved:
        raise Error(
            Kind.NOT_FOUND,
            "no certificate that is valid and not replaced yet is selected",
            hint=f"see what there is: {place.command('list --status active')}",
        )
    if place.as_json:
        print_json({"moved": moved, "over": over})
        return
    what = f"{moved} certificate{'' if moved == 1 else 's'}"
    say(f"asked for the renewal of {what} within {over}")
    say("ACME clients that look at renewal information hear it when they ask next")


def _moment(text: str | None) -> str | None:
    """Return a time that may have been written as a date, at its beginning in UTC."""
    if text is None or "T" in text.upper() or " " in text:
        return text
    return f"{text}T00:00:00Z"
