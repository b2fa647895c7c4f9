-- Octets as words for a person: UTF-8, opaque identifiers, and how much of them fits into a line.

local text = {}

local SHOWN_OCTETS = 60

-- First octet of a character: how many follow, and bounds of the first that follows [RFC 3629 clause 4].
local LEADS = {
  { 0x00, 0x7f, 0, 0x80, 0xbf }, { 0xc2, 0xdf, 1, 0x80, 0xbf }, { 0xe0, 0xe0, 2, 0xa0, 0xbf },
  { 0xe1, 0xec, 2, 0x80, 0xbf }, { 0xed, 0xed, 2, 0x80, 0x9f }, { 0xee, 0xef, 2, 0x80, 0xbf },
  { 0xf0, 0xf0, 3, 0x90, 0xbf }, { 0xf1, 0xf3, 3, 0x80, 0xbf }, { 0xf4, 0xf4, 3, 0x80, 0x8f },
}

local function character(octets, at)
  local lead = octets:byte(at)
  for _, row in ipairs(LEADS) do
    if lead >= row[1] and lead <= row[2] then
      for more = 1, row[3] do
        local octet = octets:byte(at + more) or 0
        local low, high = row[4], row[5]
        if more > 1 then
          low, high = 0x80, 0xbf
        end
        if octet < low or octet > high then
          return nil
        end
      end
      return row[3] + 1
    end
  end
  return nil
end

--- True if the octets are UTF-8.
function text.is_utf8(octets)
  local at = 1
  while at <= #octets do
    local length = character(octets, at)
    if not length then
      return false
    end
    at = at + length
  end
  return true
end

--- What UTF-8 text says, short and on one line; octets that are none become question marks.
function text.summary(octets)
  local shown = octets
  if not text.is_utf8(octets) then
    shown = octets:gsub("[\128-\255]", "?")
  end
  shown = shown:gsub("%c", " ")
  if #shown > SHOWN_OCTETS then
    shown = shown:sub(1, SHOWN_OCTETS):gsub("[\192-\255][\128-\191]*$", "") .. "…"
  end
  return shown
end

--- How opaque octets are best shown: as text if they are printable, as a MAC address if they are six, else in hex.
function text.opaque(range)
  local octets = range:raw()
  if octets:find("^[\33-\126]+$") then
    return text.summary(octets)
  end
  if #octets == 6 then
    return tostring(range:ether())
  end
  return text.summary(tostring(range:bytes()):lower())
end

return text
