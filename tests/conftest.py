"""What tests share: small things to train; oracles that may be missing, but never in CI."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for reference.py, small.py, command.py

from small import tiny, tiny_merged

from minitorch_alexnet.data import silhouettes
from minitorch_alexnet.models import MODELS

# Where other libraries' files cannot be made, as on a machine that is there for its GPU alone.
MADE_BY_OTHERS = ["interchange/*", "cli/test_interchange.py", "test_fuzz.py"]
collect_ignore_glob = [] if os.environ.get("CI") or find_spec("onnx") else MADE_BY_OTHERS


@pytest.fixture(scope="session")
def torch():
    """PyTorch, the independent implementation to compare with."""
    if os.environ.get("CI"):
        import torch

        return torch
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def garments():
    """Some drawn silhouettes."""
    return silhouettes.load("train", count=150)


@pytest.fixture
def tiny_models(monkeypatch):
    """Two more models for a config to name."""
    monkeypatch.setitem(MODELS, "tiny", tiny)
    monkeypatch.setitem(MODELS, "tiny-merged", tiny_merged)


@pytest.fixture
def set_threads():
    """The package's, undone after the test."""
    from minitorch_alexnet import workers

    before = workers.get_workers().threads
    yield workers.set_threads
    workers.set_threads(before)


def pytest_sessionfinish(session, exitstatus):
    """In CI nothing may be skipped unseen: a skip turns the session red."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
