-- Messages in a TCP stream: where one ends and the next begins, over segment borders.

local stream = {}

--- Makes a Proto whose dissector cuts a TCP stream into messages and hands each to `dissect(tvb, pinfo, tree)`.
-- `header` is how many octets tell a message's size, `size_of(tvb, offset)` that size with everything in front of it.
-- It appears by `name` in Decode As; fields and preferences stay with the protocol itself.
function stream.proto(name, title, header, size_of, dissect)
  local protocol = Proto(name, title)
  local function message_size(tvb, _, offset)
    return size_of(tvb, offset)
  end
  local function one(tvb, pinfo, tree)
    dissect(tvb, pinfo, tree)
    return tvb:len()
  end
  function protocol.dissector(tvb, pinfo, tree)
    pinfo.cols.info:set("")
    dissect_tcp_pdus(tvb, tree, header, message_size, one)
    return tvb:len()
  end
  return protocol
end

return stream
