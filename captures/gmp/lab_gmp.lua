-- GMP, the Group Management Protocol (ITU-T X.602 | ISO/IEC 16513), for Wireshark 4.0 and newer.
--
-- Its two modules, session management (SM) and membership management (MM), cannot be told apart by what a message says,
-- so each has its own port [D G-3]. A client's MM port is announced in SAREQ; the other end is the server's well-known
-- one. Over TCP the length of each message stands before it in 16 bits [D G-2].

-- In the tree the files that protocols share lie in a folder beside; installed, all lie in one.
package.path = package.path .. ";" .. __DIR__ .. "/../wireshark/?.lua"

local checksum = require "lab_checksum"
local exchange = require "lab_exchange"
local message = require "lab_message"
local options = require "lab_gmp_options"
local ports = require "lab_ports"
local stream = require "lab_stream"
local tlv = require "lab_tlv"

local SM_PORT, MM_PORT = "16513", "16514" -- [D G-3]
local HEADER_OCTETS = 16 -- [8.2, 8.4]
local VERSION = 1

local SM_PACKETS = { -- [8.2]
  "SCREQ", "SCACC", "SCREJ", "SDREQ", "SDRES", "SCINF", "SCCON", "SRREQ", "SRRES", "SRACC", "SRREJ", "SJREQ", "SJRES",
  "SAREQ",
}
local MM_PACKETS = { "KAREQ", "KARES", "UIREQ", "UIRES", "LVREQ", "TRREQ", "TRIND", "KDUPT" } -- [8.4, D G-6]
local LONG_NAMES = {
  SCREQ = "session creation request", SCACC = "session creation accepted", SCREJ = "session creation rejected",
  SDREQ = "session deletion request", SDRES = "session deletion response", SCINF = "session information",
  SCCON = "session creation confirm", SRREQ = "registration request", SRRES = "registration response",
  SRACC = "registration accepted", SRREJ = "registration rejected", SJREQ = "enrolment request",
  SJRES = "enrolment response", SAREQ = "activation request", KAREQ = "keep-alive request",
  KARES = "keep-alive response", UIREQ = "user information request", UIRES = "user information response",
  LVREQ = "leave request", TRREQ = "termination request", TRIND = "termination indication", KDUPT = "key update",
}
-- A request that creates a session does not know its identifier yet.
local WITHOUT_SESSION = "SCREQ"
local ANSWER_TO = {
  SCACC = "SCREQ", SCREJ = "SCREQ", SDRES = "SDREQ", SCCON = "SCINF", SRRES = "SRREQ", SRACC = "SRREQ", SRREJ = "SRREQ",
  SJRES = "SJREQ", KARES = "KAREQ", UIRES = "UIREQ",
}
local IS_REQUEST = { SCREQ = true, SDREQ = true, SCINF = true, SRREQ = true, SJREQ = true, KAREQ = true, UIREQ = true }

local MODES = { "open", "closed" }
local MEMBER_TYPES = { [1] = "participant", [2] = "core member", [4] = "creator" }

local LEVELS = { [0] = "active", [1] = "enrolled", [2] = "registered" } -- [D G-14]

