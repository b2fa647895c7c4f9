-- OMCP, the Overlay Multicast Control Protocol (draft-koh-omcp-00), for Wireshark 4.0 and newer.
--
-- Over TCP, one connection for each request and confirm [D O-1]. The draft defines no wire format: this is the
-- project's own [D O-3].

-- In the tree the files that protocols share lie in a folder beside; installed, all lie in one.
package.path = package.path .. ";" .. __DIR__ .. "/../wireshark/?.lua"

local exchange = require "lab_exchange"
local message = require "lab_message"
local ports = require "lab_ports"
local stream = require "lab_stream"
local text = require "lab_text"
local tlv = require "lab_tlv"

local DEFAULT_PORT = "24794" -- [D O-2]
local HEADER_OCTETS = 16
local VERSION = 1
local LONGEST_OCTETS = 65536
local NODE_ID_MAX_OCTETS = 64

local PACKETS = {
  "Join Request", "Join Confirm", "Relay Request", "Relay Confirm", "Status Report", "Status Confirm",
}
local FLAGS = { { "leave", 0x01 }, { "relay", 0x02 }, { "accept", 0x04 }, { "rejoin", 0x08 } }
local TLV_NAMES = {
  "Node ID", "Control address", "Channel types", "Subnet", "Parent", "RR_TIME", "SR_TIME", "Data channel", "QoS",
  "Membership", "Reason", "Member", "Admission",
}
local NODE_ID, PARENT, REASON, DATA_CHANNEL = 1, 5, 11, 8
local CHANNEL_TYPES = { [1] = "unicast", [2] = "multicast", [4] = "IP-in-IP" }
local REASONS = { "full", "unknown session", "no common channel type", "would loop", "not authorised", "closing" }

local omcp = Proto("omcp", "Overlay Multicast Control Protocol")
local experts = message.experts("omcp")
local links = exchange.fields("omcp")
local tlv_fields = tlv.fields("omcp.tlv", "TLV", TLV_NAMES)
local yes_no = { "yes", "no" }

local function address_fields(name, title)
  return {
    ipv4 = ProtoField.ipv4("omcp." .. name, title),
    ipv6 = ProtoField.ipv6("omcp." .. name .. "_ipv6", title),
    port = ProtoField.uint16("omcp." .. name .. "_port", title .. ", port"),
  }
end

