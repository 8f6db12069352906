"""The command line: help, statuses, and that bad input never ends in a traceback."""

import subprocess
import sys

import pytest
import typer

from slipstream import __version__, cli
from slipstream.errors import ConfigError, InvariantError, SlipstreamError, StoreError

COMMANDS = [entry.name for section in cli.SECTIONS.values() for entry in section]


def _failing_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let ``demo`` be a command that fails, loaded as real ones are."""

    def register(app: typer.Typer) -> None:
        @app.command()
        def demo() -> None:
            raise error

    class Module:
        pass

    module = Module()
    module.register = register  # type: ignore[attr-defined]
    monkeypatch.setattr(cli.importlib, "import_module", lambda _: module)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--help"]) == cli.EXIT_DONE
    text = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([]) == cli.EXIT_DONE
    assert "Usage: slipstream" in capsys.readouterr().out


def test_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == cli.EXIT_DONE
    assert capsys.readouterr().out == f"slipstream {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([name, "--help"]) == cli.EXIT_DONE
    text = capsys.readouterr().out
    assert f"Usage: slipstream {name}" in text
    assert len(text) > 200


@pytest.mark.parametrize("arguments", [["demmo"], ["--nonsense"], ["report", "latency", "--x"]])
def test_bad_usage_is_one_line_and_status_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(arguments) == cli.EXIT_USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("slipstream: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ConfigError("a.toml: mode: found 'x', expected live"), 2, "a.toml: mode: found 'x'"),
        (StoreError("disk full"), 1, "disk full"),
        (FileNotFoundError(2, "No such file or directory", "fills.jsonl"), 2, "fills.jsonl: No"),
        (ExceptionGroup("all", [StoreError("one"), ConfigError("two")]), 2, "one"),
        (ConfigError("two\nlines"), 2, "two lines"),
    ],
)
def test_an_explained_error_is_its_words_and_status(
    error: Exception,
    status: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _failing_with(monkeypatch, error)
    assert cli.run(["demo"]) == status
    assert f"slipstream: {words}" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError(), ExceptionGroup("bug", [KeyError("x")])])
def test_a_bug_is_not_hidden(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing_with(monkeypatch, error)
    with pytest.raises(type(error)):
        cli.run(["demo"])


def test_our_bugs_are_errors_of_ours() -> None:
    assert issubclass(InvariantError, SlipstreamError)


def test_help_imports_no_command_and_no_loop() -> None:
    code = (
        "import sys; from slipstream import cli; cli.run(['--help']); "
        "sys.stderr.write(' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stderr.split())
    assert not {m for m in loaded if m.startswith(("slipstream.commands", "slipstream.runtime"))}
    assert not loaded & {"apsw", "asyncio", "eth_account", "httpx", "rich", "websockets"}
