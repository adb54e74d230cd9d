"""A disk that is full, read-only or failing: refused in words, nothing lost, and mended by itself.

The server is not started again in any of these: what it needs to go on is the disk alone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from mintmark.store.sqlite.connection import LOOK_SECONDS
from tests.endurance.journal import assert_kept
from tests.endurance.servers import Server, grows, make, serving, storming, wait
from tests.interop.programs import program, until

pytestmark = pytest.mark.endurance


@contextlib.contextmanager
def small_disk(server: Server, size: str) -> Iterator[Path]:
    """Move an authority onto a disk of its own for the length of a block."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk; the limit on file sizes is tested instead")
    directory = server.authority.directory
    aside = directory.with_name("aside")
    directory.rename(aside)
    directory.mkdir(mode=0o700)
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(directory)]
    subprocess.run(mounted, check=True)
    try:
        shutil.copytree(aside, directory, dirs_exist_ok=True)
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room on a disk, and return the file to delete."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)) == 4096:
            pass
    return filler


def refused_issuance(server: Server) -> str:
    """Ask until the server refuses, and return its sentence; assert its form."""
    with server.connect(server.files) as client:

        def refusal():
            answer = client.issue("refused.storm.internal")
            return answer if answer.status != 201 else None

        answer = until(refusal, "an act is refused")
    assert answer.status == 503, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json["type"] == "urn:mintmark:error:unavailable"
    sentence: str = answer.json["detail"]
    assert str(server.authority.directory) not in answer.body.decode()
    return sentence


def assert_reads(server: Server) -> None:
    """Assert that what needs no writing goes on: who asks is known, CRL and OCSP are served."""
    with server.connect(server.files) as client:
        answer = client.ask("GET", f"/certificates/cert_{server.files.serial:040x}")
        assert answer.status == 200, answer.body
    assert server.plain("/crl/all.pem").status == 200
    assert server.ocsp(server.files) == "good"


def test_full_disk_is_refused_in_words_and_survived(place):
    server = make(place)
    with small_disk(server, "6m") as disk, serving(server):
        with storming(server) as journal:
            wait(grows(journal, 50), "certificates")
            filler = fill(disk)
            assert refused_issuance(server) == "the database cannot be used: the disk is full"
            assert_reads(server)
            filler.unlink()
            wait(grows(journal, 50), "certificates on the emptied disk")
        assert_kept(server, journal)
        server.prove()


def test_file_that_may_not_grow_is_refused_in_words_and_survived(place):
    server = make(place)
    with serving(server), storming(server) as journal:
        wait(grows(journal, 50), "certificates")
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (4096, hard))
        assert "the database cannot be used" in refused_issuance(server)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))
        wait(grows(journal, 50), "certificates without the limit")
    assert_kept(server, journal)
    server.prove()


def test_read_only_database_is_refused_in_words_and_survived(place):
    server = make(place)
    database = server.authority.directory / "mintmark.db"
    if os.geteuid() == 0:  # root without the right to pass over a file's mode
        setpriv = program("setpriv"), "--bounding-set=-dac_override", "--inh-caps=-dac_override"
        server.daemon.command = (*setpriv, "--", *server.daemon.command)
    with serving(server):
        with server.connect(server.files) as client:
            assert client.issue("before.storm.internal").status == 201
        replace_by_copy(database, mode=0o400)

        assert refused_issuance(server) == "the database cannot be used: it is read-only"
        time.sleep(LOOK_SECONDS)  # from then on the copy is read, too
        assert_reads(server)
        database.chmod(0o600)

        with server.connect(server.files) as client:
            assert client.issue("after.storm.internal").status == 201
    server.prove()


def test_database_that_was_moved_away_is_missed_and_found_again(place):
    server = make(place)
    database = server.authority.directory / "mintmark.db"
    away = place / "away"
    away.mkdir()
    with serving(server):
        with server.connect(server.files) as client:
            assert client.issue("before.storm.internal").status == 201
        move(database, away)

        sentence = refused_issuance(server)
        assert sentence == "the database cannot be used: its file cannot be opened"
        assert not database.exists()
        wait(lambda: server.health().status == 503, "the server says how it is")
        assert server.ocsp(server.files) == "try_later"
        move(away / database.name, database.parent)

        with server.connect(server.files) as client:
            assert client.issue("after.storm.internal").status == 201
        assert server.is_healthy()
    server.prove()


def test_disk_that_cannot_make_durable_is_refused_in_words_and_survived(place):
    server = make(place)
    with serving(server), storming(server) as journal:
        wait(grows(journal, 50), "certificates")
        with sync_fails(server):
            sentence = refused_issuance(server)
            assert sentence == "the database cannot be used: reading or writing its file failed"
        wait(grows(journal, 50), "certificates on the mended disk")
        server.kill()
        server.start()
        wait(grows(journal, 50), "certificates after the next start")
    assert_kept(server, journal)
    server.prove()


@contextlib.contextmanager
def sync_fails(server: Server) -> Iterator[None]:
    """Have every fsync(2) of a server fail for the length of a block."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() != 0 and scope.exists() and scope.read_text() != "0\n":
        pytest.skip("the kernel lets only root trace a process that is not its child")
    calls = "trace=fsync,fdatasync", "inject=fsync,fdatasync:error=EIO"
    command = (program("strace"), "-f", "-qq", "-o", "/dev/null", "-e", calls[0], "-e", calls[1])
    tracer = subprocess.Popen([*command, "-p", str(server.pid)])
    try:
        traced = f"TracerPid:\t{tracer.pid}\n"
        wait(lambda: traced in Path(f"/proc/{server.pid}/status").read_text(), "strace")
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait()


def replace_by_copy(database: Path, mode: int) -> None:
    """Put a copy in a database's place, as a restored backup would be."""
    copy = database.with_name("copy.db")
    source = apsw.Connection(str(database))
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    copy.chmod(mode)
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    copy.replace(database)


def move(database: Path, to: Path) -> None:
    """Move a database with what belongs to it."""
    for suffix in ("", "-wal", "-shm"):
        file = database.with_name(database.name + suffix)
        if file.exists():
            file.rename(to / file.name)
