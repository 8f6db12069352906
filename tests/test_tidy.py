"""House rules that no linter knows: sizes, names, promises between files."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import source_tree

PYTHON_LINES_MAX = 500
RUST_LINES_MAX = 600
TEST_LINES_MAX = 800
FUNCTION_LINES_MAX = 70
POSITIONAL_MAX = 6

BANNED_FILES = {"common", "data", "helper", "helpers", "info", "manager", "misc", "util", "utils"}
BANNED_NAMES = {"data", "helper", "info", "manager", "util"}
BANNED_CALLS = BANNED_NAMES | {"handle", "process"}
BANNED_CLASS = re.compile(r"(Manager|Helper|Util|Utils|Info|Data)$")
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b(?!\(#\d+\))")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|home|root|Users|mnt|workspace)/[\w.-]+")
REGISTRY = re.compile(r"(?:index-url|extra-index|find-links|registry\+|sparse\+)\S*")
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
SKIPPED = re.compile(r"mark\.(?:skip|skipif|xfail)\b|pytest\.(?:skip|xfail|importorskip)\(")


def _is_test(path: Path) -> bool:
    return path.is_relative_to(source_tree.ROOT / "tests")


def _rust_lines(text: str) -> int:
    """Count a module's lines without its tests, which stand last."""
    return len(text.split("#[cfg(test)]", maxsplit=1)[0].splitlines())


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in source_tree.text_files(".py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{source_tree.name(path)}:{node.lineno} {node.name}", node


def test_files_are_short_enough_to_read() -> None:
    long = {}
    for path in source_tree.text_files(".py", ".rs"):
        text = path.read_text(encoding="utf-8")
        lines = _rust_lines(text) if path.suffix == ".rs" else len(text.splitlines())
        limit = RUST_LINES_MAX if path.suffix == ".rs" else PYTHON_LINES_MAX
        limit = TEST_LINES_MAX if _is_test(path) else limit
        if lines > limit:
            long[source_tree.name(path)] = lines
    assert long == {}, long


def test_functions_are_short_enough_to_read() -> None:
    long = {}
    for where, node in _functions():
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            long[where] = lines
    assert long == {}, long


def test_functions_take_few_positional_parameters() -> None:
    wide = {}
    for where, node in _functions():
        count = len(node.args.posonlyargs) + len(node.args.args)
        if node.args.args and node.args.args[0].arg in {"self", "cls"}:
            count -= 1
        is_typed_by_name = node.name.startswith("test_") or "/commands/" in where
        if count > POSITIONAL_MAX and not is_typed_by_name:
            wide[where] = count
    assert wide == {}, wide


def test_names_say_what_a_thing_is() -> None:
    vague = [
        source_tree.name(path)
        for path in source_tree.text_files(".py", ".rs")
        if path.stem in BANNED_FILES
    ]
    for path in source_tree.text_files(".py"):
        inherited = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = None
            if isinstance(node, ast.FunctionDef) and node.name in {"data_received", "write"}:
                inherited |= set(node.args.args)  # asyncio names it so
            if isinstance(node, ast.ClassDef) and BANNED_CLASS.search(node.name):
                found = node.name
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found = node.name if node.name in BANNED_CALLS else None
            elif isinstance(node, ast.arg) and node.arg in BANNED_NAMES and node not in inherited:
                found = node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found = node.id if node.id in BANNED_NAMES else None
            if found:
                line = getattr(node, "lineno", 0)
                vague.append(f"{source_tree.name(path)}:{line} {found}")
    assert not vague, "\n".join(vague)


def _matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{source_tree.name(path)}:{number} {match.group()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in pattern.finditer(line)
    ]


def _not_this_file(*suffixes: str) -> list[Path]:
    return [path for path in source_tree.text_files(*suffixes) if path != Path(__file__)]


def test_nothing_is_left_for_later_without_an_issue() -> None:
    assert _matches(UNFINISHED, _not_this_file()) == []


def test_no_path_of_a_machine_is_written_down() -> None:
    assert _matches(MACHINE_PATH, _not_this_file()) == []


def test_lock_files_name_no_registry_but_the_public_one() -> None:
    paths = [
        path
        for path in _not_this_file()
        if path.name == "Cargo.lock" or path.parent.name == "requirements"
    ]
    named = {found.split(" ", 1)[1].rstrip('"') for found in _matches(REGISTRY, paths)}
    assert named == {CRATES_IO}
    assert _matches(re.compile(r"https?://"), [p for p in paths if p.suffix == ".txt"]) == []


@pytest.mark.parametrize("suffix", [".py", ".rs"])
def test_no_test_is_skipped(suffix: str) -> None:
    pattern = SKIPPED if suffix == ".py" else re.compile(r"#\[ignore")
    assert _matches(pattern, _not_this_file(suffix)) == []


def test_every_python_module_says_what_it_holds() -> None:
    silent = [
        source_tree.name(path)
        for path in source_tree.text_files(".py")
        if len(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") <= 1
    ]
    assert not silent, "\n".join(silent)
