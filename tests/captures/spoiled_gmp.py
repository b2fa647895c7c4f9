"""Good GMP spoiled, each time with the rules that must notice; and what looks odd but is right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.captures.scripted_gmp import SDP, TOKEN, ScriptedGMP, key, number, place, text
from tests.captures.scripted_link import Sent
from tests.captures.spoiling import Spoil, both, flip_last


def again(tag: str, at_s: float, *of: Any, **fields: Any) -> Spoil:
    """The message in another's place, with other fields; `of` are session, user and, of module MM, member type."""

    def spoil(link: Any) -> None:
        link.drop(tag)
        say(tag, at_s, *of, **fields)(link)

    return spoil


def say(tag: str, at_s: float, *of: Any, **fields: Any) -> Spoil:
    """One message more."""

    def spoil(link: Any) -> None:
        assert isinstance(link, ScriptedGMP)
        (link.mm if len(of) == 3 else link.gmp)(at_s, tag, *of, **fields)

    return spoil


def drop(*tags: str) -> Spoil:
    return lambda link: [link.drop(tag) for tag in tags]


def move(tag: str, by_s: float) -> Spoil:
    return lambda link: link.move(tag, by_s)


def copy(tag: str, by_s: float) -> Spoil:
    return lambda link: link.copy(tag, by_s)


def _version_two(frame: Sent) -> Sent:
    return replace(frame, data=frame.data[:42] + bytes([0x20 | frame.data[42] & 15]) + frame.data[43:])


REASON = {code: [number(20, code, 2)] for code in range(10)}
CLEAR = {"key_length": 30, "options": [[18, bytes(30).hex()], number(19, 1), number(23, 0)]}

FORM: dict[str, tuple[Spoil, set[str]]] = {
    "a message of two versions": (lambda link: link.change("dora.SCREQ", _version_two), {"well-formed", "checksum"}),
    "a flipped bit": (flip_last("paul.3.KARES"), {"checksum"}),
    "a name in SJREQ": (again("paul.SJREQ", 1.21, 5, 3, options=[text(16, "paul")]), {"options"}),
    "SCREQ of a user": (again("dora.SCREQ", 12.45, 9, 9, s=1), {"identifiers"}),
    "SJREQ of nobody": (again("paul.SJREQ", 1.21, 5, 0), {"identifiers"}),
    "a refusal without a reason": (again("dora.SRREJ", 1.97, 99, 0), {"refusal-reason"}),
    "a refusal for reason 9": (again("dora.SRREJ", 1.97, 99, 0, options=REASON[9]), {"refusal-reason"}),
    "secure mode refused without S": (again("dora.SCREJ", 12.452, 0, 0, options=REASON[3]), {"refusal-reason"}),
    "a keep-alive that ends": (again("kern.3.KAREQ", 5.102, 5, 2, 2, ss=1), {"ending-flag"}),
    "an end that ends nothing": (again("kern.TRIND", 20.603, 5, 2, 2), {"ending-flag"}),
    "level 3": (again("paul.0.0.LVREQ", 10.6, 5, 3, 1, reserved=3), {"leave-level", "leave-repeated"}),
    "a key in the clear": (again("anna.SJRES", 2.602, 6, 2, **CLEAR), {"key-wrapped"}),
    "another Key Length": (again("anna.SJRES", 2.602, 6, 2, **{**key(1), "key_length": 16}), {"key-wrapped"}),
    "a key without its roll-over counter": (
        again("anna.SJRES", 2.602, 6, 2, **{**key(1), "options": key(1)["options"][:2]}), {"key-wrapped"},
    ),
    "KDUPT without a key": (
        again("otto.1.KDUPT", 11.004, 6, 1, 4, options=[number(19, 2)]), {"key-update-has-key"},
    ),
    "a long list": (
        again("anna.UIRES", 6.602, 6, 2, 1, ui=1, members=[[1, 4], [2, 1], [3, 1], [4, 1], *([n, 1] for n in range(100, 460))]),
        {"members-size"},
    ),
    "somebody twice": (
        again("anna.UIRES", 6.602, 6, 2, 1, ui=1, members=[[1, 4], [2, 1], [3, 1], [4, 1], [2, 1]]), {"members-words"},
    ),
    "others in a closed session": (
        again("anna.UIRES", 6.602, 6, 2, 1, ui=1, members=[[1, 4], [2, 1], [3, 1], [4, 1], [0, 1, 2]]), {"members-words"},
    ),
    "others before the core members": (
        again("paul.UIRES", 8.602, 5, 3, 1, ui=1, members=[[1, 4], [0, 1, 2], [2, 2]]), {"members-words"},
    ),
    "open mode in a closed session": (again("anna.3.KAREQ", 6.152, 6, 2, 1, mode=1, reserved=1), {"mode"}),
    "a participant as core member": (again("late.3.KARES", 9.204, 5, 4, 2), {"member-type"}),
    "a participant as creator": (again("anna.3.KARES", 6.154, 6, 2, 4), {"member-type"}),
    "another group": (again("kern.3.KAREQ", 5.102, 5, 2, 2, group="239.1.1.2"), {"one-group"}),
}  # fmt: skip

