"""MMCP, the Mobile Multicast Control Protocol: ITU-T X.604.1 | ISO/IEC 24793-2 (2010), clauses 7 and 8, Annexes A and B.

Roles: ``SessionManager`` (SM), ``LocalMobilityController`` (LMC), ``MobileNode`` (MN), and for comparison ``BareNode``, a
mobile node without MMCP. Messages: ``messages.decode`` and ``messages.encode``.

Decisions where the standard is silent or contradicts itself; code that depends on one names it:

- M-1 default UDP port 24793 for every role.
- M-2 parameter headers of 4 bytes (profile L16, default) or of 2 bytes (L8), told apart by the second octet of the first
  parameter; a reply uses its request's profile.
- M-3 "packets received" counts packets, modulo 2^32.
- M-4 SJC with F=0 holds no parameters.
- M-5 ULR holds the MN ID.
- M-6 the source of an SSM group comes from provisioning.
- M-7 SJR and LJR are resent ``join_retries`` times, by default never.
- M-8 HIR and HCT are sent three times at most; HIT must be at least 3 CTT and the time of a join.
- M-9 a new LMC stays joined for ``hold`` (SPT) for an MN that has not come. M-10 and for ``linger`` (2 s) after its LJR.
- M-11 an LMC announces itself to the SM with SJR holding its name as MN ID and its LMC Address.
- M-12 an ASR is 1400 bytes at most; more follow in a row, each with the full Membership count.
- M-13 three unanswered probes are a failure.
- M-14 after HIC with F=1 the MN sends LJR to the new LMC without a new SJR.
- M-15 an SM answers HIR with the LMC that serves the new point of attachment.
- M-16 one local UDP port for each outstanding HCT.
- M-17 slips of Annex B: "LMC may send a USR" means USP, "recv: HIR" at the MN means HIC.

Taken by this implementation:

- M-18 the SM assigns only an LMC that has announced itself for the session: another could not answer LJR.
- M-19 HIR from an MN that is not a member is answered HIC with F=0, so that it falls back at once.
- M-20 an LMC whose SJR is not answered asks again every JWT for as long as it runs.
- M-21 a status report that falls due between HIC and LJC is sent after LJC.
- M-22 an LJR that JWT leaves unanswered after a handover is a failed handover: the MN falls back to SJR.
- M-23 an LMC remembers the HIC of a finished handover for four default HITs, to answer a resent HIR with the same.
- M-24 an LMC takes a context (HCT) only from an LMC of the shared table, and only for the session's own group.
- M-25 membership is renewed every SPT: an established MN sends LJR to its LMC (SJR where the SM is its parent), an LMC SJR to
  the SM. A refusal, or three renewals without an answer, sends the MN back to SJR. So a parent that restarts with empty
  memory has its children back within SPT.
- M-26 an SM takes an allowed MN that an announced LMC reports and that it does not know as a member of that LMC; one that no
  LMC has reported for 4 SPT is gone.
- M-27 an MN that was established once and gets no answer to its SJR or LJR goes on asking, every JWT; only a refusal or its own
  leave ends its session.
- M-28 an MN whose link never went within ``hold`` after HIC with F=1 joins the session again where it is.
"""
