-- The elements in GMP's options [D G-8, G-15, G-25, G-29]: type 8, reserved 8, Length 16 without the padding to 32 bits, value.

local tlv = require "lab_tlv"

local options = {}

local NAMES = {
  "Name and purpose", "Content", "Owner", "Start time", "End time", "Media", "Core member", "Keep-alive",
  "Invited member", [16] = "Client name", [17] = "Access token", [18] = "Group key", [19] = "Key generation",
  [20] = "Reject reason", [21] = "Client MM port", [22] = "Start condition", [23] = "Roll-over counter",
}
local REJECT = 20
local REASONS = {
  "resources", "not authorised", "secure mode unsupported", "unknown session", "bad token", "wrong state",
  "quality-of-service management unsupported", "description malformed",
}
local START_CONDITIONS = { [0] = "none", [1] = "core members registered", [2] = "core members enrolled" } -- [D G-25]
local ANY_CHARSET = true -- what is not said to be UTF-8: names of members and clients, and SDP, which can name its own
local LATEST_DATE = 253402300799 -- the last second of the year 9999; os.date refuses much larger numbers

local elements = tlv.fields("gmp.option", "Option", NAMES)
local values = {
  name = ProtoField.string("gmp.name", "Name and purpose"),
  content = ProtoField.string("gmp.content", "Content"),
  owner = ProtoField.string("gmp.owner", "Owner"),
  start_time = ProtoField.uint64("gmp.start_time", "Start time"),
  end_time = ProtoField.uint64("gmp.end_time", "End time"),
  media = ProtoField.string("gmp.media", "Media"),
  core_member = ProtoField.string("gmp.core_member", "Core member"),
  period = ProtoField.uint8("gmp.option.period", "Keep-alive period"),
  timeout = ProtoField.uint8("gmp.option.timeout", "Timeout"),
  spare = ProtoField.uint16("gmp.option.spare", "Reserved", base.HEX),
  invited_member = ProtoField.string("gmp.invited_member", "Invited member"),
  client_name = ProtoField.string("gmp.client_name", "Client name"),
  token = ProtoField.bytes("gmp.token", "Access token"),
  key = ProtoField.bytes("gmp.key", "Group key, wrapped"),
  key_generation = ProtoField.uint32("gmp.key_generation", "Key generation"),
  reason = ProtoField.uint16("gmp.reason", "Reject reason", base.DEC, REASONS),
  client_mm_port = ProtoField.uint16("gmp.client_mm_port", "Client MM port"),
  start_condition = ProtoField.uint8("gmp.start_condition", "Start condition", base.DEC, START_CONDITIONS),
  roll_over_counter = ProtoField.uint32("gmp.roll_over_counter", "Roll-over counter"),
}

options.fields = {}
for _, fields in ipairs({ elements, values }) do
  for _, field in pairs(fields) do
    options.fields[#options.fields + 1] = field
  end
end

local function time(field)
  return function(m, item, offset, octets)
    if not tlv.has_size(m, item, offset, octets, 8) then
      return nil
    end
    local seconds = m.tvb(offset, 8):uint64():tonumber()
    local text = seconds <= LATEST_DATE and os.date("!%Y-%m-%d %H:%M:%S UTC", seconds) or "beyond the year 9999"
    m:add(item, field, offset, 8):append_text(" (" .. text .. ")")
    return text
  end
end

local function keep_alive(m, item, offset, octets)
  if not tlv.has_size(m, item, offset, octets, 4) then
    return nil
  end
  m:add(item, values.period, offset, 1):append_text(" (100 ms)")
  m:add(item, values.timeout, offset + 1, 1):append_text(" (100 ms)")
  m:add(item, values.spare, offset + 2, 2)
  return string.format("every %.1f s, timeout %.1f s", m:uint(offset, 1) / 10, m:uint(offset + 1, 1) / 10)
end

local function start_condition(m, item, offset, octets)
  if not tlv.has_size(m, item, offset, octets, 1) then
    return nil
  end
  m:add(item, values.start_condition, offset, 1)
  local code = m:uint(offset, 1)
  return START_CONDITIONS[code] or string.format("condition %d", code)
end

local function reason(m, item, offset, octets)
  if not tlv.has_size(m, item, offset, octets, 2) then
    return nil
  end
  m:add(item, values.reason, offset, 2)
  local code = m:uint(offset, 2)
  return REASONS[code] or string.format("reason %d", code)
end

options.KINDS = {
  word = "option",
  names = NAMES,
  fields = elements,
  readers = {
    tlv.text(values.name), tlv.text(values.content), tlv.text(values.owner), time(values.start_time),
    time(values.end_time), tlv.text(values.media, ANY_CHARSET), tlv.text(values.core_member, ANY_CHARSET), keep_alive,
    tlv.text(values.invited_member, ANY_CHARSET),
    [16] = tlv.text(values.client_name, ANY_CHARSET),
    [17] = tlv.opaque(values.token),
    [18] = tlv.opaque(values.key),
    [19] = tlv.number(values.key_generation, 4, "generation %s"),
    [REJECT] = reason,
    [21] = tlv.number(values.client_mm_port, 2, "port %s"),
    [22] = start_condition,
    [23] = tlv.number(values.roll_over_counter, 4, "counter %s"),
  },
}

--- Words for the info column: the name of a session, of a client, and why something was refused.
function options.summary(found)
  local text = ""
  for _, kind in ipairs({ 1, 16, REJECT }) do
    if found[kind] then
      text = text .. ", " .. found[kind][1]
    end
  end
  return text
end

return options
