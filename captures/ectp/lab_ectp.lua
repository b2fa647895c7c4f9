-- ECTP, duplex multicast transport with QoS management (ITU-T X.607.1 | ISO/IEC 14476-4), for Wireshark 4.0 and newer.
--
-- A connection's port is announced beforehand, so that there is no default: packets are known by their form, checksum
-- included, and once one is known all of its conversation are; the preference takes ports.

-- In the tree the files that protocols share lie in a folder beside; installed, all lie in one.
package.path = package.path .. ";" .. __DIR__ .. "/../wireshark/?.lua"

local checksum = require "lab_checksum"
local elements = require "lab_ectp_elements"
local exchange = require "lab_exchange"
local message = require "lab_message"
local ports = require "lab_ports"

local HEADER_OCTETS = 16
local VERSION, DUPLEX = 0, 2

local PACKETS = { -- [D E-3]
  "CR", "CC", "TJ", "TC", "DT", "ND", "RD", "ACK", "HB", "HBACK", "JR", "JC", "UL", "CT", "TGR", "TGC", "TRR", "TRC",
}
local LONG_NAMES = {
  CR = "connection creation request", CC = "connection creation confirm", TJ = "tree join request",
  TC = "tree join confirm", DT = "data", ND = "null data", RD = "retransmitted data", ACK = "acknowledgement",
  HB = "heartbeat", HBACK = "heartbeat acknowledgement", JR = "late join request", JC = "late join confirm",
  UL = "user leave", CT = "connection termination", TGR = "token get request", TGC = "token get confirm",
  TRR = "token return request", TRC = "token return confirm",
}
local CARRIES_DATA = { DT = true, RD = true }
-- What F says where it says something: if set, if not [D E-4].
local F_MEANS = {
  JC = { "accepted", "refused" }, TC = { "accepted", "refused" }, TGC = { "accepted", "refused" },
  TRC = { "accepted", "refused" }, UL = { "by the user", "ejected" }, CT = { "abnormal", "normal" },
  TGR = { "by the TU", "by TO" }, TRR = { "by the TU", "by TO" },
}
-- What a packet cannot do without; a refusal has none of it.
local MANDATORY = {
  CR = { elements.CONNECTION }, TC = { elements.MEMBERSHIP }, ACK = { elements.ACKNOWLEDGEMENT },
  HB = { elements.MEMBERSHIP, elements.TIMESTAMP }, HBACK = { elements.MEMBERSHIP, elements.TIMESTAMP },
  JC = { elements.CONNECTION }, TGR = { elements.CONNECTION },
}
local ANSWER_TO = { CC = "CR", TC = "TJ", HBACK = "HB", JC = "JR", TGC = "TGR", TRC = "TRR" }
local IS_REQUEST = { CR = true, TJ = true, HB = true, JR = true, TGR = true, TRR = true }
local TO_MANY = { CR = true, HB = true } -- multicast; whoever answers does so alone

local ectp = Proto("ectp", "Enhanced Communications Transport Protocol, duplex")
local experts = message.experts("ectp")
local links = exchange.fields("ectp")
local yes_no = { "yes", "no" }
local field = {
  next = ProtoField.uint8("ectp.next", "Next element", base.DEC, elements.NAMES, 0xf0),
  version = ProtoField.uint8("ectp.version", "Version", base.DEC, nil, 0x0c),
  ct = ProtoField.uint8("ectp.ct", "CT (connection type)", base.DEC, { [DUPLEX] = "duplex" }, 0x03),
  type = ProtoField.uint8("ectp.type", "Packet type", base.DEC, PACKETS),
  checksum = ProtoField.uint16("ectp.checksum", "Checksum", base.HEX),
  connection = ProtoField.uint32("ectp.connection", "Connection ID"),
  psn = ProtoField.uint32("ectp.psn", "PSN (packet sequence number)"),
  length = ProtoField.uint16("ectp.length", "Payload length"),
  f = ProtoField.bool("ectp.f", "F", 8, yes_no, 0x80),
  reserved = ProtoField.uint8("ectp.reserved", "Reserved", base.HEX, nil, 0x7c),
  n = ProtoField.bool("ectp.n", "N (members may negotiate)", 8, yes_no, 0x02),
  qos = ProtoField.bool("ectp.qos_on", "QoS management", 8, yes_no, 0x01),
  token = ProtoField.uint8("ectp.token", "Token ID"),
  data = ProtoField.bytes("ectp.data", "Data"),
}
message.declare(ectp, experts, field, links, elements.fields)

local exchanges = exchange.new(links)

