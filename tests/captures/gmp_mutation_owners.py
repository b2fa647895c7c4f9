"""Which rule of GMP must notice what was done to a packet of scripted GMP; or why a wire does not tell (see `mutation_owners`)."""

from __future__ import annotations

from tests.captures.mutation_owners import Name

_LOST = {
    "SCREQ": "creation-asked", "SCACC": "creation-answered", "SCINF": "creation-asked", "SCCON": "description-answered",
    "SCREJ": "creation-answered", "SCREJ of a description": "resend-pace", "SRREQ": "registration-asked", "SRRES": "closed-at-once", "SRACC": "registration-answered",
    "SRACC in a closed session": "one-outstanding", "SRREJ": "registration-answered",
    "SJREQ": "enrolment-asked", "SJREQ for a key": "enrolment-asked",
    "SJRES": "enrolment-answered", "SJRES that refuses": "activation-answered", "SAREQ": "asks-active", "SAREQ that is refused": "enrolment-asked",
    "SDREQ": "deletion-asked", "SDRES": "deletion-answered", "SDREQ of one gone": "deletion-asked",
    "UIREQ": "members-asked", "UIRES": "members-answered",
    "KAREQ": "keep-alive-asked", "first KAREQ": "keep-alive-asked", "KARES": "keep-alive-answered",
    "first KARES": "keep-alive-answered", "LVREQ of level 0": "keep-alive-period", "LVREQ of level 1": "leave-repeated",
    "LVREQ of level 2": "leave-repeated", "LVREQ that ends": "end-caused", "TRREQ": "end-caused", "TRIND": "end-told",
    "KDUPT": "key-repeated",
}  # fmt: skip
_TWICE = {
    **dict.fromkeys(
        ("SCREQ", "SCINF", "SRREQ", "SJREQ", "SJREQ for a key", "SAREQ", "SAREQ that is refused", "SDREQ", "SDREQ of one gone", "UIREQ", "TRREQ"), "resend-pace"
    ),
    **dict.fromkeys(("SCACC", "SCCON", "SCREJ", "SCREJ of a description", "SCACC that is asked for again"), "creation-asked"),
    "SRRES": "response-asked",
    **dict.fromkeys(("SRACC", "SRACC in a closed session", "SRREJ", "SRREJ in a closed session"), "registration-asked"),
    "SJRES": "enrolment-asked", "SJRES that refuses": "enrolment-asked", "SDRES": "deletion-asked", "SDRES of one gone": "deletion-asked",
    "UIRES": "members-asked", "KAREQ": "keep-alive-period", "KARES": "keep-alive-asked", "first KARES": "keep-alive-asked",
    **dict.fromkeys(("LVREQ of level 0", "LVREQ of level 1", "LVREQ of level 2", "LVREQ that ends"), "leave-repeated"),
    "KDUPT": "key-repeated",
}  # fmt: skip
_SWAPPED = {
    "SCREQ>SCACC": "creation-asked", "SCREQ>SCREJ": "creation-asked", "SCACC>SCINF": "one-outstanding", "SCINF>SCREJ of a description": "creation-asked",
    "SCREJ of a description>SCINF": "resend-pace", "SCINF>SCCON": "creation-asked", "SCREQ>SCACC that is asked for again": "creation-asked",
    "SRREQ>SRACC": "registration-asked", "SRREQ>SRRES": "response-asked", "SRRES>SRACC in a closed session": "closed-at-once",
    "SRRES>SRREJ in a closed session": "closed-at-once", "SRREQ>SRREJ": "registration-asked", "SRACC>SJREQ": "one-outstanding",
    "SJREQ>SJRES": "enrolment-asked", "SJREQ for a key>SJRES": "enrolment-asked", "SAREQ that is refused>SJRES that refuses": "enrolment-asked",
    "SAREQ>first KAREQ": "asks-active", "first KAREQ>first KARES": "keep-alive-asked", "KAREQ>KARES": "keep-alive-asked",
    "SDREQ>SDRES": "deletion-asked", "SDREQ of one gone>SDRES of one gone": "deletion-asked", "UIREQ>UIRES": "members-asked",
    "TRREQ>TRIND": "end-caused",
}  # fmt: skip

KINDS = {*_LOST, *_TWICE}
OWNERS: dict[Name, str] = {
    **{("gmp", kind, how): f"gmp-{rule}" for kind, rule in _LOST.items() for how in ("lost", "held back")},
    ("gmp", "SRREJ in a closed session", "lost"): "gmp-authorised",
    **{("gmp", kind, "damaged"): "gmp-checksum" for kind in KINDS},
    **{("gmp", kind, "doubled"): f"gmp-{rule}" for kind, rule in _TWICE.items()},
    **{("gmp", pair, "swapped"): f"gmp-{rule}" for pair, rule in _SWAPPED.items()},
}
_AGAIN = "it is asked for again, as the clause wants of its loss"
_ANY_ORDER = ("KARES>KDUPT", "KDUPT>KARES", "KDUPT>KAREQ", "KAREQ>KDUPT")
_AT_END = "the capture ends before it is due"
ALLOWED: dict[Name, str] = {
    **{("gmp", "SCACC that is asked for again", how): _AGAIN for how in ("lost", "held back")},
    **{("gmp", "SDRES of one gone", how): _AT_END for how in ("lost", "held back")},
    ("gmp", "SRREJ in a closed session", "held back"): "to decide may take 30 s",
    ("gmp", "first KAREQ", "doubled"): "until it is active, a member may be asked as often as it asks",
    **{
        ("gmp", pair, "swapped"): "there is no order between them: a key may be renewed at any time"
        for pair in _ANY_ORDER
    },
    ("gmp", "TRIND", "doubled"): "an end that is told again is no harm, and nothing acknowledges it",
}
