"""The command line itself: help, mistakes, and the page that describes it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator

import click
import pytest

from mintmark.cli.grammar import COMMANDS
from mintmark.cli.options import Command, program
from mintmark.cli.reference import reference
from tests.pages import assert_made_from_source

HEAVY = ("cryptography", "httpx", "msgspec", "yaml", "asyncio", "ssl", "uvloop", "apsw")


def commands(
    group: Iterable[click.Command] = COMMANDS, above: str = ""
) -> Iterator[tuple[str, Command]]:
    for command in group:
        line = f"{above}{command.name}"
        if isinstance(command, click.Group):
            yield from commands(command.commands.values(), f"{line} ")
        else:
            assert isinstance(command, Command)
            yield line, command


EVERY = [pytest.param(line, command, id=line) for line, command in commands()]


def test_reference_page_is_made_from_this_source():
    assert_made_from_source("cli.md", reference())


@pytest.mark.parametrize(("line", "command"), EVERY)
def test_every_command_has_json_and_dir(line, command):
    options = {option for parameter in command.params for option in parameter.opts}

    assert {"--json", "--dir"} <= options


@pytest.mark.parametrize(("line", "command"), EVERY)
def test_every_option_of_every_command_is_explained(line, command):
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts


@pytest.mark.parametrize(("line", "command"), EVERY)
def test_every_command_has_its_work(line, command):
    import importlib

    module, _, function = command._function.partition(":")

    assert callable(getattr(importlib.import_module(f"mintmark.cli.{module}"), function))


@pytest.mark.parametrize(("line", "command"), EVERY)
def test_every_command_has_help(run, line, command):
    result = run(*line.split(), "--help")

    assert (result.status, result.err) == (0, "")
    assert f"Usage: mintmark {line}" in result.out


@pytest.mark.parametrize("line", ["--help", "--version", "issue --help", "isue", "issue", "-x"])
def test_help_and_mistakes_import_nothing_heavy(line):
    script = (
        "import sys\n"
        "from mintmark.cli.main import main\n"
        "try:\n"
        f"    main({line.split()!r})\n"
        "except SystemExit:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )

    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("line", ["", "audit"])
def test_no_command_shows_the_help(run, line):
    result = run(*line.split())

    assert result.status == 2
    assert result.err.startswith("Usage: mintmark")
    assert "Commands:" in result.err


def test_unknown_command_names_the_nearest(run):
    result = run("isue")

    assert result.status == 2
    assert result.err == (
        "mintmark: error: there is no command 'isue'\n"
        "mintmark: hint: did you mean 'mintmark issue'?\n"
    )


def test_unknown_option_points_to_the_help(run):
    result = run("list", "--colour")

    assert result.status == 2
    assert "no such option '--colour'" in result.err
    assert "mintmark: hint: see: mintmark list --help" in result.err


def test_missing_argument_is_wrong_usage(run):
    result = run("issue")

    assert result.status == 2
    assert "missing argument" in result.err


def test_malformed_duration_is_wrong_usage(run):
    result = run("issue", "web", "--lifetime", "5")

    assert result.status == 2
    assert "'5' is not a duration" in result.err


def test_refusal_has_status_1_and_no_traceback(run):
    result = run("list", "--dir", "nowhere")

    assert result.status == 1
    assert result.err.splitlines()[0] == "mintmark: error: there is no authority in 'nowhere'"
    assert "Traceback" not in result.err


def test_debug_shows_the_traceback(run, monkeypatch):
    monkeypatch.setenv("MINTMARK_DEBUG", "1")

    assert "Traceback" in run("list", "--dir", "nowhere").err


def test_refusal_in_json_is_an_answer_too(run):
    result = run("list", "--dir", "nowhere", "--json")

    assert result.status == 1
    assert result.json["error"]["kind"] == "configuration"
    assert result.json["error"]["detail"] == "there is no authority in 'nowhere'"


def test_shared_options_may_stand_before_the_command(run):
    assert "'elsewhere'" in run("--dir", "elsewhere", "list").err


def test_option_behind_the_command_wins(run):
    assert "'b'" in run("--dir", "a", "list", "--dir", "b").err


def test_directory_comes_from_the_environment(run, monkeypatch):
    monkeypatch.setenv("MINTMARK_DIR", "from-environment")

    assert "'from-environment'" in run("list").err


def test_defect_is_one_line_and_says_so(run, monkeypatch):
    from mintmark.cli import configuration

    def broken(place: object, **_: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(configuration, "check", broken)
    result = run("config", "check")

    assert result.status == 1
    assert result.err.splitlines()[0] == "mintmark: error: ZeroDivisionError: oh"
    assert "a defect in mintmark" in result.err


def test_interrupt_has_status_130(run, monkeypatch):
    from mintmark.cli import configuration

    def interrupted(place: object, **_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(configuration, "check", interrupted)

    assert run("config", "check").status == 130


def test_reader_that_goes_away_is_no_error():
    script = f"{sys.executable} -m mintmark config show --template | head -1"
    result = subprocess.run(["/bin/sh", "-c", script], check=False, capture_output=True, text=True)

    assert result.stderr == ""


def test_program_is_called_as_it_was_typed(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", [".venv/bin/mintmark"])
    monkeypatch.setenv("PATH", str(tmp_path))

    assert program() == ".venv/bin/mintmark"


def test_program_on_the_path_is_called_by_its_name(monkeypatch, tmp_path):
    file = tmp_path / "mintmark"
    file.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(file)])
    monkeypatch.setenv("PATH", str(tmp_path))

    assert program() == "mintmark"


def test_control_characters_of_others_do_not_reach_the_terminal(run, monkeypatch):
    from mintmark.cli import configuration
    from mintmark.cli.output import say
    from mintmark.model.errors import Error, Kind

    def hostile(place: object, **_: object) -> None:
        say("CN=\x1b[2Jcleared\x9b31m\u202egnp")
        raise Error(Kind.MALFORMED, "name '\x1b]0;title\x07'", hint="\rmintmark: done")

    monkeypatch.setattr(configuration, "check", hostile)
    result = run("config", "check")

    assert not set(result.out + result.err) & set("\x1b\x9b\x07\r\u202e")


def test_shell_completion_knows_the_commands():
    result = subprocess.run(
        [sys.executable, "-m", "mintmark"],
        env={"_MINTMARK_COMPLETE": "bash_complete", "COMP_WORDS": "mintmark is", "COMP_CWORD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.stdout == "plain,issue\n"
