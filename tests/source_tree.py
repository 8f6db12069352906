"""The project's own files, as tests of the tree itself see them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "python" / "slipstream"

_FOREIGN_FOLDERS: Final = {
    ".benchmarks",
    ".git",
    ".hypothesis",
    ".import_linter_cache",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".venv",
    "__pycache__",
    "dist",
    "reports",
    "target",
}
_TEXT_SUFFIXES: Final = {
    "",
    ".json",
    ".lock",
    ".md",
    ".py",
    ".pyi",
    ".rs",
    ".sql",
    ".toml",
    ".txt",
    ".yml",
}


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in _FOREIGN_FOLDERS:
                yield from _walk(path)
        elif path.suffix in _TEXT_SUFFIXES:
            yield path


def text_files(*suffixes: str) -> list[Path]:
    """Return the tree's text files, build output left out; only these suffixes when given."""
    return [path for path in _walk(ROOT) if not suffixes or path.suffix in suffixes]


def name(path: Path) -> str:
    """Return a path as messages show it."""
    return path.relative_to(ROOT).as_posix()
