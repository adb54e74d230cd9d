"""An authority comes to be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mintmark.model.time import DAY, YEAR
from mintmark.server import ceremony, local
from mintmark.server.directory import Directory, State
from tests.cli.conftest import PASSPHRASE


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(PASSPHRASE + "\n")
    file.chmod(0o600)
    return file


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def lifetime(one: x509.Certificate) -> float:
    return (one.not_valid_after_utc - one.not_valid_before_utc).total_seconds()


def test_authority_has_root_intermediate_server_and_admin(authority):
    root = certificate(authority / "root" / "cert.pem")
    intermediate = certificate(authority / "intermediate" / "cert.pem")
    server = certificate(authority / "server" / "cert.pem")
    admin = certificate(authority / "admin" / "cert.pem")

    root.verify_directly_issued_by(root)
    intermediate.verify_directly_issued_by(root)
    server.verify_directly_issued_by(intermediate)
    admin.verify_directly_issued_by(intermediate)
    assert abs(lifetime(root) - 10 * YEAR) < DAY
    assert abs(lifetime(intermediate) - 5 * YEAR) < DAY
    constraints = intermediate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)


def test_secrets_are_readable_by_their_owner_only(authority):
    for file in authority.rglob("key.pem"):
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert (authority / "root").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["root", "intermediate", "audit"])
def test_ca_keys_are_encrypted(authority, name):
    key = (authority / name / "key.pem").read_bytes()

    assert b"ENCRYPTED PRIVATE KEY" in key
    with pytest.raises((TypeError, ValueError)):
        serialization.load_pem_private_key(key, None)
    serialization.load_pem_private_key(key, PASSPHRASE.encode())


def test_configuration_is_written_with_every_key_commented_out(authority):
    text = (authority / "mintmark.yaml").read_text()

    assert "\n  #https_port: 8443\n" in text


def test_init_prints_the_root_fingerprint_and_what_to_do_next(run, passphrase):
    result = run("init", "--passphrase-file", passphrase)

    assert result.status == 0
    openssl = ["openssl", "x509", "-in", "mintmark/root/cert.pem", "-noout", "-sha256"]
    printed = subprocess.run(
        [*openssl, "-fingerprint"], check=True, capture_output=True, text=True
    ).stdout
    assert printed.strip().partition("=")[2] in result.out
    assert "mintmark serve" in result.out


def test_options_shape_the_authority(run, passphrase):
    result = run(
        *("init", "--dir", "ca", "--passphrase-file", passphrase, "--json"),
        *("--organization", "Example", "--country", "DE", "--root-name", "Example Root X1"),
        *("--root-key-type", "ec-p384", "--key-type", "ed25519"),
        *("--root-lifetime", "20y", "--intermediate-lifetime", "1y"),
        *("--name", "ca.example.internal", "--name", "10.1.2.3", "--https-port", "9443"),
    )

    assert result.status == 0, result.err
    assert result.json["API"] == "https://ca.example.internal:9443/api/v1"
    root = certificate(Path("ca/root/cert.pem"))
    intermediate = certificate(Path("ca/intermediate/cert.pem"))
    server = certificate(Path("ca/server/cert.pem"))
    assert root.subject.rfc4514_string() == "CN=Example Root X1,O=Example,C=DE"
    assert intermediate.subject.rfc4514_string() == "CN=Example Intermediate CA,O=Example,C=DE"
    assert isinstance(root.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(intermediate.public_key(), ed25519.Ed25519PublicKey)
    assert abs(lifetime(intermediate) - YEAR) < DAY
    san = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(one.value) for one in san] == ["ca.example.internal", "10.1.2.3"]
    assert Directory(Path("ca")).settings().server.https_port == 9443


def test_a_new_authority_tells_its_ssh_ca_keys(run, passphrase):
    result = run("init", "--passphrase-file", passphrase, "--json")

    for type_ in ("user", "host"):
        told = result.json[f"SSH_{type_}_CA"]
        file = Path(f"mintmark/ssh/{type_}.pub")
        printed = subprocess.run(
            ["ssh-keygen", "-l", "-f", file], check=True, capture_output=True, text=True
        ).stdout
        assert told in printed
        assert "ED25519" in printed


@pytest.mark.parametrize("key_type", ["ec-p256", "ec-p384", "rsa-3072"])
def test_ssh_ca_keys_are_of_the_type_that_is_asked_for(run, passphrase, key_type):
    result = run("init", "--passphrase-file", passphrase, "--ssh-key-type", key_type)

    assert result.status == 0, result.err
    word = Path("mintmark/ssh/user.pub").read_text().split()[0]
    assert (
        word
        == {
            "ec-p256": "ecdsa-sha2-nistp256",
            "ec-p384": "ecdsa-sha2-nistp384",
            "rsa-3072": "ssh-rsa",
        }[key_type]
    )


def test_a_weak_type_of_ssh_ca_key_is_a_usage_error(run, passphrase):
    result = run("init", "--passphrase-file", passphrase, "--ssh-key-type", "rsa-2048")

    assert result.status == 2
    assert not Path("mintmark").exists()


def test_an_authority_without_ssh_is_possible(run, passphrase):
    result = run("init", "--passphrase-file", passphrase, "--no-ssh")

    assert result.status == 0
    assert "SSH" not in result.out
    assert not Path("mintmark/ssh").exists()


def test_config_check_notices_a_lost_ssh_ca_key(run, authority):
    assert run("config", "check").status == 0
    (authority / "ssh" / "host.pem").unlink()

    result = run("config", "check")

    assert result.status == 1
    assert "ssh/host.pem' is missing" in result.err


def test_rsa_authority_is_possible(run, passphrase):
    result = run("init", "--passphrase-file", passphrase, "--key-type", "rsa-2048")

    assert result.status == 0, result.err
    key = certificate(Path("mintmark/intermediate/cert.pem")).public_key()
    assert isinstance(key, rsa.RSAPublicKey)


def test_two_authorities_without_names_have_different_ones(run, passphrase):
    for name in ("a", "b"):
        assert run("init", "--dir", name, "--passphrase-file", passphrase).status == 0

    a, b = (certificate(Path(name, "root", "cert.pem")).subject for name in ("a", "b"))
    assert a != b


def test_existing_authority_is_never_overwritten(run, authority, passphrase):
    before = (authority / "root" / "cert.pem").read_bytes()
    result = run("init", "--passphrase-file", passphrase)

    assert result.status == 1
    assert "there is an authority in 'mintmark' already" in result.err
    assert (authority / "root" / "cert.pem").read_bytes() == before


def test_directory_with_other_files_is_not_taken(run, passphrase, tmp_path):
    (tmp_path / "mintmark").mkdir()
    (tmp_path / "mintmark" / "thesis.txt").touch()

    assert "it holds 'thesis.txt'" in run("init", "--passphrase-file", passphrase).err


def test_prepared_configuration_is_taken_as_it_is(run, passphrase, tmp_path):
    (tmp_path / "mintmark").mkdir()
    file = tmp_path / "mintmark" / "mintmark.yaml"
    file.write_text("server: {names: [ca.example.internal]}\n")

    assert run("init", "--passphrase-file", passphrase).status == 0
    assert file.read_text() == "server: {names: [ca.example.internal]}\n"
    refused = run("init", "--passphrase-file", passphrase, "--dir", "mintmark")
    assert refused.status == 1


def test_options_cannot_contradict_a_prepared_configuration(run, passphrase, tmp_path):
    (tmp_path / "mintmark").mkdir()
    (tmp_path / "mintmark" / "mintmark.yaml").touch()
    result = run("init", "--passphrase-file", passphrase, "--https-port", "9443")

    assert "so options cannot say otherwise" in result.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--name", "a b"), "'server.names[0]'"),
        (("--https-port", "8080"), "are both 8080"),
        (("--country", "Germany"), "named like this"),
        (("--intermediate-lifetime", "11y"), "would outlive its issuer"),
        (("--database", "mysql:x"), "has to begin with sqlite: or postgresql://"),
        (("--resume",), "--resume needs --chain FILE"),
    ],
)
def test_plan_that_cannot_be_is_refused_and_leaves_nothing(run, passphrase, options, words):
    result = run("init", "--passphrase-file", passphrase, *options)

    assert result.status == 1
    assert words in result.err
    assert Directory(Path("mintmark")).state() is State.ABSENT
    assert run("init", "--passphrase-file", passphrase).status == 0


def test_init_that_fails_late_can_be_repeated(run, passphrase, monkeypatch):
    async def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ceremony, "bootstrap", broken)
    assert run("init", "--passphrase-file", passphrase).status == 130
    monkeypatch.setattr(ceremony, "bootstrap", local.bootstrap)

    assert run("init", "--passphrase-file", passphrase).status == 0


def test_database_may_lie_deeper(run, passphrase):
    result = run("init", "--passphrase-file", passphrase, "--database", "sqlite:data/ca.db")

    assert result.status == 0, result.err
    assert Path("mintmark/data/ca.db").exists()


# --- an intermediate signed elsewhere --------------------------------------------------------


class Elsewhere:
    """An authority elsewhere, run with openssl."""

    def __init__(self) -> None:
        self.make("corp", "/O=Corp/CN=Corp Root", ())

    def make(self, name: str, subject: str, more: tuple[str, ...]) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key"),
                *("-out", f"{name}.pem", "-subj", subject, "-days", "3650"),
                *("-addext", "keyUsage=critical,keyCertSign,cRLSign", *more),
            ],
            check=True,
            capture_output=True,
        )

    def sign(self, csr: Path, *extensions: str, days: int = 365) -> Path:
        config = Path("extensions.cnf")
        config.write_text("\n".join(("subjectKeyIdentifier=hash", *extensions)))
        subprocess.run(
            [
                *("openssl", "x509", "-req", "-in", str(csr), "-CA", "corp.pem", "-CAkey"),
                *("corp.key", "-days", str(days), "-extfile", str(config), "-out", "signed.pem"),
            ],
            check=True,
            capture_output=True,
        )
        chain = Path("chain.pem")
        chain.write_bytes(Path("signed.pem").read_bytes() + Path("corp.pem").read_bytes())
        return chain


CA = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign")


@pytest.fixture
def pending(run, passphrase) -> Path:
    result = run("init", "--no-root-key", "--passphrase-file", passphrase, "--name", "localhost")
    assert result.status == 0, result.err
    assert "--resume --chain FILE" in result.out
    return Path("mintmark/intermediate/csr.pem")


def test_intermediate_signed_elsewhere_completes_the_authority(run, passphrase, pending):
    chain = Elsewhere().sign(pending, *CA)
    result = run("init", "--resume", "--chain", chain, "--passphrase-file", passphrase)

    assert result.status == 0, result.err
    assert "CN=Corp Root,O=Corp" in result.out
    issued = run("issue", "web.example", "--offline", "--passphrase-file", passphrase)
    assert issued.status == 0, issued.err
    verified = ["openssl", "verify", "-x509_strict", "-CAfile", "corp.pem", "-untrusted"]
    subprocess.run(
        [*verified, "web.example/chain.pem", "web.example/cert.pem"],
        check=True,
        capture_output=True,
    )
    assert not Path("mintmark/root/key.pem").exists()


def test_chain_may_be_in_any_order(run, passphrase, pending):
    Elsewhere().sign(pending, *CA)
    Path("chain.pem").write_bytes(Path("corp.pem").read_bytes() + Path("signed.pem").read_bytes())
    result = run("init", "--resume", "--chain", "chain.pem", "--passphrase-file", passphrase)

    assert result.status == 0, result.err


def test_pending_authority_is_not_served_and_not_made_again(run, passphrase, pending):
    for command in ("init", "serve", "up"):
        result = run(command, "--passphrase-file", passphrase)

        assert result.status == 1
        assert "waits for its intermediate certificate" in result.err


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        (("basicConstraints=critical,CA:FALSE", CA[1]), "is none of an authority"),
        ((CA[0], "keyUsage=critical,keyCertSign"), "may not sign CRLs"),
        ((CA[0], "keyUsage=critical,cRLSign"), "is none of an authority"),
        ((CA[0],), "no basic constraints or key usage"),
    ],
)
def test_certificate_that_makes_no_authority_is_refused(
    run, passphrase, pending, extensions, words
):
    chain = Elsewhere().sign(pending, *extensions)
    result = run("init", "--resume", "--chain", chain, "--passphrase-file", passphrase)

    assert result.status == 1
    assert words in result.err
    assert Directory(Path("mintmark")).state() is State.PENDING


def test_chain_without_its_root_is_refused(run, passphrase, pending):
    Elsewhere().sign(pending, *CA)
    result = run("init", "--resume", "--chain", "signed.pem", "--passphrase-file", passphrase)

    assert "lacks the certificate of 'CN=Corp Root,O=Corp'" in result.err


def test_chain_with_another_root_of_the_same_name_is_refused(run, passphrase, pending):
    elsewhere = Elsewhere()
    elsewhere.sign(pending, *CA)
    elsewhere.make("other", "/O=Corp/CN=Corp Root", ())
    Path("chain.pem").write_bytes(Path("signed.pem").read_bytes() + Path("other.pem").read_bytes())
    result = run("init", "--resume", "--chain", "chain.pem", "--passphrase-file", passphrase)

    assert "is not issued by" in result.err


def test_certificate_of_another_key_is_refused(run, passphrase, pending):
    Elsewhere()
    result = run("init", "--resume", "--chain", "corp.pem", "--passphrase-file", passphrase)

    assert "is for the intermediate's key" in result.err


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"]
)
def test_file_without_certificates_is_refused(run, passphrase, pending, text):
    Path("chain.pem").write_text(text)
    result = run("init", "--resume", "--chain", "chain.pem", "--passphrase-file", passphrase)

    assert result.status == 1
    assert "chain.pem" in result.err


def test_wrong_passphrase_cannot_complete_it(run, passphrase, pending):
    chain = Elsewhere().sign(pending, *CA)
    passphrase.write_text("something else")
    result = run("init", "--resume", "--chain", chain, "--passphrase-file", passphrase)

    assert result.status == 1
    assert "passphrase" in result.err


def test_resume_without_a_beginning_is_refused(run, passphrase):
    Elsewhere()
    result = run("init", "--resume", "--chain", "corp.pem", "--passphrase-file", passphrase)

    assert "nothing waits for a chain" in result.err
