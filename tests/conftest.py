"""What holds for all tests: a test's folder says what it needs."""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

MARKER_OF_FOLDER = {"labs": "lab", "bench": "bench"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test in tests/labs as lab and every one in tests/bench as bench."""
    for item in items:
        folders = item.path.relative_to(TESTS).parts if item.path.is_relative_to(TESTS) else ()
        marker = MARKER_OF_FOLDER.get(folders[0]) if folders else None
        if marker:
            item.add_marker(marker)
