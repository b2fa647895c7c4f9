-- MMCP, the Mobile Multicast Control Protocol (ITU-T X.604.1 | ISO/IEC 24793-2), for Wireshark 4.0 and newer.
--
-- Wire format: X.604.1 clause 8; what the standard leaves open is marked with the project's decision, as in [D M-2].

-- In the tree the files that protocols share lie in a folder beside; installed, all lie in one.
package.path = package.path .. ";" .. __DIR__ .. "/../wireshark/?.lua"

local exchange = require "lab_exchange"
local message = require "lab_message"
local ports = require "lab_ports"
local text = require "lab_text"
local tlv = require "lab_tlv"

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
local PARAMETER_NAMES = {
  "MN Identifier", "PoA Identifier", "Multicast Address", "LMC Address", "Data Channel Status", "Membership",
}
local IDENTIFIER_MAX = 253 -- what a Length of 8 bits leaves [D M-2]

-- The two forms of a parameter's header; with the short one, `spare` reserved octets come before numbers [D M-2].
local PROFILES = {
  L16 = { name = "L16", header = 4, length_at = 2, length_octets = 2, reserved_at = 1, align = 1, spare = 0 },
  L8 = { name = "L8", header = 2, length_at = 1, length_octets = 1, align = 1, spare = 2 },
}

local MANDATORY = {
  SJR = { MN_ID }, LJR = { MN_ID }, ULR = { MN_ID }, USR = { MN_ID }, ASR = { MEMBERSHIP },
  HIR = { MN_ID, POA_ID }, HCT = { MN_ID, MULTICAST },
}
local MANDATORY_IF_ACCEPTED = { SJC = { MULTICAST }, HIC = { LMC } } -- [D M-4]

local mmcp = Proto("mmcp", "Mobile Multicast Control Protocol")
local experts = message.experts("mmcp")
local links = exchange.fields("mmcp")
local parameter_fields = tlv.fields("mmcp.parameter", "Parameter", PARAMETER_NAMES)
local field = {
  type = ProtoField.uint8("mmcp.type", "Packet Type", base.DEC, PACKETS),
  reserved = ProtoField.uint8("mmcp.reserved", "Reserved", base.HEX, nil, 0xfe),
  f = ProtoField.bool("mmcp.f", "F (accepted)", 8, { "yes", "no" }, 0x01),
  length = ProtoField.uint16("mmcp.length", "Payload Length"),
  session = ProtoField.uint32("mmcp.session", "Session ID"),
  profile = ProtoField.string("mmcp.profile", "Parameter profile"),
  spare = ProtoField.uint16("mmcp.parameter.spare", "Reserved", base.HEX),
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
}
message.declare(mmcp, experts, field, parameter_fields, links)

local exchanges = exchange.new(links)

-- Readers return words for the summary, or nil after they have said what is wrong.
local function read_identifier(name)
  return function(m, item, offset, octets)
    if octets < 1 or octets > IDENTIFIER_MAX then
      m:wrong(string.format("octet %d: an identifier has 1 to %d octets, not %d", offset, IDENTIFIER_MAX, octets), item)
      return nil
    end
    local shown = text.opaque(m.tvb(offset, octets))
    m:add(item, field[name], offset, octets):append_text(" (" .. shown .. ")")
    return shown
  end
end

local function read_address(fields)
  return function(m, item, offset, octets)
    local endpoint = m:add_endpoint(item, fields, offset, octets)
    if not endpoint then
      m:wrong(string.format("octet %d: port and address have 6 or 18 octets, not %d", offset, octets), item)
    end
    return endpoint
  end
end

-- Numbers of 32 bits, where the standard's table 2 fixes the size of the whole parameter [8.2].
local function read_numbers(form, ...)
  local numbers = { ... }
  return function(m, item, offset, octets, profile)
    if not tlv.has_size(m, item, offset, octets, profile.spare + 4 * #numbers) then
      return nil
    end
    if profile.spare > 0 then
      m:add(item, field.spare, offset, profile.spare)
    end
    local values = {}
    for index, name in ipairs(numbers) do
      local at = offset + profile.spare + 4 * (index - 1)
      m:add(item, field[name], at, 4)
      values[index] = m:uint(at, 4)
    end
    return string.format(form, table.unpack(values))
  end
end

local PARAMETERS = {
  word = "parameter",
  names = PARAMETER_NAMES,
  fields = parameter_fields,
  readers = {
    [MN_ID] = read_identifier("mn_id"),
    [POA_ID] = read_identifier("poa_id"),
    [MULTICAST] = read_address({ ipv4 = field.group, ipv6 = field.group_ipv6, port = field.group_port }),
    [LMC] = read_address({ ipv4 = field.lmc, ipv6 = field.lmc_ipv6, port = field.lmc_port }),
    [STATUS] = read_numbers("%d packets in %d s", "packets", "seconds"),
    [MEMBERSHIP] = read_numbers("%d MNs", "members"),
  },
}

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
  if m.size <= HEADER_OCTETS then
    return {}
  end
  local profile = profile_of(m)
  if not profile then
    return {}
  end
  m.item:add(field.profile, m.tvb(HEADER_OCTETS + 1, 1), profile.name):set_generated()
  return tlv.walk(m, HEADER_OCTETS, profile, PARAMETERS)
end

local function check_mandatory(m, packet, accepted, found)
  if m.is_cut then
    return -- what is missing may be in the octets that were not captured
  end
  local lists = { MANDATORY[packet] or {}, accepted and MANDATORY_IF_ACCEPTED[packet] or {} }
  for _, list in ipairs(lists) do
    for _, kind in ipairs(list) do
      if not found[kind] then
        m:wrong(string.format("%s lacks its mandatory %s", packet, PARAMETER_NAMES[kind]))
      end
    end
  end
end

local function summary(packet, session, accepted, found)
  local line = string.format("%s session %d", packet, session)
  local function say(form, kind)
    if found[kind] then
      line = line .. string.format(form, found[kind][1])
    end
  end
  if F_COUNTS[packet] then
    line = line .. (accepted and " accepted" or " refused")
  end
  if packet == "ASR" then
    say(", %s", MEMBERSHIP)
    return line
  end
  say(" %s", MN_ID)
  say(packet == "HIR" and " → PoA %s" or " at PoA %s", POA_ID)
  say(", group %s", MULTICAST)
  say(", LMC %s", LMC)
  say(", %s", STATUS)
  return line
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