local gmp = Proto("gmp", "Group Management Protocol")
local experts = message.experts("gmp")
local links = exchange.fields("gmp")
local yes_no = { "yes", "no" }
local field = {
  version = ProtoField.uint8("gmp.version", "Version", base.DEC, nil, 0xf0),
  q = ProtoField.bool("gmp.q", "Q (quality-of-service management)", 8, yes_no, 0x08),
  s = ProtoField.bool("gmp.s", "S (secure)", 8, yes_no, 0x04),
  m = ProtoField.bool("gmp.m", "M (closed mode)", 8, yes_no, 0x02),
  i = ProtoField.bool("gmp.i", "I (option present)", 8, yes_no, 0x01),
  sm_type = ProtoField.uint8("gmp.sm_type", "Type", base.DEC, SM_PACKETS),
  checksum = ProtoField.uint16("gmp.checksum", "Checksum", base.HEX),
  session = ProtoField.uint16("gmp.session", "Session ID"),
  user = ProtoField.uint16("gmp.user", "User ID"),
  key_length = ProtoField.uint8("gmp.key_length", "Key Length"),
  reserved = ProtoField.uint8("gmp.reserved", "Reserved", base.HEX),
  port = ProtoField.uint16("gmp.port", "Multicast group port"),
  group = ProtoField.ipv4("gmp.group", "Multicast group"),
  mm_port = ProtoField.uint16("gmp.mm_port", "MM port of the client"),
  mm_type = ProtoField.uint8("gmp.mm_type", "Type", base.DEC, MM_PACKETS, 0x0f),
  mode = ProtoField.uint8("gmp.mode", "Mode", base.DEC, MODES, 0xc0),
  member_type = ProtoField.uint8("gmp.member_type", "Member type", base.DEC, MEMBER_TYPES, 0x38),
  r = ProtoField.bool("gmp.r", "R (more follows)", 8, yes_no, 0x04),
  ss = ProtoField.bool("gmp.ss", "SS (session is ending)", 8, yes_no, 0x02),
  ui = ProtoField.bool("gmp.ui", "UI (user information)", 8, yes_no, 0x01),
  period = ProtoField.uint8("gmp.period", "Keep-alive period", base.DEC),
  timeout = ProtoField.uint8("gmp.timeout", "Timeout", base.DEC),
  stream_length = ProtoField.uint16("gmp.stream_length", "Length in the stream"),
  member = ProtoField.none("gmp.member", "Active member"),
  member_user = ProtoField.uint16("gmp.member.user", "User ID"),
  member_member_type = ProtoField.uint8("gmp.member.type", "Member type", base.DEC, MEMBER_TYPES, 0xe0),
  member_reserved = ProtoField.uint16("gmp.member.reserved", "Reserved", base.HEX, nil, 0x1fff),
  others = ProtoField.uint16("gmp.others", "Other active members", base.DEC, nil, 0x1fff),
  level = ProtoField.uint8("gmp.level", "Level that is left", base.DEC, LEVELS),
  generation = ProtoField.uint8("gmp.generation", "Key generation, low octet"),
}
message.declare(gmp, experts, field, links, options.fields)

local exchanges = exchange.new(links)

local function begin(tvb, pinfo, tree, in_stream)
  local m = message.begin(gmp, experts, tvb, pinfo, tree)
  m.in_stream = in_stream
  if m:has(0, HEADER_OCTETS) then
    return m, true
  end
  if not m.is_cut then
    m:wrong(string.format("%d octets are shorter than the header of %d", m.size, HEADER_OCTETS))
  end
  m:finish("GMP")
  return m, false
end

local function read_version(m)
  local item = m:add(m.item, field.version, 0, 1)
  local version = math.floor(m:uint(0, 1) / 16)
  if version ~= VERSION then
    m:wrong(string.format("octet 0: Version is %d, not %d", version, VERSION), item)
  end
end

