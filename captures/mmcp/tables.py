"""What a judgement of an MMCP lab shows as tables, by what the lab is about, and what two of them are compared by."""

from captures.protocol import Compared, Figure, Topic

TOPICS = (
    Topic(
        "handover", "Handovers", "handovers", step="handover_begin",
        columns=(
            ("handover", "handover"), ("mode", "mode"), ("outcome", "outcome"), ("gap ms", "l2_gap_ms"),
            ("disruption ms", "disruption_ms"), ("excess ms", "excess_ms"), ("packets", "packets"), ("lost", "lost"),
            ("duplicates", "duplicates"), ("HIR-HIC ms", "hir_hic_ms"),
            ("first packet ms", "first_packet_after_link_up_ms"),
        ),
    ),
    Topic(
        "join", "Joins", "joins", step="session_begin",
        columns=(
            ("mn", "mn"), ("expected", "expected"), ("outcome", "outcome"), ("SJRs", "requests"),
            ("SJR-SJC ms", "sjr_sjc_ms"), ("LJR-LJC ms", "ljr_ljc_ms"), ("established ms", "established_ms"),
            ("report ms", "report_ms"), ("first packet ms", "first_data_ms"), ("packets", "packets"),
        ),
    ),
    Topic(
        "leave", "Leaves", "leaves", step="leave",
        columns=(
            ("mn", "mn"), ("notice", "notice"), ("parent", "parent"), ("ULC ms", "ulr_ulc_ms"),
            ("left the group ms", "report_ms"), ("data stopped ms after that", "latency_ms"),
            ("observed ms", "observed_ms"),
            ("ASR without it ms", "unnamed_ms"),
        ),
    ),
    Topic(
        "status", "Silences", "silences", step="silence_begin",
        columns=(
            ("role", "role"), ("why", "why"), ("parent", "parent"), ("probes s", "probes_s"),
            ("answered ms", "answered_ms"), ("given up", "failed"), ("ASR without it s", "unnamed_s"),
        ),
    ),
)  # fmt: skip

HANDOVERS = Compared(
    "handovers",
    name="handover",
    group="mode",
    figures=(
        Figure("disruption_ms", "disruption"),
        Figure("excess_ms", "excess", time=False),  # which may be about nothing
        Figure("hir_hic_ms", "HIR-HIC"),
        Figure("first_packet_after_link_up_ms", "arrival"),
        Figure("lost", "lost", time=False),
    ),
    note="in ms, lost in packets; arrival: first packet after link up",
)
