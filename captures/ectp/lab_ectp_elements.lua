-- The elements of ECTP's control packets [D E-5, E-6]: each begins with the code of the next one, 0 after the last.

local qos = require "lab_qos"

local elements = { CONNECTION = 1, ACKNOWLEDGEMENT = 2, MEMBERSHIP = 3, TIMESTAMP = 4 }

local CONNECTION, ACKNOWLEDGEMENT, MEMBERSHIP, TIMESTAMP = 1, 2, 3, 4
local QOS, ADDRESS = 5, 6
elements.NAMES = { [0] = "none", "Connection", "Acknowledgement", "Membership", "Timestamp", "QoS", "Address" }
local RELIABILITY = { [0] = "unreliable", "semi-reliable", "reliable" }
local IPV4_OCTETS, IPV6_OCTETS = 8, 20
local SIZES = {
  [CONNECTION] = 4, [MEMBERSHIP] = 4, [TIMESTAMP] = 12, [QOS] = qos.OCTETS, [ADDRESS] = IPV4_OCTETS,
}
local ACKNOWLEDGEMENT_OCTETS = 12 -- before the bitmap

local qos_fields = qos.fields("ectp")
local field = {
  element = ProtoField.none("ectp.element", "Element"),
  next = ProtoField.uint8("ectp.element.next", "Next element", base.DEC, elements.NAMES, 0xf0),
  reserved = ProtoField.uint8("ectp.element.reserved", "Reserved", base.HEX, nil, 0x0f),
  reserved_12 = ProtoField.uint16("ectp.element.reserved_12", "Reserved", base.HEX, nil, 0x0fff),
  reserved_28 = ProtoField.uint32("ectp.element.reserved_28", "Reserved", base.HEX, nil, 0x0fffffff),
  tco = ProtoField.uint8("ectp.tco", "TCO", base.DEC, nil, 0x0c),
  ro = ProtoField.uint8("ectp.ro", "RO (reliability)", base.DEC, RELIABILITY, 0x03),
  agn = ProtoField.uint8("ectp.agn", "AGN (ACK generation number)"),
  mss = ProtoField.uint16("ectp.mss", "MSS (maximum segment size)"),
  bitmap_length = ProtoField.uint16("ectp.bitmap_length", "Bitmap length (bits)"),
  adn = ProtoField.uint32("ectp.adn", "ADN (active descendants)"),
  lsn = ProtoField.uint32("ectp.lsn", "LSN (lowest PSN not received)"),
  bitmap = ProtoField.bytes("ectp.bitmap", "Bitmap"),
  level = ProtoField.uint8("ectp.tree_level", "Tree level"),
  child = ProtoField.uint16("ectp.child", "Child ID"),
  timestamp = ProtoField.uint64("ectp.timestamp", "Timestamp (ns)"),
  port = ProtoField.uint16("ectp.address_port", "Port"),
  ipv4 = ProtoField.ipv4("ectp.address", "Address"),
  ipv6 = ProtoField.ipv6("ectp.address_ipv6", "Address"),
}

