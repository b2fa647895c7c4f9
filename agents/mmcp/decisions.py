"""Every decision that MMCP needs where X.604.1 is silent or contradicts itself: the one place that states them.

Code that depends on one names it, as in ``[M-2]``. `MMCP.md` beside this file, made by ``make docs``, lists them with the
places in the code and the tests that name them, so that somebody with another reading of the standard finds what to change.
"""

from __future__ import annotations

from agents.core.decision import Decision

SPECIFICATION = (
    Decision("M-1", "Every role listens on UDP port 24793 unless configured otherwise.", "silent"),
    Decision(
        "M-2",
        "Parameter headers have 4 bytes (profile L16, the default) or 2 bytes (profile L8), told apart by the second octet "
        "of the first parameter; a reply uses its request's profile, or its sender's own where the request has no parameter.",
        "8.2 and 8.2.1 to 8.2.6 contradict each other about the width of the length",
    ),
    Decision("M-3", '"Packets received" counts packets, modulo 2^32.', "8.2.5 also says bytes"),
    Decision("M-4", "SJC with F = 0 holds no parameters.", "8.3.2 does not say"),
    Decision("M-5", "ULR holds the MN ID.", "8.4.1 describes it by a figure only, which is missing"),
    Decision(
        "M-6",
        "The source of an SSM group comes from provisioning, at SM, LMC and MN; with it, joins are source-specific.",
        "7.1 allows SSM, 8.2.3 has no field for a source",
    ),
    Decision(
        "M-7",
        "SJR and LJR are resent ``join_retries`` times, by default never.",
        "7.2 gives a join up after JWT and knows no resend",
    ),
    Decision(
        "M-8",
        "HIR is sent three times at most; so is HCT, and then HIC with F = 0. HIT is at least 3 CTT and the time of a join. "
        "Within three HITs of an HIR about another place an MN takes HIC with F = 1 as one with F = 0: it may be the answer to that.",
        "7.5 and Annex A know no bound, and HIC names no point of attachment",
    ),
    Decision(
        "M-9", "A new LMC stays joined for ``hold``, by default SPT, for an MN that has not come.", "7.5 does not say"
    ),
    Decision(
        "M-10",
        "A new LMC stays joined for ``linger``, 2 s, after the MN's own LJR, so that no gap opens.",
        "7.5 does not say",
    ),
    Decision(
        "M-11",
        "An LMC announces itself to the SM with an SJR that holds its name as MN ID and its LMC Address, and leaves with a ULR "
        "that holds its name and comes from its address; for an LJR or a USP that still comes it sends that again, once in JWT.",
        "Annex B lets an LMC send SJR, 8.3.1 gives it no form",
    ),
    Decision(
        "M-12",
        "An ASR has 1400 bytes at most; more follow in a row, each with the full Membership count, 32 at once and 5 ms later "
        "the next.",
        "8.5.2 allows several in a row and gives no size",
    ),
    Decision(
        "M-13",
        "A child that three probes in a row, SPT apart, leave unanswered has failed: at 4 SPT after its last report.",
        "7.4 counts three probes and does not say when the third has failed",
    ),
    Decision(
        "M-14",
        "After HIC with F = 1 the MN sends LJR to the new LMC without a new SJR; SJR only where LJC has F = 0 or no HIC came.",
        "7.5 would have the session joined again after every move",
    ),
    Decision(
        "M-15",
        "An SM answers HIR with the address of the LMC that serves the new point of attachment, or with F = 0.",
        "6.4 lets an MN send HIR to an SM, 7.5 and 8.6 do not say what follows",
    ),
    Decision(
        "M-16",
        "Each outstanding HCT has a local UDP port of its own, by which its HTA is known.",
        "8.6.3 gives HTA no MN ID",
    ),
    Decision(
        "M-17",
        'Two slips of the state diagrams: where an LMC "may send a USR" to a silent MN, USP is meant; where an MN receives '
        "HIR, HIC.",
        "Annex B",
        without_code="it corrects the standard's text; the code has the packets that are meant",
    ),
)
"""Decisions of the protocol page that this project's protocols are written from."""

