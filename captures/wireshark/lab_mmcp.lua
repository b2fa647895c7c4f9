-- MMCP, the Mobile Multicast Control Protocol (ITU-T X.604.1 | ISO/IEC 24793-2), for Wireshark 4.0 and newer.
--
-- Wire format: X.604.1 clause 8; what the standard leaves open is marked with the project's decision, as in [D M-2].

local exchange = require "lab_exchange"
local message = require "lab_message"
local ports = require "lab_ports"

local DEFAULT_PORT = "24793" -- [D M-1]
local HEADER_OCTETS = 8 -- [8.1]

local PACKETS = {
  "SJR", "SJC", "LJR", "LJC", "ULR", "ULC", "USR", "ASR", "USP", "HIR", "HCT", "HTA", "HIC",
}
local LONG_NAMES = {
  SJR = "session join request", SJC = "session join confirm", LJR = "local join request",
  LJC = "local join confirm", ULR = "user leave request", ULC = "user leave confirm",
  USR = "user status report", ASR = "aggregation status report", USP = "user status probe",
  HIR = "handover initiation request", HCT = "handover context transfer", HTA = "handover transfer ACK",
  HIC = "handover initiation confirm",
}
local F_COUNTS = { SJC = true, LJC = true, ULC = true, HIC = true, HTA = true } -- elsewhere 0, ignored [8.1]
-- Answers are matched on peer address, port and session; the subject keeps the procedures apart. An LMC has a port of
-- its own for each HCT [D M-16].
local ANSWER_TO = { SJC = "SJR", LJC = "LJR", ULC = "ULR", HIC = "HIR", HTA = "HCT" }
local IS_REQUEST = { SJR = true, LJR = true, ULR = true, HIR = true, HCT = true }

local MN_ID, POA_ID, MULTICAST, LMC, STATUS, MEMBERSHIP = 1, 2, 3, 4, 5, 6
local PARAMETERS = {
  "MN Identifier", "PoA Identifier", "Multicast Address", "LMC Address", "Data Channel Status", "Membership",
}
local IDENTIFIER_MAX = 253 -- what a Length of 8 bits leaves [D M-2]

-- The two forms of a parameter's header [D M-2]. With the short one, 16 reserved bits follow where the standard's
-- table 2 fixes the size of the whole parameter.
local PROFILES = {
  L16 = { name = "L16", header = 4, length_at = 2, length_octets = 2, spare = 0 },
  L8 = { name = "L8", header = 2, length_at = 1, length_octets = 1, spare = 2 },
}
local FIXED_SIZE = { [STATUS] = 12, [MEMBERSHIP] = 8 }

local MANDATORY = {
  SJR = { MN_ID }, LJR = { MN_ID }, ULR = { MN_ID }, USR = { MN_ID }, ASR = { MEMBERSHIP },
  HIR = { MN_ID, POA_ID }, HCT = { MN_ID, MULTICAST },
}
local MANDATORY_IF_ACCEPTED = { SJC = { MULTICAST }, HIC = { LMC } } -- [D M-4]