elements.fields = {}
for _, fields in ipairs({ field, qos_fields }) do
  for _, one in pairs(fields) do
    elements.fields[#elements.fields + 1] = one
  end
end

-- Octets of the element at `offset`; nil if its code is unknown or it is cut off where it says how long it is. An
-- address is taken for IPv4.
local function size_of(m, code, offset)
  if code == ACKNOWLEDGEMENT and offset + 4 <= m.captured then
    return ACKNOWLEDGEMENT_OCTETS + 4 * math.ceil(m:uint(offset + 2, 2) / 32)
  end
  return SIZES[code]
end

-- True if the element at `offset`, of that size, leaves elements that end where the packet ends.
local function fits(m, offset, size)
  local code, after = math.floor(m:uint(offset, 1) / 16), offset + size
  while code ~= 0 do
    local octets = size_of(m, code, after)
    if not octets or after + octets > m.captured then
      return false
    end
    code, after = math.floor(m:uint(after, 1) / 16), after + octets
  end
  return after == m.size
end

-- As `size_of`, but an address is as long as lets the elements after it fit: nothing else tells its version.
local function actual_size(m, code, offset)
  if code == ADDRESS and offset < m.captured and not fits(m, offset, IPV4_OCTETS) and fits(m, offset, IPV6_OCTETS) then
    return IPV6_OCTETS
  end
  return size_of(m, code, offset)
end

local readers = {
  [CONNECTION] = function(m, item, offset)
    m:add(item, field.tco, offset, 1)
    m:add(item, field.ro, offset, 1)
    m:add(item, field.agn, offset + 1, 1)
    m:add(item, field.mss, offset + 2, 2)
    local reliability = RELIABILITY[m:uint(offset, 1) % 4] or "unknown reliability"
    return string.format("%s, AGN %d, MSS %d", reliability, m:uint(offset + 1, 1), m:uint(offset + 2, 2))
  end,
  [ACKNOWLEDGEMENT] = function(m, item, offset, octets)
    m:add(item, field.reserved, offset, 1)
    local worst = qos.add_status(m, item, qos_fields, offset + 1)
    m:add(item, field.bitmap_length, offset + 2, 2)
    m:add(item, field.adn, offset + 4, 4)
    m:add(item, field.lsn, offset + 8, 4)
    if octets > ACKNOWLEDGEMENT_OCTETS then
      m:add(item, field.bitmap, offset + ACKNOWLEDGEMENT_OCTETS, octets - ACKNOWLEDGEMENT_OCTETS)
    end
    return string.format("LSN %d, %s", m:uint(offset + 8, 4), worst)
  end,
  [MEMBERSHIP] = function(m, item, offset)
    m:add(item, field.reserved, offset, 1)
    m:add(item, field.level, offset + 1, 1)
    m:add(item, field.child, offset + 2, 2)
    return string.format("child %d at level %d", m:uint(offset + 2, 2), m:uint(offset + 1, 1))
  end,
  [TIMESTAMP] = function(m, item, offset)
    m:add(item, field.reserved_28, offset, 4)
    m:add(item, field.timestamp, offset + 4, 8)
    return tostring(m.tvb(offset + 4, 8):uint64()) .. " ns"
  end,
  [QOS] = function(m, item, offset)
    return qos.add(m, item, qos_fields, offset)
  end,
  [ADDRESS] = function(m, item, offset, octets)
    m:add(item, field.reserved_12, offset, 2)
    return m:add_endpoint(item, field, offset + 2, octets - 2)
  end,
}

local SUMMARISED = { [CONNECTION] = true, [ACKNOWLEDGEMENT] = true, [MEMBERSHIP] = true, [ADDRESS] = true }

--- Walks the elements from `offset`, of which `code` is the first. Returns the offset after the last (nil if the walk
-- could not go on) and what was found: {code: words}, with the words for the info column in `summary`.
function elements.walk(m, offset, code)
  local found = { summary = "" }
  while code ~= 0 do
    if not readers[code] then
      m:wrong(string.format("octet %d: Element %d is unknown", offset, code))
      return nil, found
    end
    local size = actual_size(m, code, offset)
    if not m:has(offset, size or ACKNOWLEDGEMENT_OCTETS) or not size then
      if not m.is_cut then
        local form = "octet %d: %d octets left, too few for the element %s"
        m:wrong(string.format(form, offset, m.size - offset, elements.NAMES[code]))
      end
      return nil, found
    end
    local item = m:add(m.item, field.element, offset, size)
    m:add(item, field.next, offset, 1)
    local words = readers[code](m, item, offset, size)
    item:set_text(elements.NAMES[code] .. ": " .. words)
    if SUMMARISED[code] then
      found.summary = found.summary .. ", " .. words
    end
    found[code] = found[code] or words
    code = math.floor(m:uint(offset, 1) / 16)
    offset = offset + size
  end
  return offset, found
end

return elements
