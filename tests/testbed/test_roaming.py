"""What a lab of roaming nodes refuses beforehand, and what makes a run of one worthless."""

from __future__ import annotations

import pytest

from testbed.mmcp.roaming import LATE_AT_MOST_S, roaming, session_lab, too_late
from testbed.net.model import Lab, ModelError
from testbed.net.shapes import Shape, line
from testbed.run.laboratory import build_model, parse_values
from testbed.run.mobility import Drift
from testbed.run.options import Values


@pytest.mark.parametrize(
    ("cells", "mobiles", "streams", "words"),
    [(3, 0, 1, "0 mobile nodes"), (3, -1, 1, "-1 mobile nodes"), (3, 1, 0, "0 streams"), (0, 1, 1, "0 cells")],
)
def test_nobody_to_watch_is_refused(cells: int, mobiles: int, streams: int, words: str) -> None:
    shape = line(4, cells) if cells else Shape(4)
    shape.router("another")
    with pytest.raises(ModelError, match=words):
        session_lab("row", shape, mobiles, streams)


def world(values: Values) -> Lab:
    return session_lab("still", line(values.family, 2), 1)


def test_nodes_that_stay_where_they_are_are_refused() -> None:
    still = roaming("still", "nobody moves", world, events=lambda _values, _model: [])
    values = parse_values(still, {})
    with pytest.raises(ModelError, match="no node changes its cell"):
        still.foresee(values, build_model(still, values))


def test_what_happened_too_late_is_another_movement() -> None:
    assert too_late("proactive", Drift(0.001, LATE_AT_MOST_S)) == []
    (said,) = too_late("proactive", Drift(0.001, 3.8))
    assert said.startswith("proactive: what was to happen was 3800.0 ms late at worst")
