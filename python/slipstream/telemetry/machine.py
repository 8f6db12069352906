"""What a report must say of where its figures come from: machine, versions, commit, command."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from slipstream._core import build_info

_CPU_INFO: Final = Path("/proc/cpuinfo")
_GIT_TIMEOUT_S: Final = 5
_PEERS: Final = ("apsw", "coincurve", "eth-account", "uvloop")


def describe(*, seed: int | None = None, scenario: str | None = None) -> dict[str, object]:
    """Return the head of a report: plain JSON values, ``None`` where nothing is known.

    ``command`` is this process's own command line; no directory of this machine is in it.
    """
    return {
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": build_info(),
        "versions": {name: _version(name) for name in _PEERS},
        "commit": _commit(),
        "command": _command(),
        "scenario": scenario,
        "seed": seed,
    }


def _cpu_model() -> str | None:
    if not _CPU_INFO.exists():
        return platform.processor() or None
    for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.processor() or None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the checkout this package runs from, ``+`` when it was changed.

    ``None`` for an installed wheel, or without git.
    """
    git = shutil.which("git")
    root = Path(__file__).resolve().parents[3]
    if git is None or not (root / ".git").exists():
        return None
    head = _git(git, root, "rev-parse", "--short=12", "HEAD")
    if head is None:
        return None
    changes = _git(git, root, "status", "--porcelain", "--untracked-files=no")
    return f"{head}+" if changes else head


def _git(git: str, root: Path, *arguments: str) -> str | None:
    done = subprocess.run(  # noqa: S603 (fixed arguments)
        [git, "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=_GIT_TIMEOUT_S,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
