"""The life of a certificate, without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from mintmark.cli.target import find_target
from mintmark.model.errors import Error

WEB = "web.example.internal"


@pytest.fixture
def web(offline) -> Path:
    """A certificate issued into ./web.example.internal."""
    result = offline("issue", WEB, "--san", "10.1.2.3")
    assert result.status == 0, result.err
    return Path(WEB)


def leaf(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())


def names(one: x509.Certificate) -> list[str]:
    san = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in san]


# --- issue -----------------------------------------------------------------------------------


def test_issue_writes_every_file(web):
    assert sorted(file.name for file in web.iterdir()) == [
        "ca.pem",
        "cert.pem",
        "chain.pem",
        "fullchain.pem",
        "privkey.pem",
    ]
    assert (web / "privkey.pem").stat().st_mode & 0o777 == 0o600
    assert (web / "fullchain.pem").read_text() == (
        (web / "cert.pem").read_text() + (web / "chain.pem").read_text()
    )


def test_issued_files_satisfy_openssl(web):
    subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-CAfile", web / "ca.pem"),
            *("-untrusted", web / "chain.pem", web / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )


def test_issued_certificate_carries_the_names_and_the_key_made_here(web):
    key = load_pem_private_key((web / "privkey.pem").read_bytes(), None)

    assert names(leaf(web)) == [WEB, "10.1.2.3"]
    assert leaf(web).public_key() == key.public_key()  # type: ignore[union-attr]


def test_issue_says_what_it_wrote_and_until_when(offline):
    result = offline("issue", WEB)

    assert f"for {WEB}" in result.out
    assert f"wrote {WEB}/privkey.pem" in result.out
    assert "in 364 days" in result.out
    assert result.err == ""


def test_issue_in_json_holds_no_private_key(offline):
    result = offline("issue", WEB, "--json")

    assert result.json["service_name"] == WEB
    assert f"{WEB}/privkey.pem" in result.json["files"]
    assert "PRIVATE" not in result.out


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_every_key_type_is_issued_and_verified(offline, key_type):
    assert offline("issue", WEB, "--key-type", key_type).status == 0

    result = offline("verify", WEB)
    assert (result.status, result.err) == (0, "")


def test_options_shape_the_certificate(offline):
    result = offline(
        *("issue", WEB, "--out", "here", "--service", "web", "--profile", "server"),
        *("--lifetime", "12h", "--metadata", "owner=platform", "--json"),
    )

    assert result.status == 0, result.err
    assert result.json["service_name"] == "web"
    assert result.json["profile"] == "server"
    assert result.json["metadata"] == {"owner": "platform"}
    assert Path("here", "cert.pem").exists()


def test_international_name_is_issued_in_its_ascii_form(offline):
    assert offline("issue", "bücher.example", "--out", "here").status == 0

    assert names(leaf(Path("here"))) == ["xn--bcher-kva.example"]


def test_uri_and_email_are_names_too(offline):
    result = offline(
        *("issue", "spiffe://example.internal/web", "--san", "ops@example.internal"),
        *("--service", "web", "--out", "here"),
    )

    assert result.status == 0, result.err
    assert names(leaf(Path("here"))) == ["spiffe://example.internal/web", "ops@example.internal"]


def test_name_that_is_no_service_id_asks_for_one(offline):
    result = offline("issue", "*.example.internal")

    assert result.status == 1
    assert "cannot be a service id" in result.err
    assert "--service" in result.err


def test_existing_certificate_of_other_names_is_not_overwritten(offline, web):
    before = (web / "cert.pem").read_bytes()
    result = offline("issue", "other.example.internal", "--out", web)

    assert result.status == 1
    assert f"holds a certificate for 10.1.2.3, {WEB}, not other.example.internal" in result.err
    assert (web / "cert.pem").read_bytes() == before


def test_force_overwrites_it(offline, web):
    assert offline("issue", "other.example.internal", "--out", web, "--force").status == 0

    assert names(leaf(web)) == ["other.example.internal"]


def test_key_without_its_certificate_is_not_overwritten(offline):
    Path(WEB).mkdir()
    Path(WEB, "privkey.pem").write_text("precious")

    assert "is a key without its certificate" in offline("issue", WEB).err
    assert Path(WEB, "privkey.pem").read_text() == "precious"


def test_file_in_the_way_is_not_overwritten(offline):
    Path(WEB).write_text("a file")

    assert f"'{WEB}' is a file" in offline("issue", WEB).err


def test_refused_name_leaves_no_files(offline):
    result = offline("issue", "a b")

    assert result.status == 1
    assert "mintmark: error: DNS name 'a b'" in result.err
    assert not Path("a b").exists()


def test_metadata_has_a_form(offline):
    assert "is not KEY=VALUE" in offline("issue", WEB, "--metadata", "owner").err


# --- sign ------------------------------------------------------------------------------------


@pytest.fixture
def csr(tmp_path: Path) -> Path:
    file = tmp_path / "web.csr"
    subprocess.run(
        [
            *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "web.key", "-out", file),
            *("-subj", f"/CN={WEB}", "-addext", f"subjectAltName=DNS:{WEB}"),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
        ],
        check=True,
        capture_output=True,
    )
    return file


def test_sign_prints_certificate_and_chain(offline, csr):
    result = offline("sign", csr)

    found = x509.load_pem_x509_certificates(result.data)
    assert (result.status, len(found), names(found[0])) == (0, 2, [WEB])


def test_sign_takes_no_extension_from_the_csr(offline, csr):
    found = x509.load_pem_x509_certificates(offline("sign", csr).data)[0]

    for extension in found.extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            assert not extension.value.ca


def test_sign_reads_the_standard_input_in_der(offline, csr):
    der = subprocess.run(
        ["openssl", "req", "-in", csr, "-outform", "DER"], check=True, capture_output=True
    ).stdout
    result = offline("sign", "-", stdin=der)

    assert result.status == 0, result.err


def test_sign_writes_a_file(offline, csr):
    result = offline("sign", csr, "--out", "web.pem", "--san", "www.example.internal")

    assert result.status == 0, result.err
    assert "wrote web.pem" in result.out
    found = x509.load_pem_x509_certificates(Path("web.pem").read_bytes())[0]
    assert set(names(found)) == {WEB, "www.example.internal"}


def test_sign_refuses_what_is_no_csr(offline):
    result = offline("sign", "-", stdin=b"hello")

    assert result.status == 1
    assert "CSR" in result.err


def test_sign_asks_for_names(offline):
    subprocess.run(
        [
            *("openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "k"),
            *("-out", "nameless.csr", "-subj", "/"),
        ],
        check=True,
        capture_output=True,
    )

    assert "the CSR asks for no names" in offline("sign", "nameless.csr").err


# --- renew, rekey, revoke --------------------------------------------------------------------


def test_renew_keeps_the_key_and_replaces_the_certificate(offline, web):
    before, key = leaf(web), (web / "privkey.pem").read_bytes()
    result = offline("renew", web)

    assert result.status == 0, result.err
    assert leaf(web).serial_number != before.serial_number
    assert leaf(web).public_key() == before.public_key()
    assert (web / "privkey.pem").read_bytes() == key


def test_renew_of_an_id_prints_the_certificate(offline, web):
    result = offline("renew", find_target(str(web)).id)

    assert len(x509.load_pem_x509_certificates(result.data)) == 2


def test_renew_to_another_place_takes_the_key_along(offline, web):
    assert offline("renew", web, "--out", "copy").status == 0

    assert Path("copy", "privkey.pem").read_bytes() == (web / "privkey.pem").read_bytes()
    assert Path("copy", "privkey.pem").stat().st_mode & 0o777 == 0o600


def test_rekey_makes_a_new_key_of_the_same_type(offline, web):
    before = leaf(web)
    result = offline("rekey", web)

    assert result.status == 0, result.err
    assert leaf(web).public_key() != before.public_key()
    assert type(leaf(web).public_key()) is type(before.public_key())
    assert names(leaf(web)) == names(before)
    assert offline("verify", web).status == 0


def test_rekey_of_an_id_needs_a_place_for_the_key(offline, web):
    assert "--out" in offline("rekey", find_target(str(web)).id).err


def test_revoked_certificate_stays_revoked(offline, web):
    result = offline("revoke", web, "--reason", "key-compromise")
    again = offline("revoke", web)

    assert result.status == 0, result.err
    assert "(key-compromise)" in result.out
    assert again.status == 1
    assert "revoked already" in again.err or "already" in again.err
    assert "FAIL  revocation" in offline("verify", web).out


def test_certificate_is_named_by_its_file(offline, web):
    assert offline("revoke", web / "fullchain.pem").status == 0


def test_path_that_is_not_there_is_not_taken_for_an_id(offline):
    assert "there is no file or directory './nowhere'" in offline("revoke", "./nowhere").err


def test_file_that_is_no_certificate_is_refused(tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "der").write_bytes(b"\x30\x03\x02\x01\x01")

    for name in ("text", "der"):
        with pytest.raises(Error):
            find_target(str(tmp_path / name))


# --- list, show, export ----------------------------------------------------------------------


def test_list_shows_a_table(offline, web):
    lines = offline("list", "--service", WEB).out.splitlines()

    assert lines[0].split() == ["SERVICE", "NAMES", "PROFILE", "STATUS", "EXPIRES", "ID"]
    assert lines[1].split()[:2] == [WEB, f"{WEB},"]
    assert len(lines) == 2


def test_list_is_filtered(offline, web):
    def listed(*options: str) -> list[str]:
        found = offline("list", "--json", *options).json["certificates"]
        return sorted(one["service_name"] for one in found)

    assert listed() == ["admin-cli", "mintmark-server", WEB]
    assert listed("--expiring", "100d") == ["mintmark-server"]
    assert listed("--name", "10.1.2.3") == [WEB]
    assert listed("--profile", "client") == ["admin-cli"]
    assert listed("--status", "revoked") == []


def test_list_says_when_there_is_more(offline, web):
    result = offline("list", "--limit", "1")

    assert len(result.out.splitlines()) == 2
    assert "there are more than 1" in result.err
    assert offline("list", "--limit", "1", "--json").json["more"] is True


def test_show_of_an_id_names_service_and_status(offline, web):
    found = offline("show", find_target(str(web)).id)

    assert f"service      {WEB}" in found.out
    assert "status       active" in found.out


def test_show_of_a_file_asks_nobody(run, web):
    result = run("show", web / "cert.pem", "--dir", "nowhere", "--json")

    assert result.status == 0, result.err
    assert result.json["names"] == f"{WEB}, 10.1.2.3"
    assert result.json["purposes"] == "server, client"


@pytest.mark.parametrize("form", ["pem", "der", "chain", "fullchain", "pkcs7"])
def test_export_of_a_directory_and_of_an_id_agree(offline, run, web, form):
    of_id = offline("export", find_target(str(web)).id, "--format", form)
    of_directory = run("export", web, "--format", form)

    assert of_id.status == of_directory.status == 0
    assert of_id.data == of_directory.data


def test_pkcs12_of_a_directory_holds_the_key(run, web):
    password = Path("password")
    password.write_text("password-of-the-file\n")
    password.chmod(0o600)
    result = run(
        *("export", web, "--format", "pkcs12", "--password-file", password, "--out", "web.p12")
    )

    assert result.status == 0, result.err
    key, certificate, chain = pkcs12.load_key_and_certificates(
        Path("web.p12").read_bytes(), b"password-of-the-file"
    )
    assert certificate == leaf(web)
    assert key is not None
    assert len(chain) == 1
    assert Path("web.p12").stat().st_mode & 0o777 == 0o600


def test_pkcs12_with_a_key_needs_a_password(run, web):
    result = run("export", web, "--format", "pkcs12")

    assert result.status == 1
    assert "--password-file" in result.err


# --- tokens, audit, database, configuration --------------------------------------------------


def test_token_is_printed_with_the_command_that_uses_it(offline):
    result = offline("token", "web", "--san", WEB)

    assert result.out.startswith("mmt_")
    assert (
        f"mintmark issue {WEB} --token-file token --server https://localhost:8443 --ca ca.pem"
        in result.out
    )


def test_token_in_a_file_is_not_printed(offline):
    result = offline("token", "web", "--out", "token")

    assert "mmt_" not in result.out
    assert Path("token").read_text().startswith("mmt_")
    assert Path("token").stat().st_mode & 0o777 == 0o600
    assert offline("token", "web", "--out", "token").status == 1


def test_audit_log_is_proved(offline, run, web):
    result = run("audit", "verify")

    assert result.status == 0, result.err
    assert "the audit log is whole" in result.out
    assert run("audit", "verify", "--json").json["certificates"] == 3


def test_audit_list_names_the_acts(offline, web):
    lines = offline("audit", "list", "--limit", "1").out.splitlines()

    assert lines[1].split()[2:4] == ["admin-cli", "certificate.request"]


def test_database_is_checked_and_migrated(run, authority):
    assert "the database is fine" in run("db", "check").out
    assert run("db", "migrate").out == "the schema is up to date\n"
    assert run("db", "check", "--json").json["certificates"] == 2


def test_configuration_is_checked_and_shown(run, authority):
    assert run("config", "check").out == "mintmark/mintmark.yaml is fine\n"
    assert "https_port: 8443" in run("config", "show").out
    assert run("config", "show", "--json").json["server"]["https_port"] == 8443
    assert "#https_port: 8443" in run("config", "show", "--template").out


def test_mistakes_in_the_configuration_are_listed(run, tmp_path):
    file = tmp_path / "my.yaml"
    file.write_text("server: {listen: [x], https_port: 8080}")
    result = run("config", "check", file)

    assert result.status == 1
    assert result.err.count("mintmark: error:") == 2


def test_health_is_told(offline):
    assert offline("health").out.startswith("ok (mintmark ")


# --- whom to believe -------------------------------------------------------------------------


def test_offline_and_server_exclude_each_other(offline):
    assert "exclude each other" in offline("list", "--server", "https://localhost").err


def test_certificate_without_key_is_refused(run, authority):
    assert "--cert and --key go together" in run("list", "--cert", "x").err


def test_wrong_passphrase_is_refused(offline, authority):
    (authority / "passphrase").write_text("something else entirely")
    result = offline("list")

    assert result.status == 1
    assert "passphrase" in result.err


def test_passphrase_comes_from_the_environment_and_goes_nowhere_else(
    offline, authority, monkeypatch
):
    import os

    monkeypatch.setenv("MINTMARK_PASSPHRASE", (authority / "passphrase").read_text())
    (authority / "passphrase").unlink()

    assert offline("list").status == 0
    assert "MINTMARK_PASSPHRASE" not in os.environ


def test_missing_passphrase_says_where_it_may_come_from(offline, authority):
    (authority / "passphrase").unlink()
    result = offline("list")

    assert result.status == 1
    assert "--passphrase-file" in result.err
    assert "MINTMARK_PASSPHRASE" in result.err


def test_short_passphrase_is_refused_for_new_keys(run):
    Path("secret").write_text("1234567")
    Path("secret").chmod(0o600)
    result = run("init", "--passphrase-file", "secret", "--dir", "new")

    assert "the passphrase has 7 octets; it needs 8" in result.err
    assert "1234567" not in result.err


def test_passphrase_file_that_others_can_read_is_refused(run):
    Path("secret").write_text("correct horse")
    Path("secret").chmod(0o644)

    assert "chmod 600 'secret'" in run("init", "--passphrase-file", "secret", "--dir", "new").err


def test_server_that_does_not_run_is_said_to(run, authority):
    (authority / "mintmark.yaml").write_text("server: {https_port: 1}")
    result = run("list")

    assert result.status == 1
    assert "cannot connect to https://localhost:1" in result.err
    assert "mintmark serve" in result.err
