"""Promises between files: the core and its stub, reasons and their words, documents and commands,
dependencies and their licences."""

import ast
import email.message
import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import pytest

import source_tree
from slipstream import _core, cli
from slipstream.telemetry.reasons import REASONS

PROJECT = tomllib.loads((source_tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKSPACE = tomllib.loads((source_tree.ROOT / "Cargo.toml").read_text(encoding="utf-8"))
STUB = source_tree.PACKAGE / "_core.pyi"
DOCUMENTS = [source_tree.ROOT / name for name in ("README.md", "ARCHITECTURE.md")]
IMPORT_NAMES = {"eth-account": {"eth_account"}}
COMPATIBLE = re.compile(
    r"MIT|Apache|BSD|ISC|PSF|Python-2\.0|Python Software|MPL-2\.0|Mozilla|Unicode|Unlicense"
    r"|Public Domain|CC0|zlib|Zlib|0BSD|BlueOak|any-OSI",
)
LGPL_LIBRARIES = {"psycopg", "psycopg-binary"}
"""Imported as they are and replaceable by their user, which is what the LGPL asks for."""
CARGO_COMPATIBLE = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def _stub_names() -> set[str]:
    names = set()
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def test_the_stub_and_the_core_have_the_same_names() -> None:
    dunder = {name for name in dir(_core) if name.startswith("__")} - {"__version__"}
    assert set(dir(_core)) - dunder == _stub_names()


@pytest.mark.parametrize("name", sorted(_stub_names()))
def test_each_name_of_the_core_is_used_in_a_test(name: str) -> None:
    folder = source_tree.ROOT / "tests"
    tests = [path for path in source_tree.text_files(".py") if path.is_relative_to(folder)]
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    using = [p for p in tests if p != Path(__file__) and pattern.search(p.read_text("utf-8"))]
    assert using


def _stub_reasons() -> dict[str, int]:
    body = ast.parse(STUB.read_text(encoding="utf-8")).body
    reasons = next(n for n in body if isinstance(n, ast.ClassDef) and n.name == "SkipReason")
    return {
        node.targets[0].id: node.value.value
        for node in reasons.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, int)
    }


def test_every_reason_has_one_code_one_rank_and_one_sentence() -> None:
    stubbed = _stub_reasons()
    assert list(stubbed.values()) == list(range(len(stubbed)))
    for name, value in stubbed.items():
        reason = getattr(_core.SkipReason, name)
        assert (reason.code, reason.mask) == (name, 1 << value)
    assert list(REASONS) == list(stubbed)
    assert len(set(REASONS.values())) == len(REASONS)


def test_every_reason_stops_or_delays_something() -> None:
    idle = [
        name
        for name in REASONS
        for reason in [getattr(_core.SkipReason, name)]
        if not (reason.stops_open or reason.stops_reduction or reason.delays_reduction)
    ]
    assert idle == []


def _commands() -> set[str]:
    return {entry.name for section in cli.SECTIONS.values() for entry in section}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_commands_and_verbs_that_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?m)(?:^|`|\$ |/)slipstream ([a-z][a-z-]*)", text))
    verbs = set(re.findall(r"(?m)(?:^|`|\$ )make ([a-z]+)", text))
    makefile = (source_tree.ROOT / "Makefile").read_text(encoding="utf-8")
    assert named <= _commands()
    assert verbs <= set(re.findall(r"(?m)^([a-z]+):", makefile))
    assert text.strip()


def test_the_readme_names_every_command() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8")
    assert {name for name in _commands() if not re.search(rf"\b{name}\b", text)} == set()


def test_python_and_rust_state_one_version() -> None:
    assert PROJECT["project"]["version"] == WORKSPACE["workspace"]["package"]["version"]
    assert _core.__version__ == PROJECT["project"]["version"]


def _declared() -> set[str]:
    return {
        re.split(r"[<>=;\[ ]", each, maxsplit=1)[0] for each in PROJECT["project"]["dependencies"]
    }


def _imported() -> set[str]:
    found = set()
    for path in source_tree.text_files(".py"):
        if not path.is_relative_to(source_tree.PACKAGE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"slipstream"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = set()
    for name in _declared():
        declared |= IMPORT_NAMES.get(name, {name.replace("-", "_")})
    assert _imported() == declared


def _locked(file: str) -> dict[str, str]:
    text = (source_tree.ROOT / "requirements" / file).read_text(encoding="utf-8")
    return dict(re.findall(r"(?m)^([A-Za-z0-9_.-]+)==([^ \\;]+)", text))


def test_the_lock_files_hold_every_declared_dependency_at_one_version() -> None:
    run, dev = _locked("run.txt"), _locked("dev.txt")
    assert _declared() <= run.keys()
    assert run.items() <= dev.items()


def _licence_words(name: str) -> str | None:
    try:
        found: email.message.Message = metadata(name)  # type: ignore[assignment]
    except PackageNotFoundError:
        return None  # locked for another platform or Python
    words = [found.get("License-Expression") or "", (found.get("License") or "")[:60]]
    words += [each for each in found.get_all("Classifier") or [] if each.startswith("License")]
    return " ".join(words)


def test_wheels_we_run_on_have_compatible_licences() -> None:
    words = {name: _licence_words(name) for name in _locked("run.txt")}
    installed = {name: text for name, text in words.items() if text is not None}
    assert len(installed) >= len(_declared()) - 1
    other = {name for name, text in installed.items() if not COMPATIBLE.search(text)}
    assert other == LGPL_LIBRARIES
    assert all("LGPL-3.0" in installed[name] for name in other)


def _cargo_packages() -> list[dict[str, Any]]:
    host = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True, timeout=30)
    triple = re.search(r"(?m)^host: (\S+)", host.stdout)
    assert triple
    done = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--locked", "--filter-platform", triple[1]],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        cwd=source_tree.ROOT,
    )
    packages: list[dict[str, Any]] = json.loads(done.stdout)["packages"]
    return packages


def _allows(expression: str) -> bool:
    """Whether an SPDX expression of AND and OR leaves us a compatible choice."""
    text = re.sub(r"\s+WITH\s+\S+", "", expression.replace("/", " OR "))
    text = re.sub(r"[()]", " ", text)
    return all(
        any(choice.strip() in CARGO_COMPATIBLE for choice in part.split(" OR "))
        for part in text.split(" AND ")
    )


def test_crates_have_compatible_licences() -> None:
    packages = _cargo_packages()
    assert {"pyo3", "secp256k1"} <= {package["name"] for package in packages}
    bad = {p["name"]: p["license"] for p in packages if not _allows(p["license"] or "")}
    assert bad == {}


@pytest.mark.parametrize(
    ("expression", "is_allowed"),
    [
        ("MIT OR Apache-2.0", True),
        ("MIT/Apache-2.0", True),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("GPL-3.0-only", False),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("", False),
    ],
)
def test_licence_expressions_are_read_as_choices(expression: str, *, is_allowed: bool) -> None:
    assert _allows(expression) is is_allowed


@pytest.mark.parametrize(
    "entry", [e for s in cli.SECTIONS.values() for e in s], ids=lambda e: e.name
)
def test_each_command_is_where_the_table_says(entry: cli.CommandEntry) -> None:
    module = import_module(f"slipstream.commands.{entry.module}")
    assert callable(module.register)