ASKED: dict[str, tuple[Spoil, set[str]]] = {
    "no SCACC": (drop("dora.SCREJ"), {"creation-answered"}),
    "no SCCON": (drop("nemo.SCCON"), {"description-answered"}),
    "no SRACC": (drop("kern.SRACC"), {"registration-answered"}),
    "no SJRES": (drop("kern.SJRES"), {"enrolment-answered"}),
    "no KAREQ to SAREQ": (drop("late.0.KAREQ", "late.0.KARES"), {"activation-answered"}),
    "no SDRES": (drop("nemo.0.SDRES"), {"deletion-answered"}),
    "no UIRES": (drop("anna.UIRES"), {"members-answered"}),
    "no KARES": (drop("paul.3.KARES"), {"keep-alive-answered"}),
    "never decided": (both(drop("nemo.SRREJ"), say("nemo.9.SRREQ", 40, 98, 0), say("nemo.9.SRREJ", 40.02, 98, 0, options=REASON[4])), {"authorised"}),
    "two SCACC": (copy("carla.SCACC", 0.001), {"creation-asked"}),
    "two SCREJ": (copy("dora.SCREJ", 0.001), {"creation-asked"}),
    "two SCCON": (copy("carla.SCCON", 0.001), {"creation-asked"}),
    "two SRRES": (copy("anna.SRRES", 0.001), {"response-asked"}),
    "two SRACC": (copy("kern.SRACC", 0.001), {"registration-asked"}),
    "two SJRES": (copy("kern.SJRES", 0.001), {"enrolment-asked"}),
    "two SDRES": (copy("carla.SDRES", 0.001), {"deletion-asked"}),
    "two UIRES": (copy("anna.UIRES", 0.001), {"members-asked"}),
    "two KARES": (copy("paul.3.KARES", 0.001), {"keep-alive-asked"}),
    "decided without SRRES": (drop("bert.SRRES"), {"closed-at-once"}),
    "a late SRRES": (both(move("bert.SRRES", 0.6), move("bert.SRACC", 0.6)), {"closed-at-once"}),
    "SRREQ again at once": (copy("kern.SRREQ", 0.001), {"resend-pace"}),
    "a fourth SDREQ": (
        both(drop("nemo.1.SDREQ", "nemo.1.SDRES"), *(say(f"nemo.1{n}.SDREQ", 9 + n, 7, 1) for n in range(4)), say("nemo.1.SDRES", 12.1, 7, 1)),
        {"resend-pace"},
    ),
    "SRREQ again after SRRES": (
        both(move("bert.SRACC", 2), copy("bert.SRREQ", 1.2), move("bert.SJRE?", 2), move("bert.SAREQ", 2), move("bert.[0-9]*.KARE?", 0.6)), {"resend-pace"},
    ),
    "level 1 twice": (drop("eve.1.2.LVREQ"), {"leave-repeated"}),
    "level 0 four times": (
        both(*(say(f"paul.9{n}.LVREQ", 17 + n, 5, 3, 1, reserved=0) for n in range(4))), {"leave-repeated"},
    ),
    "two requests at once": (both(move("kern.SRACC", 0.1), move("kern.SJREQ", -0.005), move("kern.SJRES", 0.11)), {"one-outstanding"}),
    "SCREQ again gets another session": (
        both(again("nemo.1.SCACC", 3.902, 8, 1)), {"same-creation"},
    ),
}  # fmt: skip

