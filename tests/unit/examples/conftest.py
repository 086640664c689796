"""The pure parts of the sample backend, loaded by path: they need nothing but the standard library."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BACKEND = Path(__file__).parents[3] / "examples" / "backend"


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def csvfile() -> ModuleType:
    return load("plano_example_csvfile", BACKEND / "src" / "plano_sample" / "csvfile.py")


@pytest.fixture
def build() -> ModuleType:
    return load("plano_example_build", BACKEND / "build.py")
