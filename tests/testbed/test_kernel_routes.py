"""The kernel's multicast forwarding tables, as this package reads them."""

from __future__ import annotations

import sys

import pytest

from testbed.routing import kernel_routes as module
from testbed.routing.group_state import kernel_sources
from testbed.routing.kernel_routes import KernelRoute, kernel_routes

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the example is a little-endian machine's")

CACHE_4 = """\
Group    Origin   Iif     Pkts    Bytes    Wrong Oifs
010101EF 00000000 2          1      228        0  0:1    1:1    2:1
010101EF 020A000A 2         23     5244        0  1:1
010101EF 030A000A -1         0        0        0
020101EF 040A000A 2         23     5244        0  1:1
"""
CACHE_6 = """\
Group                            Origin                           Iif      Pkts  Bytes     Wrong  Oifs
ff1e:0000:0000:0000:0000:0000:0000:0001 0000:0000:0000:0000:0000:0000:0000:0000 2          1      248        0  0:1
ff1e:0000:0000:0000:0000:0000:0000:0001 2001:0db8:0010:0000:0000:0000:0000:0002 2       1405   348440        0  1:1
ff1e:0000:0000:0000:0000:0000:0000:0001 2001:0db8:0010:0000:0000:0000:0000:0003 -1         0        0        0
"""


INTERFACES_4 = """\
Interface      BytesIn  PktsIn  BytesOut PktsOut Flags Local    Remote
 0 ar1-poa1          0       0      2432      19 00000 0101000A 00000000
 1 ar1-poa2          0       0      2432      19 00000 0101000A 00000000
 2 ar1-rr         2432      19         0       0 00000 0265000A 00000000
"""
INTERFACES_6 = """\
Interface      BytesIn  PktsIn  BytesOut PktsOut Flags
 0 ar1-poa1          0       0         0       0 00000
 1 ar1-poa2          0       0         0       0 00000
 2 ar1-rr            0       0         0       0 00000
"""


@pytest.fixture(params=[4, 6])
def family(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """An IP version, of which process 77 has the tables above."""
    found: int = request.param
    tables = {
        4: {"ip_mr_cache": CACHE_4, "ip_mr_vif": INTERFACES_4},
        6: {"ip6_mr_cache": CACHE_6, "ip6_mr_vif": INTERFACES_6},
    }

    class Table:
        def __init__(self, path: str) -> None:
            folder, _, self.name = path.rpartition("/")
            assert folder == "/proc/77/net"

        def read_text(self) -> str:
            return tables[found][self.name]

    monkeypatch.setattr(module, "Path", Table)
    return found


def test_resolved_routes_with_names_of_interfaces(family: int) -> None:
    group, source = {4: ("239.1.1.1", "10.0.10.2"), 6: ("ff1e::1", "2001:db8:10::2")}[family]
    everywhere, own, *others = kernel_routes(77, family)
    ways = {4: ("ar1-poa1", "ar1-poa2", "ar1-rr"), 6: ("ar1-poa1",)}[family]
    assert everywhere == KernelRoute(group, "*", "ar1-rr", ways, 1)
    assert own == KernelRoute(group, source, "ar1-rr", ("ar1-poa2",), {4: 23, 6: 1405}[family])
    assert [route.group for route in others] == {4: ["239.1.1.2"], 6: []}[family]


def test_sources_of_a_group(family: int) -> None:
    group, sources = {4: ("239.1.1.1", ("*", "10.0.10.2")), 6: ("ff1e:0::1", ("*", "2001:db8:10::2"))}[family]
    assert kernel_sources(77, family, group) == sources
    assert kernel_sources(77, family, {4: "239.1.1.3", 6: "ff1e::3"}[family]) == ()
