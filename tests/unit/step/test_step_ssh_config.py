"""Configuration files, hosts and CA keys, as SSH clients ask for them."""

from __future__ import annotations

import base64

import pytest

from mintmark.model.ssh import SSHCertificateType
from tests.unit.step.world import ssh_fields

DATA = {
    "GOOS": "linux",
    "StepBasePath": "/home/u/.step",
    "StepPath": "/home/u/.step",
    "StepSSHTemplateVersion": "v2",
    "User": "alice",
}


def key_line(world, type_):
    (trusted,) = world.authority.ssh.trusts(type_)
    return f"{trusted.key.type} {base64.b64encode(trusted.key.blob).decode()}"


def files(world, type_="user", **data):
    answer = world.post("/ssh/config", {"type": type_, "data": DATA | data}).done(200)
    (templates,) = answer.values()
    assert answer.keys() == {f"{type_}Templates"}
    assert all(one["comment"] == "#" for one in templates)
    return {
        one["name"]: (one["type"], one["path"], base64.b64decode(one["content"]).decode())
        for one in templates
    }


def test_a_user_gets_the_four_files_that_clients_write(world):
    host_key = key_line(world, SSHCertificateType.HOST)

    assert files(world) == {
        "config.tpl": (
            "snippet",
            "~/.ssh/config",
            'Host *\n\tInclude "/home/u/.step/ssh/includes"',
        ),
        "step_includes.tpl": (
            "prepend-line",
            "${STEPPATH}/ssh/includes",
            'Include "/home/u/.step/ssh/config"',
        ),
        "step_config.tpl": (
            "file",
            "ssh/config",
            """\
Match exec "step ssh check-host %h"
\tUser alice
\tUserKnownHostsFile "/home/u/.step/ssh/known_hosts"
\tProxyCommand step ssh proxycommand %r %h %p
""",
        ),
        "known_hosts.tpl": ("file", "ssh/known_hosts", f"@cert-authority * {host_key}\n"),
    }


def test_a_host_gets_its_snippets(world):
    found = files(world, "host", Certificate="ssh_host_key-cert.pub", Key="ssh_host_key")

    assert found == {
        "sshd_config.tpl": (
            "snippet",
            "/etc/ssh/sshd_config",
            """\
Match all
\tTrustedUserCAKeys /etc/ssh/ca.pub
\tHostCertificate /etc/ssh/ssh_host_key-cert.pub
\tHostKey /etc/ssh/ssh_host_key""",
        ),
        "ca.tpl": (
            "snippet",
            "/etc/ssh/ca.pub",
            key_line(world, SSHCertificateType.USER) + "\n",
        ),
    }


@pytest.mark.parametrize("missing", ["Certificate", "Key"])
def test_a_host_says_which_files_are_its_own(world, missing):
    data = {"Certificate": "c", "Key": "k"} | {missing: ""}

    message = world.post("/ssh/config", {"type": "host", "data": data}).refused(400)

    assert message == (
        "The request could not be completed: "
        f"required variable '{missing}' is missing, please use `--set <key=value>` flag."
    )


def test_a_client_without_a_directory_is_told_so(world):
    world.post("/ssh/config", {"type": "user"}).refused(400, "required variable 'StepPath'")


def test_contexts_consoles_and_provisioners_are_passed_on(world):
    _, _, text = files(world, Context="prod", Console="true", Provisioner="people")[
        "step_config.tpl"
    ]

    assert 'Match exec "step ssh check-host --context prod %h"' in text
    assert "proxycommand --context prod --console --provisioner people %r %h %p" in text


def test_windows_has_its_own_paths_and_shell(world):
    paths = {"GOOS": "windows", "StepPath": "C:\\u\\.step", "StepBasePath": "C:\\u\\.step"}

    found = files(world, **paths)

    assert found["config.tpl"][2] == 'Host *\n\tInclude "/u/.step/ssh/includes"'
    assert found["step_includes.tpl"][2] == 'Include "/u/.step/ssh/config"'
    lines = found["step_config.tpl"][2].splitlines()
    assert '\tUserKnownHostsFile "C:\\u\\.step\\ssh\\known_hosts"' in lines
    shell = r"C:\Windows\System32\cmd.exe /c"
    assert f"\tProxyCommand {shell} step ssh proxycommand %r %h %p" in lines


def test_old_clients_write_whole_files(world):
    assert files(world, StepSSHTemplateVersion="")["step_includes.tpl"][:2] == (
        "file",
        "ssh/includes",
    )


