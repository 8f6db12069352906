"""What commands print: results on standard output, progress on standard error.

With ``--json`` the last line of standard output is one JSON object and nothing else in that
line. Money in it is decimal text.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_NOTE_COUNT: Final = 10
_WIDTH_UNATTENDED: Final = 120


def emit(value: object, *, as_json: bool, show: Callable[[], RenderableType]) -> None:
    """Print a result: ``value`` as one line of JSON, or what ``show`` renders for a reader.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    if as_json:
        print_json(value)
    else:
        print_table(show())


def print_json(value: object) -> None:
    """Print one line of JSON on standard output.

    Raises:
        ValueError: the value holds NaN or an infinity.
    """
    sys.stdout.write(json.dumps(value, allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_table(renderable: RenderableType) -> None:
    """Print a rich table or text on standard output; plain and wide when nobody watches."""
    width = None if sys.stdout.isatty() else _WIDTH_UNATTENDED
    Console(file=sys.stdout, width=width, highlight=False).print(renderable)


def note(text: str) -> None:
    """Say what is going on, on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far long work has come; yield the call that says how much is done so far.

    A moving bar on a terminal, otherwise a line at each tenth. Only standard error is written.
    """
    if sys.stderr.isatty():
        with _bar() as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.update(task, completed=done)
    else:
        yield _lines(label, total)


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )


def _lines(label: str, total: int) -> Callable[[int], None]:
    tenth_last = -1

    def advance(done: int) -> None:
        nonlocal tenth_last
        tenth = done * _NOTE_COUNT // total if total else _NOTE_COUNT
        if tenth > tenth_last:
            tenth_last = tenth
            note(f"{label}: {done}/{total}")

    return advance