local mmcp = Proto("mmcp", "Mobile Multicast Control Protocol")
local experts = message.experts("mmcp")
local links = exchange.fields("mmcp")
local field = {
  type = ProtoField.uint8("mmcp.type", "Packet Type", base.DEC, PACKETS),
  reserved = ProtoField.uint8("mmcp.reserved", "Reserved", base.HEX, nil, 0xfe),
  f = ProtoField.bool("mmcp.f", "F (accepted)", 8, { "yes", "no" }, 0x01),
  length = ProtoField.uint16("mmcp.length", "Payload Length"),
  session = ProtoField.uint32("mmcp.session", "Session ID"),
  profile = ProtoField.string("mmcp.profile", "Parameter profile"),
  parameter = ProtoField.none("mmcp.parameter", "Parameter"),
  parameter_type = ProtoField.uint8("mmcp.parameter.type", "Type", base.DEC, PARAMETERS),
  parameter_reserved = ProtoField.uint8("mmcp.parameter.reserved", "Reserved", base.HEX),
  parameter_spare = ProtoField.uint16("mmcp.parameter.spare", "Reserved", base.HEX),
  parameter_length = ProtoField.uint16("mmcp.parameter.length", "Length"),
  mn_id = ProtoField.bytes("mmcp.mn_id", "MN Identifier"),
  poa_id = ProtoField.bytes("mmcp.poa_id", "PoA Identifier"),
  group = ProtoField.ipv4("mmcp.group", "Multicast group"),
  group_ipv6 = ProtoField.ipv6("mmcp.group_ipv6", "Multicast group"),
  group_port = ProtoField.uint16("mmcp.group_port", "Port of the data"),
  lmc = ProtoField.ipv4("mmcp.lmc", "LMC"),
  lmc_ipv6 = ProtoField.ipv6("mmcp.lmc_ipv6", "LMC"),
  lmc_port = ProtoField.uint16("mmcp.lmc_port", "Port of the LMC"),
  packets = ProtoField.uint32("mmcp.packets", "Packets received"),
  seconds = ProtoField.uint32("mmcp.seconds", "Seconds in session"),
  members = ProtoField.uint32("mmcp.members", "Number of MNs attached"),
  unknown = ProtoField.bytes("mmcp.unknown_parameter", "Unknown parameter"),
}
local all_fields = {}
for _, fields in ipairs({ field, links }) do
  for _, one in pairs(fields) do
    all_fields[#all_fields + 1] = one
  end
end
mmcp.fields = all_fields
mmcp.experts = { experts.malformed, experts.cut }

local exchanges = exchange.new(links)
local group_fields = { ipv4 = field.group, ipv6 = field.group_ipv6, port = field.group_port }
local lmc_fields = { ipv4 = field.lmc, ipv6 = field.lmc_ipv6, port = field.lmc_port }

-- Each reader gets the parameter's subtree and where its value is, and returns words for the summary.
local function read_identifier(name)
  return function(m, item, offset, octets)
    if octets < 1 or octets > IDENTIFIER_MAX then
      m:wrong(string.format("octet %d: an identifier has 1 to %d octets, not %d", offset, IDENTIFIER_MAX, octets), item)
      return nil
    end
    local text = m:printable(offset, octets)
    m:add(item, field[name], offset, octets):append_text(" (" .. text .. ")")
    return text
  end
end

local function read_address(fields)
  return function(m, item, offset, octets)
    local text = m:add_endpoint(item, fields, offset, octets)
    if not text then
      m:wrong(string.format("octet %d: port and address have 6 or 18 octets, not %d", offset, octets), item)
    end
    return text
  end
end

local READERS = {
  [MN_ID] = read_identifier("mn_id"),
  [POA_ID] = read_identifier("poa_id"),
  [MULTICAST] = read_address(group_fields),
  [LMC] = read_address(lmc_fields),
  [STATUS] = function(m, item, offset)
    m:add(item, field.packets, offset, 4)
    m:add(item, field.seconds, offset + 4, 4)
    return string.format("%d packets in %d s", m:uint(offset, 4), m:uint(offset + 4, 4))
  end,
  [MEMBERSHIP] = function(m, item, offset)
    m:add(item, field.members, offset, 4)
    return string.format("%d MNs", m:uint(offset, 4))
  end,
}

local function read_value(m, item, profile, kind, offset, size)
  local value, octets = offset + profile.header, size - profile.header
  local fixed = FIXED_SIZE[kind]
  if fixed then
    if size ~= fixed then
      m:wrong(string.format("octet %d: %s has %d octets, not %d", offset, PARAMETERS[kind], size, fixed), item)
      return nil
    end
    if profile.spare > 0 then
      m:add(item, field.parameter_spare, value, profile.spare)
      value, octets = value + profile.spare, octets - profile.spare
    end
  end
  return READERS[kind](m, item, value, octets)
end

-- Reads the parameter at `offset`; returns the offset after it, or nil where the walk cannot go on.
local function read_parameter(m, profile, offset, found)
  if not m:has(offset, profile.header) then
    if not m.is_cut then
      m:wrong(string.format("octet %d: %d octets left, a parameter's header has %d",
        offset, m.size - offset, profile.header))
    end
    return nil
  end
  local size = m:uint(offset + profile.length_at, profile.length_octets)
  local whole = size >= profile.header and m:has(offset, size)
  local kind = m:uint(offset, 1)
  local item = m.item:add(field.parameter, m.tvb(offset, whole and size or m.captured - offset))
  local name = PARAMETERS[kind] or string.format("Unknown parameter %d", kind)
  item:set_text(name)
  m:add(item, field.parameter_type, offset, 1)
  if profile.length_at == 2 then
    m:add(item, field.parameter_reserved, offset + 1, 1)
  end
  local length_item = m:add(item, field.parameter_length, offset + profile.length_at, profile.length_octets)
  if not whole then
    if size < profile.header then
      m:wrong(string.format("octet %d: parameter Length %d is below its minimum of %d",
        offset, size, profile.header), length_item)
    elseif offset + size > m.size then
      m:wrong(string.format("octet %d: parameter of %d octets overruns the packet by %d",
        offset, size, offset + size - m.size), length_item)
    end
    return nil
  end
  found[kind] = found[kind] or {}
  local text
  if READERS[kind] then
    text = read_value(m, item, profile, kind, offset, size)
    item:append_text(": " .. (text or "malformed"))
  else
    m:add(item, field.unknown, offset, size)
  end
  table.insert(found[kind], text or "?")
  return offset + size
end

-- The second octet of the first parameter tells the profile: 0 is L16, 2 or more is L8, 1 is neither [D M-2].
local function profile_of(m)
  if not m:has(HEADER_OCTETS, 2) then
    if m.size == HEADER_OCTETS + 1 then
      m:wrong(string.format("octet %d: 1 octet is no parameter", HEADER_OCTETS))
    end
    return nil
  end
  local second = m:uint(HEADER_OCTETS + 1, 1)
  if second == 1 then
    m:wrong(string.format("octet %d: 1 fits neither parameter profile", HEADER_OCTETS + 1))
    return nil
  end
  return second == 0 and PROFILES.L16 or PROFILES.L8
end

local function read_parameters(m)
  local found = {}
  if m.size <= HEADER_OCTETS then
    return found
  end
  local profile = profile_of(m)
  if not profile then
    return found
  end
  m.item:add(field.profile, m.tvb(HEADER_OCTETS + 1, 1), profile.name):set_generated()
  local offset = HEADER_OCTETS
  while offset and offset < m.size do
    offset = read_parameter(m, profile, offset, found)
  end
  return found
end

local function check_mandatory(m, packet, accepted, found)
  if m.is_cut then
    return -- what is missing may be in the octets that were not captured
  end
  local lists = { MANDATORY[packet] or {}, accepted and MANDATORY_IF_ACCEPTED[packet] or {} }
  for _, list in ipairs(lists) do
    for _, kind in ipairs(list) do
      if not found[kind] then
        m:wrong(string.format("%s lacks its mandatory %s", packet, PARAMETERS[kind]))
      end
    end
  end
end

local function summary(packet, session, accepted, found)
  local text = string.format("%s session %d", packet, session)
  local function say(form, kind)
    if found[kind] then
      text = text .. string.format(form, found[kind][1])
    end
  end
  if F_COUNTS[packet] then
    text = text .. (accepted and " accepted" or " refused")
  end
  if packet == "ASR" then
    say(", %s", MEMBERSHIP)
    return text
  end
  say(" %s", MN_ID)
  say(packet == "HIR" and " → PoA %s" or " at PoA %s", POA_ID)
  say(", group %s", MULTICAST)
  say(", LMC %s", LMC)
  say(", %s", STATUS)
  return text
end

local function read_header(m)
  local kind = m:uint(0, 1)
  local packet = PACKETS[kind]
  local type_item = m:add(m.item, field.type, 0, 1)
  if packet then
    type_item:append_text(", " .. LONG_NAMES[packet])
  else
    m:wrong(string.format("octet 0: Packet Type %d is not one of 1 to %d", kind, #PACKETS), type_item)
  end
  m:add(m.item, field.reserved, 1, 1)
  local f_item = m:add(m.item, field.f, 1, 1)
  if packet and not F_COUNTS[packet] then
    f_item:append_text(" (no meaning in " .. packet .. ")")
  end
  local length_item = m:add(m.item, field.length, 2, 2)
  local length = m:uint(2, 2)
  if length ~= m.size then
    m:wrong(string.format("octet 2: Payload Length is %d, the datagram has %d octets", length, m.size), length_item)
  end
  m:add(m.item, field.session, 4, 4)
  return packet, m:uint(4, 4), m:uint(1, 1) % 2 == 1
end

local function show_links(m, packet, session)
  if IS_REQUEST[packet] then
    exchanges:request(m.pinfo, m.item, packet .. " " .. session, packet)
  elseif ANSWER_TO[packet] then
    exchanges:answer(m.pinfo, m.item, ANSWER_TO[packet] .. " " .. session, packet)
  end
end

function mmcp.dissector(tvb, pinfo, tree)
  local m = message.begin(mmcp, experts, tvb, pinfo, tree)
  if not m:has(0, HEADER_OCTETS) then
    if not m.is_cut then
      m:wrong(string.format("%d octets are shorter than the header of %d", m.size, HEADER_OCTETS))
    end
    m:finish("MMCP")
    return tvb:captured_len()
  end
  local packet, session, accepted = read_header(m)
  local found = read_parameters(m)
  if packet then
    check_mandatory(m, packet, accepted, found)
  end
  if #m.problems == 0 then
    show_links(m, packet, session)
  end
  m:finish(summary(packet or "unknown packet", session, accepted, found))
  return tvb:captured_len()
end

function mmcp.init()
  exchanges:forget()
end

ports.bind(mmcp, {
  { preference = "udp_ports", title = "UDP ports", default = DEFAULT_PORT, dissectors = "udp.port", handler = mmcp },
})