def test_the_type_may_stand_in_the_path_and_in_any_case(world):
    assert "userTemplates" in world.post("/ssh/config/user", {"data": DATA}).done(200)
    assert "userTemplates" in world.post("/ssh/config", {"type": "USER", "data": DATA}).done(200)
    assert "userTemplates" in world.post("/ssh/config", {"type": None, "data": DATA}).done(200)
    world.post("/ssh/config", {"type": "both", "data": DATA}).refused(400)


@pytest.mark.parametrize(
    "value", ["a\nProxyCommand evil", 'a" evil', "a\x00", "\u2028", "a b", "$(id)", "a;b", "`id`"]
)
@pytest.mark.parametrize("name", ["User", "Context", "Provisioner", "Certificate", "Key"])
def test_a_variable_is_one_word_of_a_file(world, name, value):
    for type_ in ("user", "host"):
        data = DATA | {"Certificate": "c", "Key": "k"} | {name: value}
        world.post("/ssh/config", {"type": type_, "data": data}).refused(400, f"'{name}'")


@pytest.mark.parametrize("value", ['/a" "/b', "/a\n/b", "/a\x00"])
def test_a_path_is_one_path(world, value):
    world.post("/ssh/config", {"data": DATA | {"StepPath": value}}).refused(400, "'StepPath'")


def test_a_path_may_have_blanks_and_other_variables_anything(world):
    found = files(world, StepPath="/home/a b/.step", Motto='"; and so on\n')

    assert 'UserKnownHostsFile "/home/a b/.step/ssh/known_hosts"' in found["step_config.tpl"][2]


def test_the_keys_to_trust_are_told(world):
    answer = world.get("/ssh/roots").done(200)

    for name, type_ in (("userKey", SSHCertificateType.USER), ("hostKey", SSHCertificateType.HOST)):
        (trusted,) = world.authority.ssh.trusts(type_)
        assert answer[name] == [base64.b64encode(trusted.key.blob).decode()]
    assert world.get("/1.0/ssh/federation").done(200) == answer


def test_without_ssh_everything_of_it_is_not_found(world):
    world.without_ssh()

    world.get("/ssh/roots").refused(404)
    world.get("/ssh/federation").refused(404)
    world.post("/ssh/config", {"type": "user", "data": DATA}).refused(404)
    world.post("/ssh/bastion", {"user": "alice", "hostname": "web01"}).refused(404)
    assert world.get("/ssh/hosts").done(200) == {"hosts": []}
    world.ssh_sign("alice", "user", "alice").refused(404)


def test_a_host_is_reached_by_itself(world):
    asked = {"user": "alice", "hostname": "web01.example.internal"}

    assert world.post("/ssh/bastion", asked).done(200) == {"hostname": "web01.example.internal"}
    world.post("/ssh/bastion", {"user": "alice"}).refused(400)


def test_hosts_are_those_with_a_certificate(world, clock):
    world.ssh_sign("web01.example.internal", "host", "web01.example.internal", "10.0.0.1").done()
    world.ssh_sign("alice", "user", "alice").done()

    listed = world.get("/ssh/hosts").done(200)["hosts"]

    assert listed == [
        {"hid": "", "host_tags": None, "hostname": name}
        for name in ("10.0.0.1", "web01.example.internal")
    ]
    assert world.get("/1.0/ssh/get-hosts").done(200)["hosts"] == listed


@pytest.mark.parametrize("path", ["/ssh/check-host", "/1.0/ssh/check-host"])
def test_a_host_exists_as_long_as_its_certificate_is_good(world, clock, path):
    def exists(name):
        return world.post(path, {"type": "host", "principal": name}).done(200)["exists"]

    world.ssh_sign("web01.example.internal", "host", "web01.example.internal").done()
    assert exists("WEB01.example.internal")
    assert not exists("alice")
    assert not exists("x" * 10_000)

    clock.advance(31 * 86400)
    assert not exists("web01.example.internal")
    assert world.get("/ssh/hosts").done(200) == {"hosts": []}


def test_a_revoked_host_is_gone(world):
    crt = world.ssh_sign("web01.example.internal", "host", "web01.example.internal").done()["crt"]
    serial = str(ssh_fields(crt).serial)
    token = world.token(serial, "ssh/revoke")
    body = {"serial": serial, "ott": token, "reasonCode": 1, "passive": True}
    assert world.post("/ssh/revoke", body).done(200) == {"status": "ok"}

    asked = {"type": "host", "principal": "web01.example.internal"}
    assert world.post("/ssh/check-host", asked).done(200) == {"exists": False}


@pytest.mark.parametrize("body", [{"type": "user", "principal": "a"}, {"type": "host"}, {}])
def test_only_hosts_are_checked_and_by_name(world, body):
    world.post("/ssh/check-host", body).refused(400)
