"""The rules of GMP [X.602, decisions G-1 to G-29]: what the wire tells.

Each interface is judged as a witness of its own. Who stands where is told by `captures.gmp.roster` from what the interface saw;
what it did not see is held against nobody.

What a wire does not show, and so no rule judges:

- 7.1.2: what a page or an e-mail says. The SAP announcement is the pack ``sap``'s.
- G-1: that a request is given up after three sends; giving up is silent. G-19: how secrets are provisioned.
- G-4 to G-8 where octets could only mean one thing: then another reading is malformed.
- G-10 by itself: it is part of G-14. G-16: that MM requests are refused by silence.
- G-18: what key is wrapped. That needs the client's secret.
- G-21: when an enrolled member falls back to registered; the time is the server's own.
- G-23: that a session is forgotten when its description never comes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from captures.gmp.constants import AUTHORISATION_S, RESEND_S
from captures.gmp.lab import Lab
from captures.gmp.messages import member_of, period_s
from captures.gmp.roster import Roster, Standing
from captures.gmp.rules import asking, ending, form, keys, knowing, session, standing
from captures.gmp.rules.scenes import seen, watched
from captures.history.events import Event
from captures.rules.language import ANYWHERE, Rule, Same, on, rules_in
from captures.rules.on_purpose import LOSES
from captures.rules.operator_answered import Answered
from captures.rules.operators import Asked, Holds, SameAnswer
from captures.rules.packs.pack import Pack, Settings

_CONVERSATION = ("session_id", "conversation")
_EARLY = 0.9  # of a second: what the capture's clock and the sender's may differ
_PATIENCE_S = 1.25  # in which what is sent again after a second has come
_TIMEOUT_MAX_S = 25.5
_GIVEN_UP_S = 3.5  # three sends, and another would be a fourth


def _of_description(event: Event) -> bool:
    """Whether it answers an SCINF: who only asks for a session has none yet."""
    return event.kind != "SCACC" and bool(event.fields["session_id"])


def _kind(event: Event) -> bool:
    return event.kind not in ("malformed", "unreachable")


def gmp_pack(_settings: Settings) -> Pack:
    """The pack."""
    gmp, roster = partial(on, "gmp"), Roster()
    sent = gmp(where=lambda event: event.kind != "unreachable")
    readable = gmp(where=_kind)
    nobody = gmp("unreachable")

    def answered(
        request: str, *by: str, same: Same = _CONVERSATION, where: Callable[[Event], bool] | None = None
    ) -> Answered:
        return Answered(
            request=gmp(request),
            by=gmp(*by, where=where),
            within=RESEND_S,
            same=same,
            patience=_PATIENCE_S,
            unless=gmp(request),
            unless_same=same,
            void=nobody,
        )

    return Pack("gmp", rules=(
        # form
        Rule("gmp-well-formed", "8.2, 8.4, D G-26", "every message on the ports is one of GMP",
             Holds(sent, form.well_formed)),
        Rule("gmp-checksum", "RFC 768, D G-5", "every checksum is right", Holds(sent, form.checksum)),
        Rule("gmp-options", "D G-8, G-16", "a message holds the options of its kind", Holds(readable, form.options)),
        Rule("gmp-identifiers", "8.2, 8.4", "who has identifiers gives them", Holds(readable, form.identifiers)),
        Rule("gmp-refusal-reason", "D G-8, G-16", "a refusal says why",
             Holds(gmp("SCREJ", "SRREJ", "SDRES", "SJRES"), form.refusal)),
        Rule("gmp-ending-flag", "8.4", "SS is 1 in TRIND, and nowhere else",
             Holds(gmp("KAREQ", "KARES", "UIREQ", "UIRES", "LVREQ", "TRREQ", "TRIND", "KDUPT"), form.ending)),
        Rule("gmp-leave-level", "D G-14", "LVREQ names a level that there is", Holds(gmp("LVREQ"), form.level)),
        Rule("gmp-key-wrapped", "7.3, D G-12, G-18, G-29", "a group key is wrapped, with its generation and roll-over counter",
             Holds(gmp("SJRES", "KDUPT", where=lambda event: "key" in event.fields), form.wrapped_key)),
        Rule("gmp-key-update-has-key", "7.3, D G-8", "KDUPT gives a key",
             Holds(gmp("KDUPT"), lambda event: None if "key" in event.fields else "gives no key")),
        Rule("gmp-members-size", "D G-22", "UIRES has 1400 octets at most", Holds(gmp("UIRES"), form.members_size)),
        Rule("gmp-members-words", "D G-7, G-22", "UIRES names each once, and counts others in open sessions alone",
             Holds(gmp("UIRES"), form.members_words)),
        Rule("gmp-mode", "8.4, D G-26", "Mode is the session's",
             seen(roster, standing.mode, "KAREQ", "KARES", "UIREQ", "UIRES", "LVREQ", "TRREQ", "TRIND", "KDUPT")),
        Rule("gmp-member-type", "8.4", "a user has the member type of its part in the session",
             seen(roster, standing.member_type, "KAREQ", "KARES", "UIREQ", "LVREQ", "TRREQ")),
        Rule("gmp-one-group", "8.4, D G-4", "a session has one group and port",
             seen(roster, standing.one_group, "KAREQ", "TRIND", "KDUPT")),
        # requests and answers
        Rule("gmp-creation-answered", "7.1.1, D G-1", "SCREQ is answered within 1 s, or sent again",
             answered("SCREQ", "SCACC", "SCREJ", same=("conversation",), where=lambda event: not _of_description(event))),
        Rule("gmp-description-answered", "7.1.1, D G-1", "SCINF is answered within 1 s, or sent again",
             answered("SCINF", "SCCON", "SCREJ", same=("conversation",), where=_of_description)),
        Rule("gmp-registration-answered", "7.1.3, D G-1", "SRREQ is answered within 1 s, or sent again",
             answered("SRREQ", "SRRES", "SRACC", "SRREJ")),
        Rule("gmp-enrolment-answered", "7.1.4, D G-1", "SJREQ is answered within 1 s, or sent again",
             answered("SJREQ", "SJRES")),
        Rule("gmp-activation-answered", "7.1.5, D G-1, G-16", "SAREQ is answered with KAREQ or a refusal within 1 s, or sent again",
             answered("SAREQ", "KAREQ", "SJRES", same=(member_of,))),
        Rule("gmp-deletion-answered", "7.1.5, D G-1, G-24", "SDREQ is answered within 1 s, or sent again",
             answered("SDREQ", "SDRES")),
        Rule("gmp-members-answered", "7.2.2, D G-1", "UIREQ of an active member is answered within 1 s, or sent again",
             Answered(request=gmp("UIREQ", where=lambda event: _is_active(roster, event)), by=gmp("UIRES"), within=RESEND_S,
                      same=_CONVERSATION, patience=_PATIENCE_S, unless=gmp("UIREQ"), unless_same=_CONVERSATION, void=nobody)),
        Rule("gmp-keep-alive-answered", "7.2", "KAREQ is answered before the next one",
             Answered(request=gmp("KAREQ"), by=gmp("KARES"), within=lambda event: _EARLY * period_s(event), same=(member_of,),
                      unless=gmp("LVREQ", "TRIND"), unless_same=(ANYWHERE, member_of), void=nobody)),
        Rule("gmp-authorised", "7.1.3, D G-23", "after SRRES it is decided within 30 s",
             Answered(request=gmp("SRRES"), by=gmp("SRACC", "SRREJ"), within=AUTHORISATION_S, same=_CONVERSATION)),
        Rule("gmp-creation-asked", "7.1.1", "SCACC, SCCON and SCREJ only answer an SCREQ or SCINF, once",
             # A malformed description is refused all the same [G-26].
             Asked(answer=gmp("SCACC", "SCCON", "SCREJ"), by=gmp("SCREQ", "SCINF", "malformed"), within=_GIVEN_UP_S,
                   same=("conversation",))),
        Rule("gmp-response-asked", "7.1.3", "SRRES only answers an SRREQ, once",
             Asked(answer=gmp("SRRES"), by=gmp("SRREQ"), within=_GIVEN_UP_S, same=_CONVERSATION)),
        Rule("gmp-registration-asked", "7.1.3", "SRACC and SRREJ only answer an SRREQ, once",
             Asked(answer=gmp("SRACC", "SRREJ"), by=gmp("SRREQ"), within=AUTHORISATION_S, same=_CONVERSATION)),
        Rule("gmp-enrolment-asked", "7.1.4", "SJRES only answers an SJREQ or SAREQ, once",
             Asked(answer=gmp("SJRES"), by=gmp("SJREQ", "SAREQ"), within=_GIVEN_UP_S, same=_CONVERSATION)),
        Rule("gmp-deletion-asked", "7.1.5", "SDRES only answers an SDREQ, once",
             Asked(answer=gmp("SDRES"), by=gmp("SDREQ"), within=_GIVEN_UP_S, same=_CONVERSATION)),
        Rule("gmp-members-asked", "7.2.2, D G-22", "UIRES only answers a UIREQ, once",
             Asked(answer=gmp("UIRES", where=lambda event: not event.fields["r"]), by=gmp("UIREQ"), within=_GIVEN_UP_S,
                   same=_CONVERSATION)),
        Rule("gmp-keep-alive-asked", "7.2", "KARES only answers a KAREQ, once",
             Asked(answer=gmp("KARES"), by=gmp("KAREQ"), within=_TIMEOUT_MAX_S, same=(member_of,))),
        Rule("gmp-closed-at-once", "7.1.3", "in a closed session SRREQ is answered with SRRES at once",
             watched(asking.AtOnce, roster)),
        Rule("gmp-resend-pace", "D G-1, G-23", "a request is sent again after 1 s, three times in all, after SRRES not for 30 s",
             watched(asking.Resent, roster)),
        Rule("gmp-leave-repeated", "D G-1, G-14", "LVREQ comes 1 s apart, of levels 1 and 2 three times",
             watched(asking.LeaveRepeated, roster), spoiled_by=LOSES),
        Rule("gmp-one-outstanding", "D G-1", "a client has one request outstanding", watched(asking.OneOutstanding, roster),
             explained_by=("gmp-registration-answered", "gmp-enrolment-answered", "gmp-activation-answered", "gmp-authorised")),
        Rule("gmp-same-creation", "D G-23", "an SCREQ that comes again gets the same identifiers until its SCINF is confirmed",
             SameAnswer(answer=gmp("SCACC"), to=gmp("SCREQ"), same=("conversation",), request_same=("conversation",),
                        within=30.0, content=_identifiers, reset=gmp("SCCON", "SDRES"))),
        # sessions
        Rule("gmp-session-unique", "7.1.1", "a new session has an ID that no living one has",
             seen(roster, session.unique_session, "SCACC")),
        Rule("gmp-user-unique", "7.1.3", "a new member has a User ID that no other member has",
             seen(roster, session.unique_user, "SRACC")),
        Rule("gmp-one-name", "D G-23, G-28", "a name is one member, at one address", seen(roster, session.same_name, "SRACC")),
        Rule("gmp-admission", "7.1.3, D G-23, G-26", "a closed session admits who has its token and is invited, an open one everybody",
             seen(roster, session.admitted, "SRACC", "SRREJ")),
        Rule("gmp-response-closed", "7.1.3", "SRRES comes in closed sessions alone", seen(roster, session.asked_first, "SRRES")),
        Rule("gmp-token", "7.1.1, D G-9", "SCCON hands out the token of a closed session",
             seen(roster, session.token_handed_out, "SCCON")),
        Rule("gmp-description", "D G-26", "a description that is none is refused for reason 8",
             seen(roster, session.description, "SCCON", "SCREJ")),
        Rule("gmp-own-identity", "D G-13, G-17", "nothing is granted to who claims another's User ID",
             seen(roster, session.own_request, "SCCON", "SJRES", "SDRES")),
        Rule("gmp-start-condition", "7.1.4, D G-25", "a session starts when its core members are there, as its description says",
             seen(roster, session.start_condition, "SRACC")),
        Rule("gmp-start-enrolled", "7.1.4, D G-25", "a session starts when its core members are enrolled, if it says so",
             seen(roster, session.condition_of_enrolment, "SJRES")),
        Rule("gmp-deletion", "7.1.5, D G-24, G-27", "a session is deleted by its creator while nobody is active, and remembered for 60 s",
             seen(roster, session.deleted, "SDRES")),
        Rule("gmp-known-session", "D G-8, G-24", "a session that there is is not unknown",
             seen(roster, session.alive, "SRREJ", "SJRES", "SDRES", "SCREJ")),
        # members
        Rule("gmp-enrols-registered", "7.1.4", "only registered members are enrolled",
             seen(roster, standing.enrols_registered, "SJRES")),
        Rule("gmp-asks-active", "7.1.5, 7.2, D G-21", "KAREQ goes to active members, and to enrolled ones that ask for it",
             seen(roster, standing.asks_active, "KAREQ"), explained_by=("gmp-enrolment-answered",), spoiled_by=LOSES),
        Rule("gmp-tells-active", "7.2.2, D G-11", "UIRES and TRIND go to active members, TRIND to the creator too",
             seen(roster, standing.tells_active, "UIRES", "TRIND"), spoiled_by=LOSES),
        Rule("gmp-own-port", "D G-3, G-15, G-17", "MM messages go to the port that the member announced",
             seen(roster, standing.own_port, "KAREQ", "UIRES", "TRIND", "KDUPT")),
        Rule("gmp-keep-alive-told", "D G-26", "KAREQ tells the period and timeout of the description",
             seen(roster, standing.keep_alive, "KAREQ")),
        Rule("gmp-keep-alive-period", "7.2", "each active member is asked once every period",
             watched(ending.KeepAlivePeriod, roster), spoiled_by=LOSES),
        Rule("gmp-members-listed", "7.2.2, D G-22", "UIRES names the active members",
             seen(roster, standing.lists_active, "UIRES"), spoiled_by=LOSES),
        Rule("gmp-end-told", "7.2.1.1, 7.2.3, 7.2.4, D G-11", "the end of a session is told to every active member and the creator",
             watched(ending.Told, roster), spoiled_by=LOSES),
        Rule("gmp-end-caused", "7.2.1.1, 7.2.3, 7.2.4", "a session ends by its creator, or by a core member that leaves or is silent",
             seen(roster, session.caused, "TRIND"), spoiled_by=LOSES),
        Rule("gmp-nothing-after-end", "7.2.3", "a session that has ended asks nobody and gives no keys",
             seen(roster, standing.nothing_after_end, "KAREQ", "KDUPT", "UIRES")),
        # keys
        Rule("gmp-key-where-secure", "7.3", "SJRES has a key in secure sessions, and in no other",
             seen(roster, keys.key_where_secure, "SJRES")),
        Rule("gmp-secure-port", "D G-15", "SJREQ tells the MM port in a secure session", seen(roster, keys.port_told, "SJREQ")),
        Rule("gmp-newest-key", "7.3", "the newest key is given", seen(roster, keys.newest_key, "SJRES", "KDUPT")),
        Rule("gmp-generation-told", "D G-15", "KAREQ tells the key's generation", seen(roster, keys.generation_told, "KAREQ")),
        Rule("gmp-key-to-enrolled", "7.3", "KDUPT goes to enrolled and active members alone",
             seen(roster, standing.updates_enrolled, "KDUPT")),
        Rule("gmp-key-renewed", "7.3", "who is de-enrolled leaves the others with a newer key",
             watched(keys.Renewed, roster), spoiled_by=LOSES),
        Rule("gmp-key-repeated", "D G-15", "KDUPT comes three times, 1 s apart", watched(keys.Repeated, roster), spoiled_by=LOSES),
        Rule("gmp-key-fetched", "D G-15", "who holds an older key than it is told of asks for it",
             watched(keys.Fetched, roster), spoiled_by=LOSES),
        *rules_in(knowing),
    ), facts=Lab())  # fmt: skip


def _identifiers(event: Event) -> tuple[int, int]:
    return event.fields["session_id"], event.fields["user_id"]


def _is_active(roster: Roster, event: Event) -> bool:
    """Whether it comes from an active member; others are refused by silence [G-16]."""
    scene = roster.take(event)
    return scene is not None and scene.member is not None and scene.member.standing is Standing.ACTIVE
