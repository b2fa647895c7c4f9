"""The agenda of a world in virtual time does what one list, sorted by time and order of arrival, does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testbed.sim.agenda import Agenda

# Close together and far apart, at the same moment, and at the edges of slots.
DELAYS = st.one_of(
    st.sampled_from([0.0, 1 / 256, 2 / 256, 0.005, 1.0, 30.0]), st.floats(0.0, 0.1), st.floats(0.0, 50.0)
)


def nothing(_first: object, _second: object) -> None:
    """What the entries of these tests call."""


@given(
    st.lists(DELAYS, max_size=20),
    st.lists(st.tuples(DELAYS, st.lists(DELAYS, max_size=3)), max_size=10),
)
def test_it_is_a_sorted_list(first: list[float], spans: list[tuple[float, list[float]]]) -> None:
    """Each span of time takes out what has come; while the first of it is carried out, more is put there."""
    agenda, plain = Agenda(), list[tuple[float, int]]()

    def put(time: float) -> None:
        plain.append((time, len(taken) + len(plain)))
        agenda.put(time, nothing, plain[-1], None)

    taken: list[tuple[float, int]] = []
    for delay in first:
        put(delay)
    now = 0.0
    for seconds, more in spans:
        end = now + seconds
        for portion in agenda.take_until(end):
            for agenda.now, _, entry, _ in portion:
                assert entry == min(plain)
                assert agenda.now == entry[0] <= end
                plain.remove(entry)
                taken.append(entry)
                while more:
                    put(agenda.now + more.pop())
        assert all(time > end for time, _ in plain)
        assert len(agenda) == len(list(agenda)) == len(plain)
        now = end


def test_what_is_late_when_it_is_put_there_comes_at_once() -> None:
    agenda = Agenda()
    agenda.put(5.0, nothing, "first", None)
    agenda.put(5.001, nothing, "last", None)
    taken = []
    for portion in agenda.take_until(6.0):
        for agenda.now, _, what, _ in portion:
            taken.append((agenda.now, what))
            if what == "first":
                agenda.put(1.0, nothing, "late", None)
    assert taken == [(5.0, "first"), (5.0, "late"), (5.001, "last")]