SESSION: dict[str, tuple[Spoil, set[str]]] = {
    "an ID that is taken": (
        both(say("dora.9.SCREQ", 15, 0, 0), say("dora.9.SCACC", 15.002, 5, 9)), {"session-unique"},
    ),
    "a user that is there": (both(say("dora.9.SRREQ", 7, 5, 0, options=[text(16, "dora")]), say("dora.9.SRACC", 7.002, 5, 2)), {"user-unique"}),
    "a name at two addresses": (
        both(say("dora.9.SRREQ", 7, 5, 0, options=[text(16, "paul")]), say("dora.9.SRACC", 7.002, 5, 9)), {"one-name"},
    ),
    "a name that becomes another user": (
        both(say("paul.9.SRREQ", 7, 5, 0, options=[text(16, "paul")]), say("paul.9.SRACC", 7.002, 5, 9)), {"one-name"},
    ),
    "refused for lack of resources, as may be": (again("nemo.SRREJ", 1.87, 6, 0, options=REASON[1]), set()),
    "accepted by a wrong token": (both(drop("nemo.SRREJ"), say("nemo.SRACC", 1.87, 6, 9)), {"admission"}),
    "accepted without invitation": (both(drop("mallory.SRREJ"), say("mallory.SRACC", 1.77, 6, 9)), {"admission"}),
    "refused for a token that is right": (
        both(again("anna.SRACC", 1.52, 6, 2), say("eve.9.SRREQ", 16, 6, 0, options=[text(16, "eve"), [17, TOKEN]]),
             say("eve.9.SRRES", 16.002, 6, 0), say("eve.9.SRREJ", 16.02, 6, 0, options=REASON[5])),
        {"admission"},
    ),
    "refused for a token, in an open session": (
        both(say("dora.9.SRREQ", 7, 5, 0, options=[text(16, "dora")]), say("dora.9.SRREJ", 7.002, 5, 0, options=REASON[5])), {"admission"},
    ),
    "SRRES in an open session": (say("kern.SRRES", 1.001, 5, 0), {"response-closed"}),
    "a closed session without token": (again("otto.SCCON", 0.812, 6, 1), {"token"}),
    "an open session with token": (again("carla.SCCON", -0.978, 5, 1, options=[[17, TOKEN]]), {"token"}),
    "no media, and confirmed": (again("nemo.SCINF", 4.01, 7, 1, i=1, options=[text(1, "x")]), {"description"}),
    "a period of 0, and confirmed": (
        again("nemo.SCINF", 4.01, 7, 1, i=1, options=[text(1, "x"), [6, SDP], [8, "001e0000"]]), {"description"},
    ),
    "no media, refused for reason 1": (again("carla.bad.SCREJ", -0.988, 5, 1, options=REASON[1]), {"description"}),
    "enrolled for another": (
        both(say("nemo.9.SJREQ", 7, 5, 4), say("nemo.9.SJRES", 7.002, 5, 4)), {"own-identity"},
    ),
    "started too early": (both(move("kern.S[RJ]*", 1.5), drop("kern.SAREQ", "kern.[0-9]*.KARE?", "kern.TRIND"), again("paul.UIRES", 8.602, 5, 3, 1, ui=1, members=[[1, 4], [0, 1, 2]])), {"start-condition", "start-enrolled"}),
    "started before a core member enrolled": (both(move("kern.SJRE?", 1.5), drop("kern.SAREQ", "kern.[0-9]*.KARE?", "kern.TRIND"), again("paul.UIRES", 8.602, 5, 3, 1, ui=1, members=[[1, 4], [0, 1, 2]])), {"start-enrolled"}),
    "an active session deleted": (
        both(say("carla.9.SDREQ", 18, 5, 1), say("carla.9.SDRES", 18.002, 5, 1)), {"deletion", "nothing-after-end"},
    ),
    "deleted by a member": (
        both(drop("nemo.0.SD*", "nemo.1.SD*"), say("dora.9.SRREQ", 6, 7, 0, options=[text(16, "dora")]), say("dora.9.SRACC", 6.002, 7, 2),
             say("dora.9.SDREQ", 8, 7, 2), say("dora.9.SDRES", 8.002, 7, 2)),
        {"deletion"},
    ),
    "forgotten after five seconds": (again("nemo.1.SDRES", 9.002, 7, 1, options=REASON[4]), {"deletion"}),
    "remembered for two minutes": (both(say("nemo.9.SDREQ", 125, 7, 1), say("nemo.9.SDRES", 125.002, 7, 1)), {"deletion"}),
    "unknown, and there": (
        both(say("dora.9.SRREQ", 7, 5, 0, options=[text(16, "dora")]), say("dora.9.SRREJ", 7.002, 5, 0, options=REASON[4])), {"known-session"},
    ),
}  # fmt: skip

