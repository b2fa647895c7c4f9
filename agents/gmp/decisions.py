"""Every decision that GMP needs where X.602 is silent or contradicts itself: the one place that states them.

Code that depends on one names it, as in ``[G-2]``. `GMP.md` beside this file, made by ``make docs``, lists them with the places in the
code and the tests that name them. ``GI-n`` are those of this implementation.
"""

from __future__ import annotations

from agents.core.decision import Decision

SPECIFICATION = (
    Decision(
        "G-1",
        "Over UDP a client has one request out at a time; it is sent again after 1 s, three times in all, then given up.",
        "silent",
    ),
    Decision(
        "G-2", "Over TCP the 16-bit length of each message stands before it, and does not count itself.", "silent"
    ),
    Decision(
        "G-3",
        "Each module has a port: SM 16513 and MM 16514 at the server; a client announces its own for MM in SAREQ.",
        "8: messages of the two modules cannot be told apart by content",
    ),
    Decision(
        "G-4", "Fields stand where the page's picture of an SM message has them.", "8.2: the figure gives no positions"
    ),
    Decision("G-5", "The checksum is RFC 1071's over the whole SM message.", "8.2 names the field alone"),
    Decision("G-6", "KDUPT is type 8 of module MM.", "8.4: the table of types forgets it"),
    Decision(
        "G-7",
        "UIRES has a word for each active member: User ID 16, member type 3, 13 bits that G-22 gives a use.",
        "8.4 gives the list no form",
    ),
    Decision(
        "G-8",
        "Options are TLVs, padded to words; SAREQ's is one word, the MM port in its low half.",
        "8.3 names contents without a form",
    ),
    Decision(
        "G-9", "SCCON confirms the description, and in closed mode has the access token to hand out.", "7.1.1 is silent"
    ),
    Decision(
        "G-10",
        "LVREQ of an enrolled member de-enrols it, of a registered one it de-registers it.",
        "7.1: there is no message for either",
    ),
    Decision(
        "G-11",
        "A session ends when its creator or a core member is silent past the timeout or leaves: TRIND with SS=1 to every "
        "active member and the creator.",
        "7.2.1.1, 7.2.3 and 7.2.4 do not say to whom",
    ),
    Decision(
        "G-12",
        "A group key is never sent in the clear; who has no secret is in no secure session.",
        "7.3 sends keys as they are",
    ),
    Decision(
        "G-13",
        "A request from the wrong state, the wrong user, or another address than the user's is refused and changes nothing.",
        "silent",
    ),
    Decision(
        "G-14",
        "LVREQ's Reserved octet is the level that is left: 0 active, 1 enrolled, 2 registered; who stands below stays there. "
        "Level 0 is sent again, a second apart and three times in all, while a KAREQ still comes; 1 and 2 are sent three times.",
        "7.2.3: LVREQ has no answer",
    ),
    Decision(
        "G-15",
        "KAREQ's Reserved octet is the low octet of the key's generation (0: none); who holds an older one sends SJREQ again. "
        "SJREQ names the MM port (TLV 21), in a secure session always. KDUPT is sent three times, a second apart.",
        "7.3: KDUPT has no answer and may be lost",
    ),
    Decision(
        "G-16",
        "The server's SM messages may have a reason (TLV 20): SCREJ, SRREJ, SDRES and SJRES refuse with it. Module MM refuses by "
        "silence. Reason 8: the description is malformed.",
        "8.2 has rejections without reasons, and for SDREQ, SJREQ and SAREQ none",
    ),
    Decision(
        "G-17",
        "By UDP a member is its address and SM port, to module MM its address and MM port. By TCP it is its address, with one "
        "connection to each module that it opens itself; KAREQ, KDUPT and TRIND come on that of module MM.",
        "silent",
    ),
    Decision(
        "G-18",
        "The group key is 30 octets, SRTP's master key and salt, wrapped by RFC 5649 under HKDF-SHA-256 of the client's secret, "
        "session and user.",
        "7.3 gives keys no form",
    ),
    Decision(
        "G-19",
        "Secrets belong to client names. SCREQ may have the creator's; a server may refuse one without.",
        "silent",
    ),
    Decision("G-20", "In a secure session KARES enrols nobody.", "7.2, Figure 12 would, without a key"),
    Decision(
        "G-21",
        "KAREQ goes to active members alone; an enrolled one that does not activate falls to registered in time.",
        "7.2, Figure 12 does not say who is asked",
    ),
    Decision(
        "G-22",
        "UIRES lists all active members of a closed session; of an open one creator and core members, and the number of the "
        "others. What is longer than 1400 octets goes on in another, R=1 in all but the last.",
        "7.2.2 and 8.4 give it no bound",
    ),
    Decision(
        "G-23",
        "SCREQ from one place gets the same ids until its description is confirmed; SRREQ is known by its name. SRRES stops "
        "resends: the client waits 30 s and begins again.",
        "7.1 does not know lost messages",
    ),
    Decision("G-24", "SDREQ and TRREQ are answered alike for 60 s after the session is gone.", "silent"),
    Decision(
        "G-25",
        "A session says what must be before it starts (TLV 22): nothing, core members registered, or enrolled; the creator's "
        "SAREQ starts it, and is refused until then.",
        "7.1.4 leaves it to the description",
    ),
    Decision(
        "G-26",
        "SCINF has name and SDP; without TLV 8 period and timeout are 5 s and 15 s. Unknown TLVs are skipped, reserved bits and "
        "padding ignored, malformed modes and member types dropped, text that is not UTF-8 refused.",
        "8 is silent about what a receiver does",
    ),
    Decision(
        "G-27", "A session is active while its creator is; SDREQ is refused while anybody is.", "7.1.5 does not say"
    ),
    Decision("G-28", "SCACC registers the creator, whose SRREQ gets the same User ID.", "7.1.1 and 7.1.3 do not say"),
    Decision(
        "G-29",
        "SRTP's roll-over counter goes with the key (TLV 23), so that who comes late decrypts.",
        "7.3: RFC 3711 leaves it to key management",
    ),
)

