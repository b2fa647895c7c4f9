-- The quality-of-service target that an element and a target of two protocols share [D E-6, D S-1], 28 octets:
--
--   Next element 4 | Direction 4 | reserved 8 | MSS 16
--   throughput CHQ 32 | OT 32 | LQA 32 (bytes/s)
--   delay OT 16 | LQA 16 (ms)   jitter OT 16 | LQA 16 (ms)   loss OT 16 | LQA 16 (0.01 %)
--
-- CHQ is the controlled highest quality, OT the operating target, LQA the lowest quality allowed.

local qos = {}

qos.OCTETS = 28

local DIRECTIONS = { [0] = "forward", [1] = "backward" }
local STATUS = { [0] = "normal", "reasonable", "possibly abnormal", "abnormal" }
local STATUS_PARTS = { "throughput", "delay", "jitter", "loss" }

local NUMBERS = {
  { "throughput_chq", 4, "Throughput CHQ", "bytes/s" }, { "throughput_ot", 4, "Throughput OT", "bytes/s" },
  { "throughput_lqa", 4, "Throughput LQA", "bytes/s" }, { "delay_ot", 2, "Delay OT", "ms" },
  { "delay_lqa", 2, "Delay LQA", "ms" }, { "jitter_ot", 2, "Jitter OT", "ms" },
  { "jitter_lqa", 2, "Jitter LQA", "ms" }, { "loss_ot", 2, "Loss OT", "0.01 %" },
  { "loss_lqa", 2, "Loss LQA", "0.01 %" },
}

--- Fields of a target and of the four statuses, two bits each.
function qos.fields(prefix)
  local fields = {
    direction = ProtoField.uint8(prefix .. ".qos.direction", "Direction", base.DEC, DIRECTIONS, 0x0f),
    reserved = ProtoField.uint8(prefix .. ".qos.reserved", "Reserved", base.HEX),
    mss = ProtoField.uint16(prefix .. ".qos.mss", "Maximum segment size"),
  }
  for _, number in ipairs(NUMBERS) do
    local make = number[2] == 4 and ProtoField.uint32 or ProtoField.uint16
    fields[number[1]] = make(prefix .. ".qos." .. number[1], number[3])
  end
  for index, part in ipairs(STATUS_PARTS) do
    local mask = math.floor(0xc0 / 4 ^ (index - 1))
    local name = prefix .. ".status." .. part
    fields["status_" .. part] = ProtoField.uint8(name, "Status of " .. part, base.DEC, STATUS, mask)
  end
  return fields
end

--- Adds a target's fields; returns a few words.
function qos.add(m, item, fields, offset)
  m:add(item, fields.direction, offset, 1)
  m:add(item, fields.reserved, offset + 1, 1)
  m:add(item, fields.mss, offset + 2, 2)
  local at = offset + 4
  for _, number in ipairs(NUMBERS) do
    m:add(item, fields[number[1]], at, number[2]):append_text(" " .. number[4])
    at = at + number[2]
  end
  local direction = DIRECTIONS[m:uint(offset, 1) % 16] or "unknown direction"
  return string.format("%s, %d bytes/s", direction, m:uint(offset + 8, 4))
end

--- Adds the four statuses in the octet at `offset`; returns the worst of them by name.
function qos.add_status(m, item, fields, offset)
  local octet, worst = m:uint(offset, 1), 0
  for _, part in ipairs(STATUS_PARTS) do
    m:add(item, fields["status_" .. part], offset, 1)
    worst = math.max(worst, octet % 4)
    octet = math.floor(octet / 4)
  end
  return STATUS[worst]
end

return qos