MEMBERS: dict[str, tuple[Spoil, set[str]]] = {
    "enrolled, and not registered": (
        both(say("paul.9.SJREQ", 18, 5, 3), say("paul.9.SJRES", 18.002, 5, 3)), {"enrols-registered"},
    ),
    "asked after it left": (
        both(say("eve.9.KAREQ", 9.95, 6, 4, 1, reserved=1)), {"asks-active"},
    ),
    "activated, and not enrolled": (
        both(drop("late.SJRE?")), {"asks-active"},
    ),
    "asked again after a silence": (
        both(drop("late.[6-9].KARES", "late.1[0-4].KARES")), {"asks-active", "keep-alive-answered"},
    ),
    "members told to one that left": (
        both(say("eve.9.UIREQ", 12, 6, 4, 1), say("eve.9.UIRES", 12.002, 6, 4, 1, ui=1, members=[[1, 4], [2, 1], [3, 1]])), {"tells-active"},
    ),
    "another port": (
        again("kern.3.KAREQ", 5.102, 5, 2, 2, at=(place("kern")[0], 50000)), {"own-port"},
    ),
    "another period": (again("kern.3.KAREQ", 5.102, 5, 2, 2, timeout=40), {"keep-alive-told"}),
    "a period left out": (drop("kern.3.KARE?"), {"keep-alive-period"}),
    "asked twice": (both(copy("kern.3.KAREQ", 0.4), copy("kern.3.KARES", 0.4)), {"keep-alive-period"}),
    "asked no more": (drop("paul.[3-9].KARE?"), {"keep-alive-period"}),
    "one left out of the list": (
        again("anna.UIRES", 6.602, 6, 2, 1, ui=1, members=[[1, 4], [2, 1], [4, 1]]), {"members-listed"},
    ),
    "nobody counted": (again("paul.UIRES", 8.602, 5, 3, 1, ui=1, members=[[1, 4], [2, 2], [0, 1, 1]]), {"members-listed"}),
    "one too many": (
        both(say("anna.9.UIREQ", 12, 6, 2, 1), say("anna.9.UIRES", 12.002, 6, 2, 1, ui=1, members=[[1, 4], [2, 1], [3, 1], [4, 1]])), {"members-listed"},
    ),
    "the end not told": (drop("late.TRIND"), {"end-told"}),
    "a creator leaves, and nobody is told": (
        both(drop("anna.TRIND", "bert.TRIND", "otto.TRIND"), say("anna.99.KAREQ", 24, 6, 2, 1, reserved=2), say("anna.99.KARES", 24.002, 6, 2, 1)), {"end-told"},
    ),
    "ended by nobody": (drop("carla.TRREQ"), {"end-caused"}),
    "asked after the end": (
        both(say("late.99.KAREQ", 21.2, 5, 4, 1), say("late.99.KARES", 21.202, 5, 4, 1)), {"nothing-after-end"},
    ),
}  # fmt: skip

KEYS: dict[str, tuple[Spoil, set[str]]] = {
    "no key in a secure session": (again("anna.SJRES", 2.602, 6, 2), {"key-where-secure"}),
    "a key in a session that is not secure": (again("kern.SJRES", 1.012, 5, 2, **key(1)), {"key-where-secure"}),
    "no MM port": (again("anna.SJREQ", 2.6, 6, 2), {"secure-port"}),
    "an old key": (again("bert.again.SJRES", 15.452, 6, 3, **key(1)), {"newest-key"}),
    "an old generation": (again("otto.12.KAREQ", 15.052, 6, 1, 4, reserved=1), {"generation-told", "key-fetched"}),
    "a generation in a session that is not secure": (again("kern.3.KAREQ", 5.102, 5, 2, 2, reserved=1), {"generation-told"}),
    "a key for one that is gone": (
        both(*(say(f"eve.9{n}.KDUPT", 10.6 + n, 6, 4, 1, **key(2, 1)) for n in range(3))), {"key-to-enrolled"},
    ),
    "no new key": (
        both(drop("anna.?.KDUPT", "bert.?.KDUPT", "otto.?.KDUPT", "bert.again.SJRE?"),
             *(again(f"{c}.{n}.KAREQ", 3.052 + o + n, 6, u, t, reserved=1)
               for c, u, t, o in (("otto", 1, 4, 0), ("anna", 2, 1, 0.1), ("bert", 3, 1, 0.2)) for n in range(7, 20))),
        {"key-renewed"},
    ),
    "a new key that one is not sent": (drop("bert.?.KDUPT", "bert.again.SJRE?"), {"key-renewed", "key-fetched"}),
    "a new key twice": (drop("bert.2.KDUPT"), {"key-repeated"}),
    "a new key four times": (copy("bert.2.KDUPT", 1.0), {"key-repeated"}),
    "a new key again too early": (move("bert.1.KDUPT", -0.5), {"key-repeated"}),
}  # fmt: skip


BROKEN = {**FORM, **ASKED, **SESSION, **MEMBERS, **KEYS}
