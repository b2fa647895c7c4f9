-- MSMP, the Multicast Session Management Protocol (ISO/IEC 24792), for Wireshark 4.0 and newer.
--
-- Of the standard only the contents page and the scope are public: the wire format is the project's own design [D S-1].
-- Over UDP between the MSMP server and members; between MSMP server and GMP server over TCP, where the length of each
-- message stands before it in 32 bits.

-- In the tree the files that protocols share lie in a folder beside; installed, all lie in one.
package.path = package.path .. ";" .. __DIR__ .. "/../wireshark/?.lua"

local exchange = require "lab_exchange"
local message = require "lab_message"
local ports = require "lab_ports"
local qos = require "lab_qos"
local stream = require "lab_stream"
local tlv = require "lab_tlv"

local DEFAULT_PORT = "24792" -- [D S-1]
local HEADER_OCTETS = 12
local VERSION = 1

local PACKETS = {
  "QRREQ", "QRRES", "QSREQ", "QSRES", "QUREQ", "QURES", "QVREQ", "QVRES", "QTREQ", "QTIND",
  [32] = "SNREQ", [33] = "SNRES", [34] = "MNREQ", [35] = "MNRES", [36] = "SLREQ", [37] = "SLRES",
}
local LONG_NAMES = {
  "reporting request", "reporting response", "setting request", "setting response", "updating request",
  "updating response", "value request", "value response", "termination request", "termination indication",
  [32] = "session notice", [33] = "session notice response", [34] = "member notice", [35] = "member notice response",
  [36] = "session list request", [37] = "session list response",
}
local TLV_NAMES = { "QoS target", "QoS value", "Report plan", "Reason", "Member", "Aggregate" }
local REASONS = {
  [0] = "ok", "not the creator", "invalid target", "not a member", "quality-of-service management off", "cannot be met",
}
local STATES = { "registered", "enrolled", "active" }
local MODES = { "periodic", "on status change", "both" }

local msmp = Proto("msmp", "Multicast Session Management Protocol")
local experts = message.experts("msmp")
local links = exchange.fields("msmp")
local qos_fields = qos.fields("msmp")
local tlv_fields = tlv.fields("msmp.tlv", "TLV", TLV_NAMES)
local field = {
  version = ProtoField.uint8("msmp.version", "Version", base.DEC, nil, 0xf0),
  reserved = ProtoField.uint8("msmp.reserved", "Reserved", base.HEX, nil, 0x0f),
  type = ProtoField.uint8("msmp.type", "Type", base.DEC, PACKETS),
  length = ProtoField.uint16("msmp.length", "Length"),
  session = ProtoField.uint16("msmp.session", "Session ID"),
  user = ProtoField.uint16("msmp.user", "User ID"),
  transaction = ProtoField.uint32("msmp.transaction", "Transaction ID"),
  throughput = ProtoField.uint32("msmp.throughput", "Throughput"),
  delay = ProtoField.uint16("msmp.delay", "Delay"),
  jitter = ProtoField.uint16("msmp.jitter", "Jitter"),
  loss = ProtoField.uint16("msmp.loss", "Loss"),
  value_reserved = ProtoField.uint8("msmp.value_reserved", "Reserved", base.HEX),
  interval = ProtoField.uint16("msmp.interval", "Report interval"),
  mode = ProtoField.uint8("msmp.mode", "Report mode", base.DEC, MODES),
  mask = ProtoField.uint8("msmp.parameter_mask", "Parameter mask", base.HEX),
  reason = ProtoField.uint16("msmp.reason", "Reason", base.DEC, REASONS),
  member_user = ProtoField.uint16("msmp.member.user", "User ID"),
  member_state = ProtoField.uint8("msmp.member.state", "State", base.DEC, STATES),
  member_reserved = ProtoField.uint8("msmp.member.reserved", "Reserved", base.HEX),
  members = ProtoField.uint32("msmp.members", "Members"),
  members_0 = ProtoField.uint16("msmp.members_normal", "Members with status normal"),
  members_1 = ProtoField.uint16("msmp.members_reasonable", "Members with status reasonable"),
  members_2 = ProtoField.uint16("msmp.members_possibly_abnormal", "Members with status possibly abnormal"),
  members_3 = ProtoField.uint16("msmp.members_abnormal", "Members with status abnormal"),
  stream_length = ProtoField.uint32("msmp.stream_length", "Length in the stream"),
}
message.declare(msmp, experts, field, links, qos_fields, tlv_fields)

local exchanges = exchange.new(links)

-- Responses repeat the Transaction ID; a termination request is answered by the indication that its sender gets too.
local function answered(kind)
  local is_response = kind % 2 == (kind < 32 and 0 or 1)
  return is_response and kind - 1 or nil
end

local VALUE_OCTETS = 12

local function add_value(m, item, offset)
  m:add(item, field.throughput, offset, 4):append_text(" bytes/s")
  m:add(item, field.delay, offset + 4, 2):append_text(" ms")
  m:add(item, field.jitter, offset + 6, 2):append_text(" ms")
  m:add(item, field.loss, offset + 8, 2):append_text(" (0.01 %)")
  local worst = qos.add_status(m, item, qos_fields, offset + 10)
  m:add(item, field.value_reserved, offset + 11, 1)
  return string.format("%d bytes/s, %s", m:uint(offset, 4), worst)
end

