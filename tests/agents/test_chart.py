"""The chart is of any protocol: here of one whose packets are words."""

from __future__ import annotations

import pytest

from agents.core.agent import Action, Connect, Endpoint, Event, JoinGroup, LeaveGroup, RenewMembership, SendDatagram
from tests.agents.chart import Chart, Reading
from tests.sim.roles import PORTS, Puppet

GROUP = Endpoint("239.1.1.1", 5000)


def read(data: bytes) -> Reading:
    word, _, mark = data.decode().partition(" ")
    return word, mark, {"length": len(data)}


def three() -> Chart:
    chart = Chart(read, PORTS, lambda name, _agent: ("lan", "second") if name == "b" else ("lan",))
    for number, name in enumerate("abc", 1):
        chart.add(name, Puppet(), f"10.0.0.{number}")
    return chart


def does(chart: Chart, name: str, *actions: Action) -> None:
    for action in actions:
        chart.nodes[name].agent.act(action)
    chart.tell(name, Event())
    chart.run_for(1.0)


def words(chart: Chart, name: str) -> list[str]:
    agent = chart.nodes[name].agent
    assert isinstance(agent, Puppet)
    return [heard[1].decode() for heard in agent.heard if isinstance(heard, tuple)]


def test_it_reads_like_a_chart() -> None:
    chart = three()
    to_b = Endpoint("10.0.0.2", 7)
    chart.lose("lost")
    chart.repeat("twice")
    chart.delays["slow"] = 0.5
    does(chart, "a", *(SendDatagram(word, to_b) for word in (b"slow", b"hello +", b"lost", b"twice", b"lost")))
    does(chart, "a", SendDatagram(b"hello", Endpoint("10.0.0.9", 7)), Connect("s", Endpoint("10.0.0.3", 9)))
    assert chart.lines() == [
        "a slow b", "a hello+ b", "a lost b (lost)", "a twice b", "a lost b", "a hello nobody", "a connects c",
    ]  # fmt: skip
    assert words(chart, "b") == ["hello +", "twice", "twice", "lost", "slow"]
    assert chart.times("a slow b") == [0.0]
    assert [sent.fields["length"] for sent in chart.packets("hello")] == [7, 5]


def test_groups_and_interfaces() -> None:
    chart = three()
    does(chart, "b", JoinGroup(GROUP.address, "second", port=GROUP.port, listen="group"))
    does(chart, "c", JoinGroup(GROUP.address, "lan", "10.0.0.1", port=GROUP.port, listen="group"))
    mark = chart.mark()
    does(chart, "a", SendDatagram(b"hello", GROUP))
    does(chart, "b", RenewMembership(GROUP.address, "second"), LeaveGroup(GROUP.address, "second"))
    assert chart.lines() == [
        "b joins 239.1.1.1 on second", "c joins 239.1.1.1 from 10.0.0.1", "a hello 239.1.1.1",
        "b renews 239.1.1.1 on second", "b leaves 239.1.1.1 on second",
    ]  # fmt: skip
    assert chart.lines(mark)[0] == "a hello 239.1.1.1"
    assert words(chart, "c") == ["hello"]
    assert words(chart, "b") == [], "its second interface has no address"


def test_links_and_deaths() -> None:
    chart = three()
    chart.link_down("a", "lan")
    does(chart, "a", SendDatagram(b"unsent", Endpoint("10.0.0.2", 7)))
    chart.link_up("a", "lan")
    chart.kill("b")
    does(chart, "a", SendDatagram(b"unheard", Endpoint("10.0.0.2", 7)))
    assert chart.lines() == ["a link down", "a unsent b (lost)", "a link up", "a unheard nobody"]


def test_roles_that_answer_each_other_forever_are_found() -> None:
    class Echo(Puppet):
        def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
            self.act(SendDatagram(data, source))

    chart = Chart(read, PORTS)
    chart.add("a", Echo(), "10.0.0.1")
    chart.add("b", Echo(), "10.0.0.2")
    chart.give("a", b"again", Endpoint("10.0.0.2", 7))
    with pytest.raises(AssertionError, match="steps in 100 s"):
        chart.run_for(100)
