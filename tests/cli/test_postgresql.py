"""An authority whose store is PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import PASSPHRASE
from tests.postgresql import cluster

pytestmark = pytest.mark.postgresql
WEB = "web.example.internal"


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(PASSPHRASE)
    file.chmod(0o600)
    return file


def test_life_of_a_certificate_on_postgresql(run, passphrase):
    secret = ("--passphrase-file", passphrase)
    made = run("init", *secret, "--database", cluster().schema())

    assert made.status == 0, made.err
    assert not Path("mintmark/mintmark.db").exists()
    offline = (*secret, "--offline")
    assert run("issue", WEB, *offline).status == 0
    assert run("revoke", WEB, *offline).status == 0
    assert run("verify", WEB, *offline).status == 1
    assert run("audit", "verify").status == 0
    assert run("db", "migrate").out == "the schema is up to date\n"
    assert run("db", "check", "--json").json["revocations"] == 1


def test_database_that_is_away_leaves_no_half_authority(run, passphrase, tmp_path):
    url = f"postgresql://postgres@/postgres?host={tmp_path}"
    refused = run("init", "--passphrase-file", passphrase, "--database", url)

    assert refused.status == 1
    assert "mintmark: error:" in refused.err
    assert "Traceback" not in refused.err
    assert "a defect" not in refused.err
    assert run("init", "--passphrase-file", passphrase).status == 0


def test_password_in_the_url_is_refused_before_anything_is_made(run, passphrase):
    url = "postgresql://ca:secret@localhost/ca"
    refused = run("init", "--passphrase-file", passphrase, "--database", url)

    assert "put it into a file of mode 0600" in refused.err
    assert "secret" not in refused.err
    assert not Path("mintmark/mintmark.yaml").exists()


def test_relative_password_file_is_found_at_init_too(run, passphrase):
    Path("mintmark").mkdir()
    file = Path("mintmark/database-password")
    file.write_text("unused by a trusting server")
    file.chmod(0o600)
    made = run(
        *("init", "--passphrase-file", passphrase, "--database", cluster().schema()),
        *("--database-password-file", "database-password"),
    )

    assert made.status == 0, made.err
    assert run("db", "check").status == 0
