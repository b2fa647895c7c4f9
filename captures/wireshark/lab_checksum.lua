-- The Internet checksum [RFC 1071] over a message, its own field taken as zero.

local checksum = {}

--- The checksum of octets given as a Lua string; `field` is the offset of its 16 bits in them.
function checksum.of(octets, field)
  local sum = 0
  for at = 1, #octets, 2 do
    if at ~= field + 1 then
      local high, low = octets:byte(at, at + 1)
      sum = sum + high * 256 + (low or 0)
    end
  end
  while sum > 0xffff do
    sum = sum % 0x10000 + math.floor(sum / 0x10000)
  end
  return 0xffff - sum
end

--- Adds the field at `offset` and says if it is wrong; nothing can be said of a message that was not captured whole.
function checksum.add(m, field, offset)
  local item = m:add(m.item, field, offset, 2)
  if m.captured < m.size then
    item:append_text(" (not checked: not captured whole)")
    return
  end
  local expected, found = checksum.of(m.tvb:raw(0, m.size), offset), m:uint(offset, 2)
  if expected == found then
    item:append_text(" (correct)")
  else
    m:wrong(string.format("octet %d: checksum is 0x%04x, not 0x%04x", offset, found, expected), item)
  end
end

return checksum