-- Values of a fixed size: how many octets, and what reads them.
local VALUES = {
  { qos.OCTETS, function(m, item, offset) return qos.add(m, item, qos_fields, offset) end },
  { VALUE_OCTETS, add_value },
  { 4, function(m, item, offset)
    m:add(item, field.interval, offset, 2):append_text(" (100 ms)")
    m:add(item, field.mode, offset + 2, 1)
    m:add(item, field.mask, offset + 3, 1)
    local mode = MODES[m:uint(offset + 2, 1)] or "unknown mode"
    return string.format("every %.1f s, %s", m:uint(offset, 2) / 10, mode)
  end },
  { 2, function(m, item, offset)
    m:add(item, field.reason, offset, 2)
    return REASONS[m:uint(offset, 2)] or string.format("reason %d", m:uint(offset, 2))
  end },
  { 4, function(m, item, offset)
    m:add(item, field.member_user, offset, 2)
    m:add(item, field.member_state, offset + 2, 1)
    m:add(item, field.member_reserved, offset + 3, 1)
    local state = STATES[m:uint(offset + 2, 1)] or "unknown state"
    return string.format("user %d %s", m:uint(offset, 2), state)
  end },
  { 12 + VALUE_OCTETS, function(m, item, offset)
    m:add(item, field.members, offset, 4)
    for status = 0, 3 do
      m:add(item, field["members_" .. status], offset + 4 + 2 * status, 2)
    end
    return string.format("%d members, worst %s", m:uint(offset, 4), add_value(m, item, offset + 12))
  end },
}

local readers = {}
for kind, value in ipairs(VALUES) do
  readers[kind] = function(m, item, offset, octets)
    return tlv.has_size(m, item, offset, octets, value[1]) and value[2](m, item, offset) or nil
  end
end
local TLVS = { word = "TLV", names = TLV_NAMES, fields = tlv_fields, readers = readers }

local function read_header(m)
  local version_item = m:add(m.item, field.version, 0, 1)
  local version = math.floor(m:uint(0, 1) / 16)
  if version ~= VERSION then
    m:wrong(string.format("octet 0: Version is %d, not %d", version, VERSION), version_item)
  end
  m:add(m.item, field.reserved, 0, 1)
  local kind = m:uint(1, 1)
  local type_item = m:add(m.item, field.type, 1, 1)
  if PACKETS[kind] then
    type_item:append_text(", " .. LONG_NAMES[kind])
  else
    m:wrong(string.format("octet 1: Type %d is unknown", kind), type_item)
  end
  local length_item = m:add(m.item, field.length, 2, 2)
  if m:uint(2, 2) ~= m.size then
    m:wrong(string.format("octet 2: Length is %d, the message has %d octets", m:uint(2, 2), m.size), length_item)
  end
  m:add(m.item, field.session, 4, 2)
  m:add(m.item, field.user, 6, 2)
  m:add(m.item, field.transaction, 8, 4)
  return kind
end

local function show_links(m, kind)
  local request = answered(kind)
  local subject = string.format("%d %d", request or kind, m:uint(8, 4))
  if request then
    exchanges:answer(m.pinfo, m.item, subject, PACKETS[kind])
  else
    exchanges:request(m.pinfo, m.item, subject, PACKETS[kind])
  end
end

-- `stream_length` is what stood before the message in a stream, nil in a datagram.
local function dissect(tvb, pinfo, tree, stream_length)
  local m = message.begin(msmp, experts, tvb, pinfo, tree)
  m.in_stream = stream_length ~= nil
  if stream_length and stream_length ~= m.size then
    m:wrong(string.format("the length in the stream, %d, is larger than any message", stream_length))
  end
  if not m:has(0, HEADER_OCTETS) then
    if not m.is_cut then
      m:wrong(string.format("%d octets are shorter than the header of %d", m.size, HEADER_OCTETS))
    end
    m:finish("MSMP")
    return
  end
  local kind = read_header(m)
  local found = tlv.walk(m, HEADER_OCTETS, tlv.WITH_RESERVED, TLVS)
  if #m.problems == 0 then
    show_links(m, kind)
  end
  local line = string.format("%s session %d user %d", PACKETS[kind] or "unknown type", m:uint(4, 2), m:uint(6, 2))
  for known = 1, #TLV_NAMES do
    if found[known] then
      line = line .. ", " .. found[known][1]
    end
  end
  m:finish(line)
end

function msmp.dissector(tvb, pinfo, tree)
  dissect(tvb, pinfo, tree)
  return tvb:captured_len()
end

local PREFIX_OCTETS = 4

-- Length has 16 bits, so that a larger one is no length; what there is of it is shown.
local function size_of(tvb, offset)
  local length = tvb(offset, PREFIX_OCTETS):uint()
  return length <= 0xffff and PREFIX_OCTETS + length or tvb:reported_length_remaining(offset)
end

local function after_prefix(tvb, pinfo, tree)
  tree:add(field.stream_length, tvb(0, PREFIX_OCTETS))
  if tvb:len() > PREFIX_OCTETS then
    dissect(tvb(PREFIX_OCTETS):tvb(), pinfo, tree, tvb(0, PREFIX_OCTETS):uint())
  end
end

local tcp_title = "Multicast Session Management Protocol over TCP"
local msmp_tcp = stream.proto("msmp_tcp", tcp_title, PREFIX_OCTETS, size_of, after_prefix)

function msmp.init()
  exchanges:forget()
end

local udp, tcp = "udp.port", "tcp.port"
ports.bind(msmp, {
  { preference = "udp_ports", title = "UDP ports", default = DEFAULT_PORT, dissectors = udp, handler = msmp },
  { preference = "tcp_ports", title = "TCP ports", default = DEFAULT_PORT, dissectors = tcp, handler = msmp_tcp },
})