local control = address_fields("control", "Control address")
local subnet = address_fields("subnet", "Subnet")
local parent = address_fields("parent", "Parent")
local channel = address_fields("channel", "Data channel")
local field = {
  version = ProtoField.uint8("omcp.version", "Version", base.DEC, nil, 0xf0),
  reserved = ProtoField.uint8("omcp.reserved", "Reserved", base.HEX, nil, 0x0f),
  type = ProtoField.uint8("omcp.type", "Type", base.DEC, PACKETS),
  flags = ProtoField.uint8("omcp.flags", "Flags", base.HEX),
  flags_reserved = ProtoField.uint8("omcp.flags_reserved", "Reserved", base.HEX),
  length = ProtoField.uint32("omcp.length", "Length"),
  session = ProtoField.uint64("omcp.session", "Session ID"),
  node_id = ProtoField.string("omcp.node_id", "Node ID"),
  channel_types = ProtoField.uint8("omcp.channel_types", "Channel types", base.HEX),
  channel_unicast = ProtoField.bool("omcp.channel_types.unicast", "Unicast", 8, yes_no, 0x01),
  channel_multicast = ProtoField.bool("omcp.channel_types.multicast", "Multicast", 8, yes_no, 0x02),
  channel_ipip = ProtoField.bool("omcp.channel_types.ip_in_ip", "IP-in-IP", 8, yes_no, 0x04),
  prefix_length = ProtoField.uint8("omcp.subnet.prefix_length", "Prefix length"),
  multicast_enabled = ProtoField.uint8("omcp.subnet.multicast_enabled", "Multicast-enabled", base.DEC),
  parent_id = ProtoField.string("omcp.parent_id", "Node ID of the parent"),
  rr_time = ProtoField.uint32("omcp.rr_time", "RR_TIME"),
  sr_time = ProtoField.uint32("omcp.sr_time", "SR_TIME"),
  channel_type = ProtoField.uint8("omcp.channel_type", "Channel type", base.DEC, CHANNEL_TYPES),
  channel_reserved = ProtoField.uint8("omcp.channel_reserved", "Reserved", base.HEX),
  packets = ProtoField.uint64("omcp.packets", "Packets"),
  bytes = ProtoField.uint64("omcp.bytes", "Bytes"),
  throughput = ProtoField.uint32("omcp.throughput", "Throughput"),
  elapsed = ProtoField.uint32("omcp.elapsed", "Elapsed"),
  receivers = ProtoField.uint32("omcp.receivers", "Receivers below"),
  relay_agents = ProtoField.uint32("omcp.relay_agents", "Relay agents below"),
  reason = ProtoField.uint16("omcp.reason", "Reason", base.DEC, REASONS),
  member_id_length = ProtoField.uint8("omcp.member.id_length", "Node ID length"),
  member_id = ProtoField.string("omcp.member.id", "Node ID"),
  member_packets = ProtoField.uint64("omcp.member.packets", "Packets"),
  member_throughput = ProtoField.uint32("omcp.member.throughput", "Throughput"),
  expiry = ProtoField.uint64("omcp.expiry", "Expiry (Unix seconds)"),
  mac = ProtoField.bytes("omcp.mac", "MAC"),
}
for _, flag in ipairs(FLAGS) do
  field[flag[1]] = ProtoField.bool("omcp.flags." .. flag[1], flag[1]:upper(), 8, yes_no, flag[2])
end
message.declare(omcp, experts, field, links, tlv_fields, control, { subnet.ipv4, subnet.ipv6 }, parent, channel)

local exchanges = exchange.new(links)

local function wrong_size(m, item, offset, octets, what)
  m:wrong(string.format("octet %d: %d octets are no %s", offset, octets, what), item)
end

local function node_id(m, item, id_field, offset, octets)
  if octets < 1 or octets > NODE_ID_MAX_OCTETS then
    m:wrong(string.format("octet %d: a Node ID has 1 to %d octets, not %d", offset, NODE_ID_MAX_OCTETS, octets), item)
    return nil
  end
  return m:add_text(item, id_field, offset, octets)
end

-- Nothing tells a parent's address from its Node ID when the value is long enough for both versions of IP: it is IPv6
-- unless what would follow an IPv4 address is text.
local function is_ipv6_parent(m, offset, octets)
  if octets <= 2 + 16 or octets > 2 + 4 + NODE_ID_MAX_OCTETS then
    return octets > 2 + 16
  end
  local after_ipv4 = m.tvb:raw(offset + 6, octets - 6)
  return after_ipv4:find("%c") ~= nil or not text.is_utf8(after_ipv4)
end

local function read_parent(m, item, offset, octets)
  local address_octets = is_ipv6_parent(m, offset, octets) and 16 or 4
  if octets <= 2 + address_octets then
    wrong_size(m, item, offset, octets, "port, address and Node ID")
    return nil
  end
  local endpoint = m:add_endpoint(item, parent, offset, 2 + address_octets)
  local id = node_id(m, item, field.parent_id, offset + 2 + address_octets, octets - 2 - address_octets)
  return id and string.format("%s at %s", id, endpoint)
end

