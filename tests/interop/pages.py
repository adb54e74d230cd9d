"""Pages of the documentation, carried out: what a page says is what was tested.

A page's files are fenced blocks with a `title`, its commands are `console` blocks: a line after
`$ ` (anybody) or `# ` (root) is typed, on another host after `HOST$ `; what follows up to the
next one is what it answers. In an answer `…` stands for anything within a line, and a line `…`
alone for any lines. A command of a block marked `refused` has to fail; every other one has to
succeed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.interop.programs import Daemon, Result, environment, run

# How a server of a page is started, and how it is told to read its files again.
Unit = tuple[Callable[[], AbstractContextManager[Daemon]], Callable[[Daemon], object]]

DOCUMENTS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^(?P<host>[a-z]*)[$#] ", re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')
_SYSTEM_PATH = re.compile(r"(?<![\w./}-])/(?=(?:etc|var|run|opt|usr/local)/)")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Args:
        kind: the language after the fence, as `console`.
        title: the file that it is, empty for none.
        refused: whether its commands have to fail.
        text: what it holds.
    """

    kind: str
    title: str
    refused: bool
    text: str

    def commands(self) -> Iterator[Command]:
        """Yield each command with the answer that the page promises."""
        prompts = [*_PROMPT.finditer(self.text)]
        ends = [*(prompt.start() for prompt in prompts[1:]), len(self.text)]
        for prompt, end in zip(prompts, ends, strict=True):
            lines = self.text[prompt.end() : end].split("\n")
            size = next(n for n, line in enumerate(lines) if not line.endswith("\\")) + 1
            yield Command(prompt["host"], "\n".join(lines[:size]), "\n".join(lines[size:]))


@dataclass(frozen=True)
class Command:
    """One command of a page.

    Args:
        host: on which it is typed; empty where a page has only one.
        text: what is typed.
        promised: what the page says that it answers; empty when it does not say.
    """

    host: str
    text: str
    promised: str


def page(name: str) -> list[Block]:
    """Return the fenced blocks of a page, by its path below `docs`."""
    found = []
    for match in _FENCE.finditer((DOCUMENTS / name).read_text()):
        info = match["info"]
        title = _TITLE.search(info)
        words = _TITLE.sub("", info).split()
        found.append(Block(words[0], title[1] if title else "", "refused" in words, match["text"]))
    return found


def file(name: str, title: str) -> str:
    """Return the content of a file that a page shows."""
    (found,) = (block.text for block in page(name) if block.title == title)
    return found


@dataclass
class Sandbox:
    """A place where the commands of a page do no harm: its own /etc, /var and home.

    Args:
        root: what `/` of the page is.
        words: texts of the page that mean something else here: ports, accounts, hosts.
        handlers: by the first word of a command: done in place of it, as `systemctl`.
        variables: for the commands' environment.
    """

    root: Path
    words: Mapping[str, str] = field(default_factory=dict)
    handlers: Mapping[str, Callable[[str], Result]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.host("")

    @property
    def home(self) -> Path:
        """The directory in which the page's commands are typed."""
        return self.host("")

    def here(self, text: str) -> str:
        """Return a text of the page as it has to read here."""
        text = _SYSTEM_PATH.sub(f"{self.root}/", text)
        for word, other in self.words.items():
            text = re.sub(
                rf"(?<![\w.-]){re.escape(word)}(?![\w-])", other.replace("\\", r"\\"), text
            )
        return text

    def path(self, name: str) -> Path:
        """Return where a file of the page is; `HOST:FILE` is one on another host."""
        host, _, text = self.here(name).rpartition(":")
        return self.host(host) / text

    def write(self, name: str, text: str) -> Path:
        """Write a file of the page."""
        target = self.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.here(text))
        return target

    def host(self, name: str) -> Path:
        """Return the directory in which commands are typed on a host."""
        path = self.root / (name or "home")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def type(self, command: str, host: str = "") -> Result:
        """Carry out one command."""
        command = self.here(command)
        handler = self.handlers.get(command.split()[0])
        if handler is not None:
            return handler(command)
        return run(
            "bash", "-eu", "-c", command,
            cwd=self.host(host), env=environment(**self.variables),
        )  # fmt: skip

    def start_unit(self, name: str) -> None:
        """Do what systemd does for a `oneshot` service of the page."""
        for line in self.path(name).read_text().splitlines():
            if line.startswith("ExecStart="):
                result = self.type(line.removeprefix("ExecStart=").replace("/usr/bin/", ""))
                assert result.status == 0, f"{line}\n{result.text}"

    def follow(self, name: str) -> None:
        """Carry out a whole page in order, and compare what it promises."""
        for block in page(name):
            if block.title:
                self.write(block.title, block.text)
            elif block.kind == "console":
                self._type_all(block)

    def _type_all(self, block: Block) -> None:
        for command in block.commands():
            result = self.type(command.text, command.host)
            said = f"{command.text}\n{result.text}"
            assert (result.status != 0) == block.refused, said
            if command.promised.strip():
                expected = _lines(self.here(command.promised))
                assert answers(expected, _lines(result.text)), said


@dataclass
class Systemd:
    """Does what `systemctl` is told, for the servers of one page.

    Args:
        sandbox: where the page is carried out.
        units: by name: what makes the server run, and what has it read its files again.
    """

    sandbox: Sandbox
    units: Mapping[str, Unit]
    _running: dict[str, Daemon] = field(default_factory=dict)
    _stack: ExitStack = field(default_factory=ExitStack)

    def __call__(self, command: str) -> Result:
        match command.split()[1:]:
            case ["restart", unit]:
                assert unit not in self._running, "a page starts a server once"
                self._running[unit] = self._stack.enter_context(self.units[unit][0]())
            case ["reload", unit]:
                self.units[unit][1](self._running[unit])
            case ["enable", "--now", timer]:
                name = timer.removesuffix(".timer")
                self.sandbox.start_unit(f"/etc/systemd/system/{name}.service")
            case _:
                pytest.fail(f"a page says {command}")
        return Result(0, "")

    def follow(self, name: str) -> None:
        """Carry out a whole page, and end its servers."""
        self.sandbox.handlers = {**self.sandbox.handlers, "systemctl": self}
        with self._stack:
            self.sandbox.follow(name)
        assert self._running.keys() == self.units.keys()


def answers(promised: list[str], said: list[str]) -> bool:
    """Whether what was said, line by line, is what a page promises."""
    if not promised:
        return not said
    if promised[0] == "…":
        return any(answers(promised[1:], said[start:]) for start in range(len(said) + 1))
    return bool(said) and _is_line(promised[0], said[0]) and answers(promised[1:], said[1:])


def _is_line(promised: str, said: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in " ".join(promised.split()).split("…"))
    return re.fullmatch(pattern, " ".join(said.split())) is not None


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]
