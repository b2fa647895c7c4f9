-- One message on its way into Wireshark's tree: its octets, what is wrong with them, one line that sums it up.
--
-- Nothing here raises: octets are asked for before they are read, and what is wrong becomes expert information of
-- severity error in the group "Malformed", at the place where it is. `<protocol>.malformed` finds such packets.

local message = {}

local Message = {}
Message.__index = Message

--- Makes the two kinds of expert information each protocol has, for `Proto.experts`.
function message.experts(prefix)
  return {
    malformed = ProtoExpert.new(
      prefix .. ".malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR),
    cut = ProtoExpert.new(prefix .. ".cut", "Not captured whole", expert.group.UNDECODED, expert.severity.NOTE),
  }
end

--- Begins one message: `size` is its octets on the wire, `captured` those there are.
function message.begin(protocol, experts, tvb, pinfo, tree)
  local self = setmetatable({
    tvb = tvb,
    pinfo = pinfo,
    experts = experts,
    size = tvb:reported_len(),
    captured = tvb:captured_len(),
    problems = {},
    name = protocol.name,
  }, Message)
  self.item = tree:add(protocol, tvb())
  return self
end

--- Says that the message is malformed: what is wrong, shown at `item` (default: the whole message).
function Message:wrong(text, item)
  self.problems[#self.problems + 1] = text
  local shown = item or self.item
  shown:add_proto_expert_info(self.experts.malformed, text)
end

--- True if these octets can be read. Octets that a short snapshot length left out are no fault of the message.
function Message:has(offset, octets)
  if offset + octets <= self.captured then
    return true
  end
  if offset + octets <= self.size and not self.is_cut then
    self.is_cut = true
    local text = string.format("%d of %d octets were captured", self.captured, self.size)
    self.item:add_proto_expert_info(self.experts.cut, text)
  end
  return false
end

--- True if nothing wrong was found and nothing was left out.
function Message:is_whole()
  return #self.problems == 0 and not self.is_cut
end

function Message:uint(offset, octets)
  return self.tvb(offset, octets):uint()
end

--- Adds a field that fills its octets.
function Message:add(item, field, offset, octets)
  return item:add(field, self.tvb(offset, octets))
end

--- Adds text, read as UTF-8. Octets that are no UTF-8 show as replacement characters.
function Message:add_text(item, field, offset, octets)
  if octets == 0 then
    return item:add(field, self.tvb(offset - 1, 1), ""), ""
  end
  local range = self.tvb(offset, octets)
  local text = range:string(ENC_UTF_8)
  return item:add(field, range, text), text
end

--- Adds port and address, the IP version by the octets after the port; returns "address:port" or nil.
-- `fields` has port, ipv4 and ipv6. `octets` counts the port too.
function Message:add_endpoint(item, fields, offset, octets)
  local address = octets - 2
  if address ~= 4 and address ~= 16 then
    return nil
  end
  local port = self:uint(offset, 2)
  self:add(item, fields.port, offset, 2)
  local range = self.tvb(offset + 2, address)
  if address == 4 then
    item:add(fields.ipv4, range)
    return string.format("%s:%d", tostring(range:ipv4()), port)
  end
  item:add(fields.ipv6, range)
  return string.format("[%s]:%d", tostring(range:ipv6()), port)
end

--- How opaque octets are best shown: as text if they are printable, as a MAC address if they are six, else in hex.
function Message:printable(offset, octets)
  local range = self.tvb(offset, octets)
  local raw = range:raw()
  if raw:find("^[\33-\126]+$") then
    return raw
  end
  if octets == 6 then
    return tostring(range:ether())
  end
  return tostring(range:bytes()):lower()
end

--- Ends the message: protocol and info columns, and the line in the tree.
function Message:finish(summary)
  local text = summary
  if #self.problems > 0 then
    text = text .. " malformed: " .. self.problems[1]
  end
  self.item:append_text(", " .. text)
  self.pinfo.cols.protocol:set(self.name)
  local info = self.pinfo.cols.info
  if self.follows then
    info:append(" | " .. text)
  else
    info:set(text)
  end
end

return message