IMPLEMENTATION = (
    Decision(
        "M-18",
        "The SM assigns only an LMC that has announced itself for the session: another could not answer LJR.",
        "7.2 does not say",
    ),
    Decision(
        "M-19",
        "HIR from an MN that is not a member is answered HIC with F = 0, so that it falls back at once.",
        "silent",
    ),
    Decision(
        "M-20",
        "An LMC whose SJR is not answered asks again every JWT for as long as it runs; until then it leaves LJRs unanswered, "
        "since it cannot know whether it serves the session.",
        "silent",
    ),
    Decision("M-21", "A status report that falls due between HIC and LJC is sent after LJC.", "silent"),
    Decision(
        "M-22",
        "An LJR that JWT leaves unanswered after a handover is a failed handover: the MN falls back to SJR.",
        "7.2 would end the membership",
    ),
    Decision(
        "M-23",
        "An LMC remembers the HIC of a finished handover for four HITs, the default ones at least, to answer a resent HIR with "
        "the same.",
        "silent",
    ),
    Decision(
        "M-24",
        "An LMC takes a context (HCT) only from an LMC of the shared table, and only for the session's own group.",
        "silent",
    ),
    Decision(
        "M-25",
        "Membership is renewed every SPT: an established MN sends LJR to its LMC (SJR where the SM is its parent), at the time "
        "of the last status report within SPT; an LMC sends SJR to the SM. A refusal, or three renewals without an answer, sends "
        "the MN back to SJR. So a parent that restarts with empty memory has its children back within SPT. The group is the one "
        "that the SM names last: an LMC that hears of another one refuses the next LJR or HIR of each MN it had before, so that "
        "they ask the SM.",
        "silent",
    ),
    Decision(
        "M-26",
        "An SM takes an allowed MN that an announced LMC reports and that it does not know as a member of that LMC; one that "
        "no LMC has reported for 4 SPT is gone; so is one that its LMC does not name among all those it counts, after ``hold`` "
        "and SPT, in which the LMC it may have been handed over to would have reported it. Its leave and its failure look alike.",
        "silent",
    ),
    Decision(
        "M-27",
        "An MN that was established once and gets no answer to its SJR or LJR, or LJC with F = 0, goes on asking, every JWT; "
        "only a refusal by the SM or its own leave ends its session.",
        "7.2 would end the membership",
    ),
    Decision(
        "M-28",
        "An MN whose link never went within ``hold`` after HIC with F = 1 joins the session again where it is.",
        "silent",
    ),
    Decision(
        "M-29",
        "In a vertical handover the MN is a member on the other interface as soon as that has a link and HIC has come; it "
        "moves there once that has its address and HIC has come or cannot come any more; it stays a member on the first for ``linger`` or until its link goes, and an LMC that it left "
        "without HIC gets ULR.",
        "7.5 does not tell vertical from horizontal",
    ),
    Decision(
        "M-30",
        "Where a session asks the operator's AAA, SJC waits for its answer, at most 1 s; no answer is a refusal. A member "
        "is not asked about again. So it is with an MN that the SM knows from an LMC's report only.",
        "7.2 has the SM authorise an MN and does not say how",
    ),
    Decision(
        "M-31",
        "An MN shows its membership as soon as it has its link, from whatever address it has then, and again from its new one. "
        "A cell that filters multicast by the reports it hears (snooping) lets the data through from the first on, which the "
        "LMC has brought there already; routers heed only the second.",
        "7.5 has the MN join after it has moved, and does not say when",
    ),
    Decision(
        "M-32",
        "A link trigger is a link event that says where the MN goes: Link_Going_Down with the next point of attachment, and, "
        "unless ``link_trigger`` is ``going-down``, Link_Detected. A later one replaces it. Where the link comes up at another "
        "place than the trigger said, the promise is void and the MN joins the session again there, as after a trigger that came "
        "too late for HIC or not at all.",
        '7.5 and Annex B ask for a handover when "a new PoA is detected", which several may be at once',
    ),
)
"""Decisions that this implementation has added."""
