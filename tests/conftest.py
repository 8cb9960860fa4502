"""What tests share: oracles that may be missing on a bare machine, never in CI."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for reference.py


@pytest.fixture(scope="session")
def torch():
    """PyTorch, the independent implementation to compare with."""
    if os.environ.get("CI"):
        import torch

        return torch
    return pytest.importorskip("torch")