IMPLEMENTATION = (
    Decision(
        "GI-1",
        "Of a TLV that may stand once the first counts; others are skipped and counted as unknown ones are.",
        "8.3 is silent",
    ),
    Decision(
        "GI-2", "A secret has 16 octets or more.", "G-18 leaves it open: who sees a wrapped key can try short ones"
    ),
    Decision(
        "GI-3",
        "What a client wants it asks for again after 2 s, then 4 s, up to every 30 s, where it was not answered or refused for "
        "want of resources or by its state; other refusals are told and not tried again.",
        "7.1 is silent; G-1 gives one request up",
    ),
    Decision(
        "GI-4",
        "An active member to which no KAREQ came for period and timeout together sends SAREQ, and goes on with the data: "
        "TRIND may have been lost. A KAREQ makes it active in any state in which it wants to be.",
        "7.2 has the server watch the members alone",
    ),
    Decision(
        "GI-5",
        "A client refused with reason 6 takes itself for no more than the server can have it for: enrols again before SAREQ, "
        "registers again before SJREQ.",
        "7.2: Figure 12 lets members fall without telling them",
    ),
    Decision(
        "GI-6", "A UIRES with R=0 ends the list, even where one before it was lost.", "G-22: they have no numbers"
    ),
    Decision(
        "GI-7",
        "A creator tells the server its stream's roll-over counter by TLV 23 in each KARES.",
        "G-29 does not say whence the server has it",
    ),
    Decision(
        "GI-8",
        "Over TCP a request is sent once on a connection, and again on another; the 3 s of G-1 hold, and end the connection.",
        "G-1 is of UDP",
    ),
    Decision(
        "GI-9",
        "Over TCP an active member without KAREQ for one and a half periods opens its connection to module MM anew: a server "
        "whose machine has begun again cannot.",
        "G-17: the server opens none",
    ),
    Decision(
        "GI-10",
        "A server may be run without a store, ``durable = false``; it then loses everything when it ends.",
        "9.1 lists the server's variables and does not say how long they last",
    ),
    Decision(
        "GI-11",
        "A creator cannot de-register: it stays registered as long as there is a session.",
        "G-10 and G-28 together would leave a session without its creator",
    ),
    Decision(
        "GI-12",
        "A source goes over to a new key 1.5 s after its creator has it: who missed the first KDUPT has the second by then, and a "
        "receiver takes the key before for 2 s. Who has left can read on for so long.",
        "7.3 and G-15 do not say when; at once, members lose what comes before their own KDUPT",
    ),
    Decision(
        "GI-13",
        "A client that wants back what it has left sends its LVREQ as often as it should first, and waits a second after it.",
        "G-14: what it asks then must not be overtaken by what was before",
    ),
    Decision(
        "GI-14",
        "Whether a session is secure its SCREQ says for good; whether it is closed its SCREQ says, or its first SCINF, which may close an "
        "open one. An SCINF that says otherwise is refused with reason 8.",
        "7.1.1: both messages have S and M",
    ),
    Decision(
        "GI-15",
        "What SCACC gives is on disk before it is sent, and forgotten where no description comes within 30 s. 16 sessions of one address "
        "may wait for theirs at a time, and 1024 of all.",
        "G-23 keeps the ids until then, and does not say how long that is",
    ),
    Decision(
        "GI-16",
        "G-23's same address is the IP address: a member that registers again by another port, or by streams, is the same and is there "
        "from then on. A client without a name is known by address and port.",
        "G-17, G-23: a client that begins again has another port",
    ),
    Decision(
        "GI-17",
        "Reason 8: a request lacks what it must say, such as name and token in a closed session, or the port of module MM. Reason 6: the "
        "session is not described yet, or nobody has the User ID. Reason 2: the user is at another address.",
        "G-13, G-15 and G-26 refuse without a reason",
    ),
    Decision(
        "GI-18",
        "An invitation list has the creator and the core members in it by themselves.",
        "8.3: they are named by an option of their own",
    ),
    Decision(
        "GI-19",
        "After eight wrong tokens of one address within a minute, its tokens are refused with reason 5 unseen for the rest of it.",
        "7.1.3 is silent about guessing",
    ),
    Decision(
        "GI-20",
        "A name has 255 octets at most, another text of a session 8192, and 1024 names may be core members, and as many invited: what is "
        "more is refused with reason 8.",
        "8.3: lengths have 16 bits, and everybody's names are kept",
    ),
    Decision(
        "GI-21",
        "Several members may speak over TCP from one address: each has the connection to module MM on which it has spoken; until then it "
        "is reached by those that nobody has spoken on. Half a message is waited for 10 s, and 60 s for a connection's member.",
        "G-17: a member is its address",
    ),
    Decision(
        "GI-22",
        "A creator's KARES starts the session where its SAREQ was granted, and is ignored and counted otherwise.",
        "7.2, Figure 12 would activate it, and pass over the start condition",
    ),
    Decision(
        "GI-23",
        "An LVREQ that moves the creator or a core member ends an active session, whatever its level.",
        "7.2.4 has one way to leave, and G-14 three",
    ),
    Decision(
        "GI-24",
        "A session is announced by IPv6 in the scope that is its IPv4 group's: ff02 for 224.0.0.0/24, ff03 for 239.253.0.0 to "
        "239.255.255.255, ff08 for the rest of 239.0.0.0/8, else ff0e.",
        "RFC 2974 announces a session where its data is, which has IPv4 groups alone",
    ),
    Decision(
        "GI-25",
        "The e-mail that a session's page offers has neither sender nor date: a mail program puts both in.",
        "7.1.2: announcements by e-mail have no form",
    ),
    Decision(
        "GI-26",
        "A session that is described anew with another group or port goes on there: its members follow with their next KAREQ.",
        "7.1.1 describes it once",
    ),
    Decision(
        "GI-41",
        "A session's SDP is refused with a key in it, and where it lacks what a player needs: groups, ports, payload types.",
        "G-26 asks for SDP alone, which everybody reads",
    ),
    Decision(
        "GI-42",
        "The SDP that is announced is the creator's, with its Session ID and mode in an attribute x-gmp-session.",
        "7.1.2: whether a session is open or closed must be visible",
    ),
    Decision(
        "GI-43",
        "SAP packets have 1400 octets at most; a deletion is sent three times, and changes follow each other a second apart.",
        "7.1.2 leaves it to RFC 2974, which gives no values",
    ),
    Decision(
        "GI-44",
        "The pages show of an open session who its members are, of a closed one how many; a closed one's SDP is there too. Nothing on them "
        "is older than a second, or than ten times what it takes to make it.",
        "7.1.2: a page of all sessions, with the SDP of each; it does not say what of them",
    ),
)
