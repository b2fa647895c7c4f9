"""Control protocols over UDP and TCP as events: which of them are looked for at which ports."""

from __future__ import annotations

from collections.abc import Mapping

from captures.dissectors import sap
from captures.history.packets import PortProtocol
from captures.protocols import protocols
from captures.wire.framing import Dissected
from captures.wire.malformed import MalformedMessageError


def every_protocol(ports: Mapping[str, int]) -> tuple[PortProtocol, ...]:
    """Every protocol with a port, its own or one that was given by `captures.protocols.port_names`, over UDP, TCP, IP; and SAP.

    Where two have one port, the one that it was given to has it.
    """
    carriers = [(known.port_name(carrier), known, carrier) for known in protocols() for carrier in known.carriers]
    announcements = PortProtocol("sap", "udp", sap.PORT, _announcement, None, "sap")
    return announcements, *(
        PortProtocol(
            known.name,
            carrier.transport,
            port,
            known.reader(carrier.module),
            known.framing if carrier.transport == "tcp" else None,
            name,
        )
        for name, known, carrier in sorted(carriers, key=lambda each: each[0] in ports)
        if (port := carrier.port if carrier.transport == "ip" else ports.get(name, carrier.port)) is not None
    )


def _announcement(payload: bytes) -> Dissected:
    try:
        return sap.dissect(payload)
    except MalformedMessageError as error:
        return "malformed", error.told()
