"""The configuration, `mintmark.yaml`: every key optional, every unknown key refused.

Each key is declared once, with its limits, its meaning and what somebody gains who can change
it; decoding, messages, the commented file of a new authority and the reference page all read
that declaration. Values are checked when they are read, not when they are first used.

One module for each section of the file; `file` puts them together.
"""

from mintmark.server.settings.acme import ACME, Validation, validation
from mintmark.server.settings.acme_provisioner import ACMEEntry
from mintmark.server.settings.file import Settings, check, load, of
from mintmark.server.settings.issuing import Issuing, Limits
from mintmark.server.settings.profile import ProfileEntry, ProfileSubject, profiles
from mintmark.server.settings.provisioner import Codec, ProvisionerEntry, provisioners
from mintmark.server.settings.server import ConnectionLimits, Server, public_http_url
from mintmark.server.settings.ssh import SSH, SSHProfileEntry, ssh_profiles
from mintmark.server.settings.storage import Storage
from mintmark.server.settings.whitelist import (
    ADMIN,
    PatternEntry,
    ServiceEntry,
    Whitelist,
    pattern_rules,
    service_rules,
)

__all__ = [
    "ACME",
    "ADMIN",
    "SSH",
    "ACMEEntry",
    "Codec",
    "ConnectionLimits",
    "Issuing",
    "Limits",
    "PatternEntry",
    "ProfileEntry",
    "ProfileSubject",
    "ProvisionerEntry",
    "SSHProfileEntry",
    "Server",
    "ServiceEntry",
    "Settings",
    "Storage",
    "Validation",
    "Whitelist",
    "check",
    "load",
    "of",
    "pattern_rules",
    "profiles",
    "provisioners",
    "public_http_url",
    "service_rules",
    "ssh_profiles",
    "validation",
]
