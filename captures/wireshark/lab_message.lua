-- One message on its way into Wireshark's tree: its octets, what is wrong with them, one line that sums it up.
--
-- Nothing here raises: octets are asked for before they are read, and what is wrong becomes expert information of
-- severity error in the group "Malformed", at the place where it is. `<protocol>.malformed` finds such packets.
--
-- An ICMP error quotes the datagram that it is about, and Wireshark has the quotation dissected like a message.
-- `<protocol>.quoted` finds those.

local text = require "lab_text"

local message = {}

local Message = {}
Message.__index = Message

--- Makes the kinds of expert information each protocol has, for `Proto.experts`.
function message.experts(prefix)
  return {
    malformed = ProtoExpert.new(
      prefix .. ".malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR),
    cut = ProtoExpert.new(prefix .. ".cut", "Not captured whole", expert.group.UNDECODED, expert.severity.NOTE),
    quoted = ProtoExpert.new(
      prefix .. ".quoted", "Quoted in an ICMP message", expert.group.RESPONSE_CODE, expert.severity.NOTE),
  }
end

--- Gives a protocol its fields, from tables of them, and its expert information.
function message.declare(protocol, experts, ...)
  local all = {}
  for _, fields in ipairs({ ... }) do
    for _, field in pairs(fields) do
      all[#all + 1] = field
    end
  end
  protocol.fields = all
  protocol.experts = { experts.malformed, experts.cut, experts.quoted }
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
  if pinfo.in_error_pkt then
    self.item:add_proto_expert_info(experts.quoted)
  end
  return self
end

--- Says that the message is malformed: what is wrong, shown at `item` (default: the whole message).
function Message:wrong(what, item)
  self.problems[#self.problems + 1] = what
  local shown = item or self.item
  shown:add_proto_expert_info(self.experts.malformed, what)
end

--- True if these octets can be read. Octets that a short snapshot length left out are no fault of the message.
function Message:has(offset, octets)
  if offset + octets <= self.captured then
    return true
  end
  if offset + octets <= self.size and not self.is_cut then
    self.is_cut = true
    local what = string.format("%d of %d octets were captured", self.captured, self.size)
    self.item:add_proto_expert_info(self.experts.cut, what)
  end
  return false
end

function Message:uint(offset, octets)
  return self.tvb(offset, octets):uint()
end

--- Adds a field that fills its octets.
function Message:add(item, field, offset, octets)
  return item:add(field, self.tvb(offset, octets))
end

--- Adds text; returns a summary of it. What is no UTF-8 shows with replacement characters, and is malformed unless
-- `any_charset` says that it need not be.
function Message:add_text(item, field, offset, octets, any_charset)
  if octets == 0 then
    item:add(field, "")
    return ""
  end
  local range = self.tvb(offset, octets)
  local added = item:add_packet_field(field, range, ENC_UTF_8)
  local raw = range:raw()
  if not any_charset and not text.is_utf8(raw) then
    self:wrong(string.format("octet %d: text that is no UTF-8", offset), added)
  end
  return text.summary(raw)
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

--- Ends the message: protocol and info columns, and the line in the tree.
-- `in_stream`, a field of the message, says that others may share its frame.
function Message:finish(summary)
  local line = summary
  if #self.problems > 0 then
    line = line .. " malformed: " .. self.problems[1]
  end
  self.item:append_text(", " .. line)
  self.pinfo.cols.protocol:set(self.name)
  local info = self.pinfo.cols.info
  if self.in_stream then
    -- A segment may hold several messages; the fence keeps what those before have said.
    info:append(tostring(info) == "" and line or " | " .. line)
    info:fence()
  else
    info:set(line)
  end
end

return message
