"""Rule packs of every protocol that has any: those of the protocols' own rooms, and of IGMP, MLD, PIM, RTP and SAP."""

from __future__ import annotations

from captures.protocols import protocols
from captures.rules.packs.igmp_mld import igmp_pack, mld_pack
from captures.rules.packs.pack import Pack, Settings
from captures.rules.packs.pim import pim_pack
from captures.rules.packs.rtp import rtp_pack
from captures.rules.packs.sap import sap_pack


def all_packs(settings: Settings) -> list[Pack]:
    """Every pack, to be used for one capture."""
    own = [known.rules(settings) for known in protocols() if known.rules is not None]
    return [*own, igmp_pack(), mld_pack(), pim_pack(), rtp_pack(settings), sap_pack()]


def pack_names() -> tuple[str, ...]:
    """What rules can be asked for by."""
    return tuple(pack.name for pack in all_packs(Settings()))


def timer_names() -> tuple[str, ...]:
    """What provisioned times can be given by."""
    return tuple(name for pack in all_packs(Settings()) if pack.timers is not None for name in pack.timers)
