"""Configuration files for SSH clients and hosts, made from what the client says of itself.

The client writes them: a `file` under its own directory, a `snippet` between marks in a file of
others, a `prepend-line` at the head of one. Names and paths are those that step clients know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mintmark.authority.workflow.authority import Authority
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificateType, SSHPublicKey
from mintmark.protocol.step.call import Call, answer
from mintmark.protocol.step.ssh_hosts import no_ssh
from mintmark.wire.http import Response
from mintmark.wire.ssh.encoding import base64_text

_PATHS: Final = frozenset({"StepPath", "StepBasePath"})
_WORDS: Final = frozenset({"User", "Context", "Provisioner", "Certificate", "Key"})
_WORD: Final = re.compile(r"[\w.@:/\\+=,~-]*")
_CMD: Final = r"C:\Windows\System32\cmd.exe /c "


@dataclass(frozen=True, slots=True)
class Template:
    """One file that a client writes.

    Args:
        name: by which clients know it.
        type: how it is written: file, snippet or prepend-line.
        path: where, in the client's words.
        required: data that the client must send.
        content: makes it from data and the CA keys.
    """

    name: str
    type: str
    path: str
    required: tuple[str, ...]
    content: Callable[[Mapping[str, str], Authority], str]


def _keys(authority: Authority, type_: SSHCertificateType) -> list[SSHPublicKey]:
    return [one.key for one in authority.ssh.trusts(type_)]


def _line(key: SSHPublicKey) -> str:
    return f"{key.type} {base64_text(key.blob)}"


def _is_windows(data: Mapping[str, str]) -> bool:
    return data.get("GOOS", "").lower() == "windows"


def _path(data: Mapping[str, str], name: str) -> str:
    """Return a directory of the client as Include reads it: without a drive on Windows."""
    path = data[name]
    return path.removeprefix("C:").replace("\\", "/") if _is_windows(data) else path


def _config(data: Mapping[str, str], _: Authority) -> str:
    base = _path(data, "StepBasePath" if data.get("StepBasePath") else "StepPath")
    return f'Host *\n\tInclude "{base}/ssh/includes"'


def _includes(data: Mapping[str, str], _: Authority) -> str:
    return f'Include "{_path(data, "StepPath")}/ssh/config"'


def _step_config(data: Mapping[str, str], _: Authority) -> str:
    path, context, shell = data["StepPath"], "", ""
    known_hosts = f"{path}/ssh/known_hosts"
    if _is_windows(data):
        known_hosts, shell = f"{path}\\ssh\\known_hosts", _CMD
    if data.get("Context"):
        context = f" --context {data['Context']}"
    options = context
    if data.get("Console") == "true":
        options += " --console"
    if data.get("Provisioner"):
        options += f" --provisioner {data['Provisioner']}"
    return "\n".join(
        [
            f'Match exec "step ssh check-host{context} %h"',
            *([f"\tUser {data['User']}"] if data.get("User") else []),
            f'\tUserKnownHostsFile "{known_hosts}"',
            f"\tProxyCommand {shell}step ssh proxycommand{options} %r %h %p",
            "",
        ]
    )


def _known_hosts(_: Mapping[str, str], authority: Authority) -> str:
    keys = _keys(authority, SSHCertificateType.HOST)
    return "".join(f"@cert-authority * {_line(key)}\n" for key in keys)


def _sshd_config(data: Mapping[str, str], _: Authority) -> str:
    return "\n\t".join(
        [
            "Match all",
            "TrustedUserCAKeys /etc/ssh/ca.pub",
            f"HostCertificate /etc/ssh/{data['Certificate']}",
            f"HostKey /etc/ssh/{data['Key']}",
        ]
    )


def _user_authorities(_: Mapping[str, str], authority: Authority) -> str:
    return "".join(f"{_line(key)}\n" for key in _keys(authority, SSHCertificateType.USER))


_OLD_INCLUDES: Final = Template(
    "step_includes.tpl", "file", "ssh/includes", ("StepPath",), _includes
)
_USER: Final = (
    Template("config.tpl", "snippet", "~/.ssh/config", ("StepPath",), _config),
    Template(
        "step_includes.tpl", "prepend-line", "${STEPPATH}/ssh/includes", ("StepPath",), _includes
    ),
    Template("step_config.tpl", "file", "ssh/config", ("StepPath",), _step_config),
    Template("known_hosts.tpl", "file", "ssh/known_hosts", (), _known_hosts),
)
_HOST: Final = (
    Template(
        "sshd_config.tpl",
        "snippet",
        "/etc/ssh/sshd_config",
        ("Certificate", "Key"),
        _sshd_config,
    ),
    Template("ca.tpl", "snippet", "/etc/ssh/ca.pub", (), _user_authorities),
)


async def config(call: Call) -> Response:
    """Return the files for a client or a host."""
    kind = (call.arguments.get("type") or call.body.type or "user").lower()
    if kind not in {"user", "host"}:
        raise Error(Kind.MALFORMED, f"invalid certType {kind[:40]!r}", hint="send 'user' or 'host'")
    if not call.authority.ssh.trusted:
        raise no_ssh()
    data = {name: value or "" for name, value in (call.body.data or {}).items()}
    _check(data)
    templates = _HOST if kind == "host" else _user_templates(data)
    documents = [_document(one, data, call.authority) for one in templates]
    return answer(200, {f"{kind}Templates": documents})


def _user_templates(data: Mapping[str, str]) -> tuple[Template, ...]:
    """Return the files for a client; clients before 0.18 cannot write a single line."""
    if data.get("StepSSHTemplateVersion"):
        return _USER
    return tuple(_OLD_INCLUDES if one.name == _OLD_INCLUDES.name else one for one in _USER)


def _check(data: Mapping[str, str]) -> None:
    """Refuse what would be more than one word of a configuration file, or of a command in it."""
    for name, value in data.items():
        if name in _PATHS and value.isprintable() and '"' not in value:
            continue
        if (name in _WORDS and not _WORD.fullmatch(value)) or name in _PATHS:
            raise Error(
                Kind.MALFORMED,
                f"variable '{name}' is {value[:60]!r}, which is more than one word",
                hint="leave out quotes, blanks and what a shell reads as more than itself",
            )


def _document(template: Template, data: Mapping[str, str], authority: Authority) -> dict[str, Any]:
    for name in template.required:
        if not data.get(name):
            raise Error(
                Kind.MALFORMED,
                f"required variable '{name}' is missing, please use `--set <key=value>` flag",
            )
    content = template.content(data, authority)
    return {
        "name": template.name,
        "type": template.type,
        "path": template.path,
        "comment": "#",
        "content": base64_text(content.encode()),
    }