local function read_type(m, type_field, offset, kind, packets)
  local item = m:add(m.item, type_field, offset, 1)
  local packet = packets[kind]
  if packet then
    item:append_text(", " .. LONG_NAMES[packet])
  else
    m:wrong(string.format("octet %d: Type %d is not one of 1 to %d", offset, kind, #packets), item)
  end
  return packet
end

local function check_words(m)
  if m.size % 4 ~= 0 then
    local octets = m.size - HEADER_OCTETS
    m:wrong(string.format("octet %d: an option of %d octets is no multiple of 4", HEADER_OCTETS, octets))
  end
end

local function finish(m, packet, session, text, user)
  if #m.problems == 0 then
    local subject = ANSWER_TO[packet] or packet
    local about = subject == WITHOUT_SESSION and subject or string.format("%s %d %s", subject, session, user or "")
    if IS_REQUEST[packet] then
      exchanges:request(m.pinfo, m.item, about, packet)
    elseif ANSWER_TO[packet] then
      exchanges:answer(m.pinfo, m.item, about, packet)
    end
  end
  m:finish(text)
end

-- I says whether SCINF has an option.
local function check_option_bit(m, packet)
  local has_bit, has_option = m:uint(0, 1) % 2 == 1, m.size > HEADER_OCTETS
  if packet == "SCINF" and has_bit ~= has_option then
    m:wrong(string.format("octet 0: I is %d in SCINF, its option has %d octets",
      has_bit and 1 or 0, m.size - HEADER_OCTETS))
  end
end

-- SAREQ's option is one word, the client's MM port in its low 16 bits; elsewhere it is a list of elements [D G-8].
local function read_sm_option(m, packet)
  if packet ~= "SAREQ" then
    return options.summary(tlv.walk(m, HEADER_OCTETS, tlv.PADDED, options.KINDS))
  end
  if m.size ~= HEADER_OCTETS + 4 then
    m:wrong(string.format("octet %d: the option of SAREQ has 4 octets, not %d", HEADER_OCTETS, m.size - HEADER_OCTETS))
  elseif m:has(HEADER_OCTETS, 4) then
    m:add(m.item, field.mm_port, HEADER_OCTETS + 2, 2)
    return string.format(", MM port %d", m:uint(HEADER_OCTETS + 2, 2))
  end
  return ""
end

local function dissect_sm(tvb, pinfo, tree, in_stream)
  local m, whole = begin(tvb, pinfo, tree, in_stream)
  if not whole then
    return
  end
  read_version(m)
  for _, flag in ipairs({ "q", "s", "m", "i" }) do
    m:add(m.item, field[flag], 0, 1)
  end
  local packet = read_type(m, field.sm_type, 1, m:uint(1, 1), SM_PACKETS)
  checksum.add(m, field.checksum, 2)
  m:add(m.item, field.session, 4, 2)
  m:add(m.item, field.user, 6, 2)
  m:add(m.item, field.key_length, 8, 1)
  m:add(m.item, field.reserved, 9, 1)
  m:add(m.item, field.port, 10, 2)
  m:add(m.item, field.group, 12, 4)
  check_words(m)
  check_option_bit(m, packet)
  local said = read_sm_option(m, packet)
  local session, user = m:uint(4, 2), m:uint(6, 2)
  local text = string.format("%s session %d user %d%s", packet or "unknown type", session, user, said)
  finish(m, packet, session, text)
end

-- Returns how many are named, and how many others there are.
local function read_members(m)
  local members, others = 0, 0
  for offset = HEADER_OCTETS, m.size - 4, 4 do
    if not m:has(offset, 4) then
      break
    end
    local item = m:add(m.item, field.member, offset, 4)
    m:add(item, field.member_user, offset, 2)
    m:add(item, field.member_member_type, offset + 2, 1)
    local kind = MEMBER_TYPES[math.floor(m:uint(offset + 2, 1) / 32)]
    if m:uint(offset, 2) == 0 then -- how many others there are, in an open session [D G-22]
      others = m:uint(offset + 2, 2) % 8192
      m:add(item, field.others, offset + 2, 2)
      item:set_text(string.format("%d others are active", others))
    else
      members = members + 1
      m:add(item, field.member_reserved, offset + 2, 2)
      item:set_text(string.format("Active member %d, %s", m:uint(offset, 2), kind or "unknown type"))
    end
    if not kind then
      m:wrong(string.format("octet %d: no member type", offset + 2), item)
    end
  end
  return members, others
end

-- The option of UIRES is a word for each active member [D G-7, G-22], any other a list of elements [D G-8].
local function read_mm_option(m, packet)
  if packet ~= "UIRES" then
    return options.summary(tlv.walk(m, HEADER_OCTETS, tlv.PADDED, options.KINDS))
  end
  if m:uint(1, 1) % 2 == 0 then
    m:wrong("octet 1: UI is 0 in UIRES")
  end
  local members, others = read_members(m)
  return string.format(", %d active members", members) .. (others > 0 and string.format(" and %d others", others) or "")
end

local function read_membership(m)
  local flags = m:uint(1, 1)
  local mode, member = math.floor(flags / 64), math.floor(flags / 8) % 8
  local mode_item = m:add(m.item, field.mode, 1, 1)
  if not MODES[mode] then
    m:wrong(string.format("octet 1: Mode %d is neither open (1) nor closed (2)", mode), mode_item)
  end
  local member_item = m:add(m.item, field.member_type, 1, 1)
  if not MEMBER_TYPES[member] then
    m:wrong(string.format("octet 1: member type %d is not 1, 2 or 4", member), member_item)
  end
  for _, flag in ipairs({ "r", "ss", "ui" }) do
    m:add(m.item, field[flag], 1, 1)
  end
  return MEMBER_TYPES[member] or "unknown member", math.floor(flags / 2) % 2 == 1
end

-- Reserved is the level that LVREQ leaves [D G-14], and the low octet of the key's generation in KAREQ [D G-15].
local function read_reserved(m, packet)
  local code = m:uint(15, 1)
  if packet == "LVREQ" then
    m:add(m.item, field.level, 15, 1)
    return ", leaves " .. (LEVELS[code] or string.format("level %d", code))
  elseif packet == "KAREQ" then
    m:add(m.item, field.generation, 15, 1)
    return code > 0 and string.format(", key generation %d", code) or ""
  end
  m:add(m.item, field.reserved, 15, 1)
  return ""
end

local function dissect_mm(tvb, pinfo, tree, in_stream)
  local m, whole = begin(tvb, pinfo, tree, in_stream)
  if not whole then
    return
  end
  read_version(m)
  local packet = read_type(m, field.mm_type, 0, m:uint(0, 1) % 16, MM_PACKETS)
  local member, ending = read_membership(m)
  m:add(m.item, field.port, 2, 2)
  m:add(m.item, field.session, 4, 2)
  m:add(m.item, field.user, 6, 2)
  m:add(m.item, field.group, 8, 4)
  m:add(m.item, field.period, 12, 1):append_text(" (100 ms)")
  m:add(m.item, field.timeout, 13, 1):append_text(" (100 ms)")
  m:add(m.item, field.key_length, 14, 1)
  local reserved = read_reserved(m, packet)
  check_words(m)
  local said = reserved .. read_mm_option(m, packet)
  local session, user = m:uint(4, 2), m:uint(6, 2)
  local text = string.format("%s session %d user %d %s%s%s",
    packet or "unknown type", session, user, member, ending and ", session ends" or "", said)
  finish(m, packet, session, text, user)
end

local PREFIX_OCTETS = 2 -- [D G-2]

local function module(name, title, dissect)
  local datagrams = Proto(name, "Group Management Protocol, " .. title)
  function datagrams.dissector(tvb, pinfo, tree)
    dissect(tvb, pinfo, tree, false)
    return tvb:captured_len()
  end
  local function size_of(tvb, offset)
    return PREFIX_OCTETS + tvb(offset, PREFIX_OCTETS):uint()
  end
  local function after_prefix(tvb, pinfo, tree)
    tree:add(field.stream_length, tvb(0, PREFIX_OCTETS))
    if tvb:len() > PREFIX_OCTETS then
      dissect(tvb(PREFIX_OCTETS):tvb(), pinfo, tree, true)
    end
  end
  local tcp_title = "Group Management Protocol, " .. title .. " over TCP"
  return datagrams, stream.proto(name .. "_tcp", tcp_title, PREFIX_OCTETS, size_of, after_prefix)
end

local sm, sm_tcp = module("gmp_sm", "session management", dissect_sm)
local mm, mm_tcp = module("gmp_mm", "membership management", dissect_mm)

function gmp.init()
  exchanges:forget()
end

ports.bind(gmp, {
  { preference = "sm_udp_ports", title = "SM UDP ports", default = SM_PORT, dissectors = "udp.port", handler = sm },
  { preference = "mm_udp_ports", title = "MM UDP ports", default = MM_PORT, dissectors = "udp.port", handler = mm },
  { preference = "sm_tcp_ports", title = "SM TCP ports", default = SM_PORT, dissectors = "tcp.port", handler = sm_tcp },
  { preference = "mm_tcp_ports", title = "MM TCP ports", default = MM_PORT, dissectors = "tcp.port", handler = mm_tcp },
})