local function read_header(m)
  m:add(m.item, field.next, 0, 1)
  local version_item = m:add(m.item, field.version, 0, 1)
  local ct_item = m:add(m.item, field.ct, 0, 1)
  local first = m:uint(0, 1)
  local version, ct = math.floor(first / 4) % 4, first % 4
  if version ~= VERSION then
    m:wrong(string.format("octet 0: Version is %d, not %d", version, VERSION), version_item)
  end
  if ct ~= DUPLEX then
    m:wrong(string.format("octet 0: CT is %d, not %d (duplex)", ct, DUPLEX), ct_item)
  end
  local kind = m:uint(1, 1)
  local packet = PACKETS[kind]
  local type_item = m:add(m.item, field.type, 1, 1)
  if packet then
    type_item:append_text(", " .. LONG_NAMES[packet])
  else
    m:wrong(string.format("octet 1: Packet type %d is not one of 1 to %d", kind, #PACKETS), type_item)
  end
  checksum.add(m, field.checksum, 2)
  m:add(m.item, field.connection, 4, 4)
  m:add(m.item, field.psn, 8, 4)
  local length_item = m:add(m.item, field.length, 12, 2)
  local length, there = m:uint(12, 2), m.size - HEADER_OCTETS
  if length ~= there then
    m:wrong(string.format("octet 12: Payload length is %d, %d octets follow the header", length, there), length_item)
  end
  local f_item = m:add(m.item, field.f, 14, 1)
  local meaning = F_MEANS[packet] and F_MEANS[packet][m:uint(14, 1) >= 0x80 and 1 or 2]
  if meaning then
    f_item:append_text(" (" .. meaning .. ")")
  end
  m:add(m.item, field.reserved, 14, 1)
  m:add(m.item, field.n, 14, 1)
  m:add(m.item, field.qos, 14, 1)
  m:add(m.item, field.token, 15, 1)
  return packet, math.floor(first / 16), meaning
end

local function check_mandatory(m, packet, meaning, found)
  if m.is_cut or meaning == "refused" then
    return
  end
  for _, code in ipairs(MANDATORY[packet] or {}) do
    if not found[code] then
      m:wrong(string.format("%s lacks its element %s", packet, elements.NAMES[code]))
    end
  end
end

-- Control packets carry elements, data packets carry data, never both.
local function read_payload(m, packet, meaning, first)
  if not CARRIES_DATA[packet] then
    local offset, found = elements.walk(m, HEADER_OCTETS, first)
    if offset and offset < m.size then
      m:wrong(string.format("octet %d: %d octets after the last element", offset, m.size - offset))
    end
    check_mandatory(m, packet, meaning, found)
    return found.summary, found[elements.TIMESTAMP]
  end
  if first ~= 0 then
    m:wrong(string.format("octet 0: %s carries data, Next element is %d", packet, first))
  end
  if m.captured > HEADER_OCTETS then
    m:add(m.item, field.data, HEADER_OCTETS, m.captured - HEADER_OCTETS)
  end
  return string.format(", %d octets", m.size - HEADER_OCTETS)
end

-- A heartbeat's answer copies its timestamp.
local function show_links(m, packet, stamp)
  local request = ANSWER_TO[packet] or packet
  local subject = string.format("%s %d %s", request, m:uint(4, 4), stamp or "")
  if IS_REQUEST[packet] then
    exchanges:request(m.pinfo, m.item, subject, packet, TO_MANY[packet])
  elseif ANSWER_TO[packet] then
    exchanges:answer(m.pinfo, m.item, subject, packet, TO_MANY[request])
  end
end

function ectp.dissector(tvb, pinfo, tree)
  local m = message.begin(ectp, experts, tvb, pinfo, tree)
  if not m:has(0, HEADER_OCTETS) then
    if not m.is_cut then
      m:wrong(string.format("%d octets are shorter than the header of %d", m.size, HEADER_OCTETS))
    end
    m:finish("ECTP")
    return tvb:captured_len()
  end
  local packet, first, meaning = read_header(m)
  local said, stamp = read_payload(m, packet, meaning, first)
  if #m.problems == 0 then
    show_links(m, packet, stamp)
  end
  local line = string.format("%s connection %d PSN %d", packet or "unknown type", m:uint(4, 4), m:uint(8, 4))
  local token = m:uint(15, 1)
  if token ~= 0 then
    line = line .. string.format(" token %d", token)
  end
  m:finish(line .. (meaning and " " .. meaning or "") .. said)
  return tvb:captured_len()
end

-- Cheap questions first: this is asked about every UDP datagram that nothing else knows.
local function looks_like_ectp(tvb)
  local size = tvb:reported_len()
  if size < HEADER_OCTETS or tvb:captured_len() < size or tvb(0, 1):uint() % 16 ~= DUPLEX then
    return false
  end
  if not PACKETS[tvb(1, 1):uint()] or tvb(12, 2):uint() ~= size - HEADER_OCTETS then
    return false
  end
  return checksum.of(tvb:raw(0, size), 2) == tvb(2, 2):uint()
end

ectp:register_heuristic("udp", function(tvb, pinfo, tree)
  if not looks_like_ectp(tvb) then
    return false
  end
  pinfo.conversation = ectp
  ectp.dissector(tvb, pinfo, tree)
  return true
end)

function ectp.init()
  exchanges:forget()
end

ports.bind(ectp, {
  { preference = "udp_ports", title = "UDP ports", default = "", dissectors = "udp.port", handler = ectp },
})
