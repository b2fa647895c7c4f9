"""The sources that IGMP and MLD joins name where the group is a source-specific one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from captures.rules.findings import Finding
from captures.rules.language import knowing

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab

_SHOWN = 20  # frame numbers of a rule that every message of a broken node would fail


@knowing("mmcp-source-specific-join", "D M-6", "handover")
def source_specific_join(lab: Lab) -> Iterator[Finding]:
    """Where the group is a source-specific one, every IGMP or MLD join of MNs and LMCs names its source, and no other."""
    parameters = lab.parameters
    if parameters.source is None:
        return
    senders = [(lmc.name, lmc.interface, [lmc.address]) for lmc in parameters.lmcs]
    senders += [(mn.name, mn.interface, list(mn.addresses.values())) for mn in parameters.mns]
    for name, interface, addresses in lab.watched(senders):
        joins = [
            (report, sources)
            for report in lab.reports_of(interface, addresses)
            for group, sources in zip(report.joins, report.sources, strict=False)
            if group == parameters.group
        ]
        wrong = [(report, sources) for report, sources in joins if sources != (parameters.source,)]
        if wrong:
            _, sources = wrong[0]
            text = (
                f"{name} joined {parameters.group} from {', '.join(sources) or 'any source'}, not {parameters.source}"
            )
            yield Finding(name, "failed", text, tuple(report.number for report, _ in wrong[:_SHOWN]))
        elif joins:
            text = f"{name} joined {parameters.group} from {parameters.source}, {len(joins)} times"
            yield Finding(name, "passed", text, (joins[0][0].number,))
        else:
            yield Finding(name, "unseen", f"{name} was never seen to join {parameters.group}")
