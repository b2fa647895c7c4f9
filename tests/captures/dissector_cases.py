"""What the tests of all dissectors go through: each protocol, GMP once for each of its modules.

MMCP is not among them: its dissections have another form, and tests of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from scapy.packet import Packet

from captures.dissectors.message_layer import CutShort
from captures.ectp import dissector as ectp
from captures.gmp import dissector as gmp
from captures.msmp import dissector as msmp
from captures.omcp import dissector as omcp
from captures.wire.malformed import MalformedMessageError
from tests.wire import ectp_messages, gmp_messages, msmp_messages, omcp_messages
from tests.wire.vector_files import Plain

WHERE = re.compile(r"\boctet \d+: |\d+ octets are shorter than the header|lacks its mandatory ")
"""What a problem says of where it is."""


@dataclass(frozen=True)
class Case:
    """A kind of messages, how it is read and written, and where examples come from."""

    name: str
    layer: type[Packet]
    dissect: Callable[[bytes], Plain]
    problems: Callable[[Packet], list[str]]
    build: Callable[[Plain], bytes]
    packets: Sequence[str]
    vectors: Sequence[dict[str, Any]]
    fields_of: Callable[[dict[str, Any]], Plain]
    messages: Callable[[str], st.SearchStrategy[Plain]]
    repaired: Callable[[bytes], bytes]

    @property
    def any_message(self) -> st.SearchStrategy[Plain]:
        """Well-formed messages of any type."""
        return st.sampled_from(list(self.packets)).flatmap(self.messages)

    def reads_or_refuses(self, data: bytes) -> bool:
        """Whether the octets are read; whatever else happens than a reading or a refusal fails the test."""
        layer = self.layer(data)
        found = self.problems(layer)
        assert all(WHERE.search(problem) for problem in found), found
        assert isinstance(layer.show(dump=True), str)
        assert self.problems(layer.copy()) == found
        assert ("malformed" in layer.mysummary()) is bool(found)
        try:
            fields = self.dissect(data)
        except MalformedMessageError as error:
            assert str(error) == "; ".join(found)
            assert found
            assert bool(error.read) is not isinstance(layer, CutShort)
            if error.read:
                assert error.read.keys() >= {"packet"}
                assert json.loads(json.dumps(error.read)) == error.read
            return False
        assert not found
        assert self.dissect(self.build(fields)) == fields
        return True


CASES = [
    Case(
        "gmp SM", gmp.GMPSM, gmp.dissect, gmp.problems, gmp.build, gmp_messages.SM_PACKETS, gmp_messages.vectors("SM"),
        gmp_messages.fields_of, gmp_messages.messages_sm, gmp_messages.repaired_sm,
    ),
    Case(
        "gmp MM", gmp.GMPMM, lambda data: gmp.dissect(data, "MM"), gmp.problems, gmp.build, gmp_messages.MM_PACKETS,
        gmp_messages.vectors("MM"), gmp_messages.fields_of, gmp_messages.messages_mm, gmp_messages.repaired_mm,
    ),
    Case(
        "msmp", msmp.MSMP, msmp.dissect, msmp.problems, msmp.build, msmp_messages.PACKETS, msmp_messages.vectors(),
        msmp_messages.fields_of, msmp_messages.messages, msmp_messages.repaired,
    ),
    Case(
        "omcp", omcp.OMCP, omcp.dissect, omcp.problems, omcp.build, omcp_messages.PACKETS, omcp_messages.vectors(),
        omcp_messages.fields_of, omcp_messages.messages, omcp_messages.repaired,
    ),
    Case(
        "ectp", ectp.ECTP, ectp.dissect, ectp.problems, ectp.build, ectp_messages.PACKETS, ectp_messages.vectors(),
        ectp_messages.fields_of, ectp_messages.messages, ectp_messages.repaired,
    ),
]  # fmt: skip
