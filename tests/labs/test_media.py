"""The data plane under orders, with and without keys: scenes of inner_media.py, each in a namespace."""

from pathlib import Path

import pytest

from tests.labs.test_runtime import FAMILIES, played

pytestmark = pytest.mark.timeout(120)


@FAMILIES
def test_only_who_has_the_key_opens_the_stream(tmp_path: Path, family: int) -> None:
    played("keys", family, tmp_path, module="inner_media")


def test_a_strangers_player_opens_the_stream_with_the_key_and_not_without(tmp_path: Path) -> None:
    played("clip", 4, tmp_path, module="inner_media")


def test_a_source_says_what_it_cannot_do_and_stops_without_its_role(tmp_path: Path) -> None:
    played("orphan", 4, tmp_path, module="inner_media")
