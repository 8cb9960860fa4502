"""What a training's last digits depend on besides its plan: the code, the BLAS, the processor."""

import functools
import hashlib
import platform
import subprocess
from pathlib import Path

from threadpoolctl import threadpool_info

from .files import open_file
from .workers import get_workers


def made_with() -> dict[str, str]:
    """By name: the commit, if the package is in a checkout, the BLAS, the CPU, the threads."""
    return {
        "commit": commit(),
        "blas": ", ".join(blas()) or "unknown",
        "cpu": cpu(),
        "threads": str(get_workers().threads),
    }


@functools.cache  # that which runs, not one that comes later
def commit() -> str:
    """The checkout's, and a digest of its changes if it has any; "none" of an installed package."""
    here = Path(__file__).parent

    def git(*words):
        done = subprocess.run(
            ["git", "--no-optional-locks", *words],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=20,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        if git("ls-files", "--error-unmatch", Path(__file__).name) is None:
            return "none"
        commit = git("rev-parse", "--short=12", "HEAD")
        files = git("status", "--porcelain", "--", ".")
        if not files:
            return commit
        changes = f"{files}\n{git('diff', 'HEAD', '--', '.')}"
        return f"{commit} and changes {hashlib.sha256(changes.encode()).hexdigest()[:8]}"
    except (OSError, subprocess.TimeoutExpired):  # no git, or no answer
        return "none"


def cpu() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        with open_file(Path("/proc/cpuinfo")) as file:
            for line in file.read().decode(errors="replace").splitlines():
                name, _, value = line.partition(":")
                if name.strip() == "model name":
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def blas() -> list[str]:
    """Each linear algebra library that is loaded: name, version, and what CPU it takes this for."""
    return [
        f"{found['internal_api']} {found['version']}"
        + (f" ({found['architecture']})" if found.get("architecture") else "")
        for found in threadpool_info()
        if found["user_api"] == "blas"
    ]
