-- The walk over elements of type, length and value that four of the protocols have, each with its own form of header.

local tlv = {}

-- Type 8, reserved 8, Length 16 of the whole element.
tlv.WITH_RESERVED = { header = 4, length_at = 2, length_octets = 2, reserved_at = 1, align = 1 }
-- The same, each element padded with zeros to 32 bits; Length does not count the padding.
tlv.PADDED = { header = 4, length_at = 2, length_octets = 2, reserved_at = 1, align = 4 }

--- Fields every element has: the element itself, its type, reserved octet and length, and `unknown`, whole elements of
-- types that are not known.
function tlv.fields(prefix, title, names)
  return {
    element = ProtoField.none(prefix, title),
    type = ProtoField.uint8(prefix .. ".type", "Type", base.DEC, names),
    reserved = ProtoField.uint8(prefix .. ".reserved", "Reserved", base.HEX),
    length = ProtoField.uint16(prefix .. ".length", "Length"),
    unknown = ProtoField.bytes(prefix .. ".unknown", "Unknown"),
  }
end

-- Says why the element at `offset` cannot be walked over, unless the capture left its octets out.
local function stop(m, kinds, form, offset, size, length_item)
  if size < form.header then
    m:wrong(string.format("octet %d: %s Length %d is below its minimum of %d",
      offset, kinds.word, size, form.header), length_item)
  elseif offset + size > m.size then
    m:wrong(string.format("octet %d: %s of %d octets overruns the message by %d",
      offset, kinds.word, size, offset + size - m.size), length_item)
  elseif not m.is_cut then
    m:wrong(string.format("octet %d: %s of %d octets lacks its padding", offset, kinds.word, size), length_item)
  end
end

-- Reads one element; returns the offset after it, or nil where the walk cannot go on.
local function read(m, kinds, form, offset, found)
  if not m:has(offset, form.header) then
    if not m.is_cut then
      m:wrong(string.format("octet %d: %d octets left, the header of a %s has %d",
        offset, m.size - offset, kinds.word, form.header))
    end
    return nil
  end
  local kind = m:uint(offset, 1)
  local size = m:uint(offset + form.length_at, form.length_octets)
  local padded = size + -size % form.align
  local whole = size >= form.header and m:has(offset, padded)
  local item = m.item:add(kinds.fields.element, m.tvb(offset, whole and padded or m.captured - offset))
  item:set_text(kinds.names[kind] or string.format("Unknown %s %d", kinds.word, kind))
  m:add(item, kinds.fields.type, offset, 1)
  if form.reserved_at then
    m:add(item, kinds.fields.reserved, offset + form.reserved_at, 1)
  end
  local length_item = m:add(item, kinds.fields.length, offset + form.length_at, form.length_octets)
  if not whole then
    stop(m, kinds, form, offset, size, length_item)
    return nil
  end
  local text
  if kinds.readers[kind] then
    text = kinds.readers[kind](m, item, offset + form.header, size - form.header, form)
    item:append_text(": " .. (text or "malformed"))
  else
    m:add(item, kinds.fields.unknown, offset, size)
  end
  found[kind] = found[kind] or {}
  table.insert(found[kind], text or "?")
  return offset + padded
end

--- Walks from `offset` to the end of the message. `kinds` has `word` (what an element is called), `names` and `readers`
-- by type, and `fields`. A reader gets the message, the element's item, offset and octets of the value, and the form;
-- it adds fields and returns a few words, or nil after it has said what is wrong. Returns {type: list of words}.
function tlv.walk(m, offset, form, kinds)
  local found = {}
  while offset and offset < m.size do
    offset = read(m, kinds, form, offset, found)
  end
  return found
end

--- False, and said so, if a value has another size than its type allows.
function tlv.has_size(m, item, offset, octets, wanted)
  if octets == wanted then
    return true
  end
  m:wrong(string.format("octet %d: a value of %d octets where there are %d", offset, octets, wanted), item)
  return false
end

--- Readers for common values; `field` gets the whole value.
function tlv.number(field, octets, form)
  return function(m, item, offset, size)
    if not tlv.has_size(m, item, offset, size, octets) then
      return nil
    end
    m:add(item, field, offset, octets)
    return string.format(form or "%s", tostring(m.tvb(offset, octets):uint64()))
  end
end

function tlv.text(field, any_charset)
  return function(m, item, offset, octets)
    return m:add_text(item, field, offset, octets, any_charset)
  end
end

function tlv.opaque(field)
  return function(m, item, offset, octets)
    if octets > 0 then
      m:add(item, field, offset, octets)
    end
    return string.format("%d octets", octets)
  end
end

return tlv
