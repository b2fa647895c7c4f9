"""The TLVs of MSMP messages as scapy layers [D S-1]."""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

from typing import Any

from scapy.fields import BitEnumField, BitField, ByteEnumField, ByteField, Field, IntField, ShortEnumField, ShortField

from captures.dissectors.qos_target import direction_field, target_fields
from captures.dissectors.tlv import TLV, TLVTable, tlv_header

QOS_TARGET, QOS_VALUE, REPORT_PLAN, REASON, MEMBER, AGGREGATE = range(1, 7)
TLVS = {
    QOS_TARGET: "QoS target",
    QOS_VALUE: "QoS value",
    REPORT_PLAN: "report plan",
    REASON: "reason",
    MEMBER: "member",
    AGGREGATE: "aggregate",
}

REPORT_MODES = {1: "periodic", 2: "on status change", 3: "both"}
REASONS = {
    0: "ok",
    1: "not the creator",
    2: "invalid target",
    3: "not a member",
    4: "QoS off",
    5: "cannot be met",
}
MEMBER_STATES = {1: "registered", 2: "enrolled", 3: "active"}
STATUS = {0: "normal", 1: "reasonable", 2: "possibly abnormal", 3: "abnormal"}


def _measured() -> list[Field[Any, Any]]:
    parameters = ("throughput", "delay", "jitter", "loss")
    return [
        IntField("throughput", 0),  # bytes/s
        ShortField("delay", 0),  # ms
        ShortField("jitter", 0),  # ms
        ShortField("loss", 0),  # 0.01 %
        *(BitEnumField(f"{parameter}_status", 0, 2, STATUS) for parameter in parameters),
        ByteField("spare", 0),
    ]


class QoSTarget(TLV):
    """What the creator asks for: throughput in bytes/s, delay and jitter in ms, loss in 0.01 %."""

    name = "QoS target"
    value_octets = (28,)
    fields_desc = [
        *tlv_header(TLVS),
        BitField("spare", 0, 4),
        direction_field(),
        ByteField("spare2", 0),
        *target_fields(),
    ]


class QoSValue(TLV):
    """What a member measured: throughput in bytes/s, delay and jitter in ms, loss in 0.01 %, a status of each."""

    name = "QoS value"
    value_octets = (12,)
    fields_desc = [*tlv_header(TLVS), *_measured()]


class ReportPlan(TLV):
    """When a member is to report: interval in 100 ms, and which parameters."""

    name = "report plan"
    value_octets = (4,)
    fields_desc = [
        *tlv_header(TLVS), ShortField("interval", 0), ByteEnumField("mode", 1, REPORT_MODES), ByteField("mask", 0),
    ]  # fmt: skip


class Reason(TLV):
    """How a request went."""

    name = "reason"
    value_octets = (2,)
    fields_desc = [*tlv_header(TLVS), ShortEnumField("reason", 0, REASONS)]


class Member(TLV):
    """A member of the session and how far it has come."""

    name = "member"
    value_octets = (4,)
    fields_desc = [
        *tlv_header(TLVS), ShortField("user_id", 0), ByteEnumField("state", 1, MEMBER_STATES), ByteField("spare", 0),
    ]  # fmt: skip


class Aggregate(TLV):
    """How many members there are, how many of each status, and the QoS value of the worst."""

    name = "aggregate"
    value_octets = (24,)
    fields_desc = [
        *tlv_header(TLVS), IntField("members", 0), *(ShortField(f"members_status_{status}", 0) for status in STATUS),
        *_measured(),
    ]  # fmt: skip


TABLE = TLVTable(
    TLVS,
    {
        QOS_TARGET: QoSTarget,
        QOS_VALUE: QoSValue,
        REPORT_PLAN: ReportPlan,
        REASON: Reason,
        MEMBER: Member,
        AGGREGATE: Aggregate,
    },
)