local function read_subnet(m, item, offset, octets)
  if octets ~= 6 and octets ~= 18 then
    wrong_size(m, item, offset, octets, "subnet")
    return nil
  end
  local length_item, longest = m:add(item, field.prefix_length, offset, 1), 8 * (octets - 2)
  if m:uint(offset, 1) > longest then
    m:wrong(string.format("octet %d: a prefix of %d bits, the address has %d", offset, m:uint(offset, 1), longest),
      length_item)
  end
  m:add(item, field.multicast_enabled, offset + 1, 1)
  local range = m.tvb(offset + 2, octets - 2)
  item:add(octets == 6 and subnet.ipv4 or subnet.ipv6, range)
  local shown = tostring(octets == 6 and range:ipv4() or range:ipv6())
  return string.format("%s/%d%s", shown, m:uint(offset, 1), m:uint(offset + 1, 1) == 1 and " with multicast" or "")
end

local function read_channel_types(m, item, offset, octets)
  if not tlv.has_size(m, item, offset, octets, 1) then
    return nil
  end
  local mask_item = m:add(item, field.channel_types, offset, 1)
  local names, mask = {}, m:uint(offset, 1)
  for _, bit in ipairs({ { 1, "channel_unicast" }, { 2, "channel_multicast" }, { 4, "channel_ipip" } }) do
    m:add(mask_item, field[bit[2]], offset, 1)
    if math.floor(mask / bit[1]) % 2 == 1 then
      names[#names + 1] = CHANNEL_TYPES[bit[1]]
    end
  end
  return #names > 0 and table.concat(names, ", ") or "none"
end

local function read_data_channel(m, item, offset, octets)
  if octets ~= 8 and octets ~= 20 then
    wrong_size(m, item, offset, octets, "data channel")
    return nil
  end
  m:add(item, field.channel_type, offset, 1)
  m:add(item, field.channel_reserved, offset + 1, 1)
  local endpoint = m:add_endpoint(item, channel, offset + 2, octets - 2)
  return string.format("%s to %s", CHANNEL_TYPES[m:uint(offset, 1)] or "unknown type", endpoint)
end

local function read_member(m, item, offset, octets)
  local id_octets = octets > 0 and m:uint(offset, 1) or 0
  if octets ~= 1 + id_octets + 12 then
    wrong_size(m, item, offset, octets, "Node ID length, Node ID, packets and throughput")
    return nil
  end
  m:add(item, field.member_id_length, offset, 1)
  local id = node_id(m, item, field.member_id, offset + 1, id_octets)
  m:add(item, field.member_packets, offset + 1 + id_octets, 8)
  m:add(item, field.member_throughput, offset + 9 + id_octets, 4):append_text(" bytes/s")
  return id
end

-- Values of numbers alone: {field, octets} after each other.
local function numbers(form, ...)
  local parts, size = { ... }, 0
  for _, part in ipairs(parts) do
    size = size + part[2]
  end
  return function(m, item, offset, octets)
    if not tlv.has_size(m, item, offset, octets, size) then
      return nil
    end
    local at, values = offset, {}
    for index, part in ipairs(parts) do
      m:add(item, field[part[1]], at, part[2])
      values[index] = part[2] <= 8 and tostring(m.tvb(at, part[2]):uint64()) or ""
      at = at + part[2]
    end
    return string.format(form, table.unpack(values))
  end
end

local TLVS = {
  word = "TLV",
  names = TLV_NAMES,
  fields = tlv_fields,
  readers = {
    function(m, item, offset, octets) return node_id(m, item, field.node_id, offset, octets) end,
    function(m, item, offset, octets)
      local endpoint = m:add_endpoint(item, control, offset, octets)
      if not endpoint then
        wrong_size(m, item, offset, octets, "port and address")
      end
      return endpoint
    end,
    read_channel_types,
    read_subnet,
    read_parent,
    numbers("%s ms", { "rr_time", 4 }),
    numbers("%s ms", { "sr_time", 4 }),
    read_data_channel,
    numbers("%s packets, %s bytes, %s bytes/s, %s s",
      { "packets", 8 }, { "bytes", 8 }, { "throughput", 4 }, { "elapsed", 4 }),
    numbers("%s receivers, %s relay agents", { "receivers", 4 }, { "relay_agents", 4 }),
    function(m, item, offset, octets)
      if not tlv.has_size(m, item, offset, octets, 2) then
        return nil
      end
      m:add(item, field.reason, offset, 2)
      return REASONS[m:uint(offset, 2)] or string.format("reason %d", m:uint(offset, 2))
    end,
    read_member,
    numbers("until %s", { "expiry", 8 }, { "mac", 16 }),
  },
}

local function read_header(m)
  local version_item = m:add(m.item, field.version, 0, 1)
  local version = math.floor(m:uint(0, 1) / 16)
  if version ~= VERSION then
    m:wrong(string.format("octet 0: Version is %d, not %d", version, VERSION), version_item)
  end
  m:add(m.item, field.reserved, 0, 1)
  local kind = m:uint(1, 1)
  local type_item = m:add(m.item, field.type, 1, 1)
  if not PACKETS[kind] then
    m:wrong(string.format("octet 1: Type %d is not one of 1 to %d", kind, #PACKETS), type_item)
  end
  local flags_item, set = m:add(m.item, field.flags, 2, 1), ""
  for _, flag in ipairs(FLAGS) do
    m:add(flags_item, field[flag[1]], 2, 1)
    if math.floor(m:uint(2, 1) / flag[2]) % 2 == 1 then
      set = set .. " " .. flag[1]:upper()
    end
  end
  m:add(m.item, field.flags_reserved, 3, 1)
  local length, length_item = m:uint(4, 4), m:add(m.item, field.length, 4, 4)
  if length > LONGEST_OCTETS then
    m:wrong(string.format("octet 4: Length is %d, more than 64 KiB", length), length_item)
  elseif length ~= m.size then
    m:wrong(string.format("octet 4: Length is %d, the message has %d octets", length, m.size), length_item)
  end
  m:add(m.item, field.session, 8, 8)
  return kind, set
end

local function dissect(tvb, pinfo, tree)
  local m = message.begin(omcp, experts, tvb, pinfo, tree)
  m.in_stream = true
  if not m:has(0, HEADER_OCTETS) then
    if not m.is_cut then
      m:wrong(string.format("%d octets are shorter than the header of %d", m.size, HEADER_OCTETS))
    end
    m:finish("OMCP")
    return
  end
  local kind, flags = read_header(m)
  local found = tlv.walk(m, HEADER_OCTETS, tlv.WITH_RESERVED, TLVS)
  local session = tostring(m.tvb(8, 8):uint64())
  if #m.problems == 0 then
    local subject = string.format("%d %s", math.floor((kind + 1) / 2), session)
    local show = kind % 2 == 1 and exchanges.request or exchanges.answer
    show(exchanges, pinfo, m.item, subject, PACKETS[kind])
  end
  local line = string.format("%s session %s%s", PACKETS[kind] or "unknown type", session, flags)
  for _, shown in ipairs({ NODE_ID, PARENT, DATA_CHANNEL, REASON }) do
    if found[shown] then
      line = line .. ", " .. found[shown][1]
    end
  end
  m:finish(line)
end

-- A Length that no message can have ends the connection: the rest is shown as one message.
local function size_of(tvb, offset)
  local length = tvb(offset + 4, 4):uint()
  if length >= HEADER_OCTETS and length <= LONGEST_OCTETS then
    return length
  end
  return tvb:reported_length_remaining(offset)
end

local title = "Overlay Multicast Control Protocol over TCP"
local omcp_tcp = stream.proto("omcp_tcp", title, HEADER_OCTETS, size_of, dissect)

function omcp.init()
  exchanges:forget()
end

local tcp = "tcp.port"
ports.bind(omcp, {
  { preference = "tcp_ports", title = "TCP ports", default = DEFAULT_PORT, dissectors = tcp, handler = omcp_tcp },
})
