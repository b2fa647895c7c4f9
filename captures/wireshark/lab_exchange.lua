-- Which answer belongs to which request, and how long it took.
--
-- An exchange is one or more sightings of a request followed by sightings of its answer, between the same two
-- endpoints and about the same subject. A request is seen again for two reasons: it was resent because no answer came,
-- or the capture has several interfaces and saw the same datagram at each. Wireshark does not tell a Lua dissector the
-- interface, so sightings less than COPY_S apart are taken for copies: a link's delay is shorter, and so the protocols'
-- shortest resend timer is longer (250 ms). Link-layer addresses keep the segments of a path apart.
--
--  * The first answer belongs to the first request, the second to the second: its time is what the requester waited.
--  * A resent request without an answer of its own leads to the next answer that came.
--  * Of copies, the request that came last on its way belongs to the answer that came first on its way back.
--
-- What an ICMP error quotes is no sighting: that message was on its way before, between others than the ICMP error.
--
-- Everything is recorded on the first pass only (`pinfo.visited` is false) and found again by frame number.

local exchange = {}

local COPY_S = 0.1

local Exchanges = {}
Exchanges.__index = Exchanges

--- Fields for the links, for a protocol's list: PREFIX.response_in, .response_to, .response_time, .repeat_of.
function exchange.fields(prefix)
  return {
    response_in = ProtoField.framenum(prefix .. ".response_in", "Response in", base.NONE, frametype.RESPONSE),
    response_to = ProtoField.framenum(prefix .. ".response_to", "Response to", base.NONE, frametype.REQUEST),
    response_time = ProtoField.relative_time(prefix .. ".response_time", "Time from request to response"),
    repeat_of = ProtoField.framenum(prefix .. ".repeat_of", "The same request before, in", base.NONE, frametype.NONE),
  }
end

function exchange.new(fields)
  local self = setmetatable({ fields = fields }, Exchanges)
  self:forget()
  return self
end

--- Forgets everything: a new file has been opened.
function Exchanges:forget()
  self.open = {}
  self.seen = {}
  self.addresses = {}
end

-- Two addresses may print the same where names are resolved, so that text alone does not identify one.
function Exchanges:_identity(address)
  local text = tostring(address)
  local alike = self.addresses[text] or {}
  self.addresses[text] = alike
  for index, known in ipairs(alike) do
    if known == address then
      return text .. "#" .. index
    end
  end
  alike[#alike + 1] = address
  return text .. "#" .. #alike
end

-- The way of a packet with its request's sender first. A request to a group is known by its sender alone.
function Exchanges:_path(pinfo, is_answer, many)
  local from = self:_identity(pinfo.src) .. " " .. pinfo.src_port
  local to = self:_identity(pinfo.dst) .. " " .. pinfo.dst_port
  local near, far = self:_identity(pinfo.dl_src), self:_identity(pinfo.dl_dst)
  if is_answer then
    from, to, near, far = to, from, far, near
  end
  if many then
    return from, to
  end
  return table.concat({ from, to, near, far }, " > "), ""
end

-- Adds a sighting to the newest of `groups` if it is a copy, else to a new group; returns group and position.
local function sight(groups, pinfo, name)
  local group = groups[#groups]
  local is_copy = group and group.name == name and pinfo.rel_ts - group[#group].time < COPY_S
  if not is_copy then
    group = { name = name, nth = 1 }
    for _, earlier in ipairs(groups) do
      if earlier.name == name then
        group.nth = group.nth + 1
      end
    end
    groups[#groups + 1] = group
  end
  group[#group + 1] = { frame = pinfo.number, time = pinfo.rel_ts }
  return group, #group
end

local function identifier(pinfo, subject, name)
  return pinfo.number .. " " .. name .. " " .. subject
end

-- The way back is seen in the opposite order.
local function counterpart(position, other)
  return other[math.max(1, math.min(#other, #other - position + 1))]
end

function Exchanges:_record_request(pinfo, id, subject, name, many)
  local key = self:_path(pinfo, false, many) .. " " .. subject
  local open = self.open[key]
  if not open or #open.answers > 0 then
    open = { requests = {}, answers = {} }
    self.open[key] = open
  end
  local group, position = sight(open.requests, pinfo, name)
  self.seen[id] = { exchange = open, group = group, position = position }
end

function Exchanges:_record_answer(pinfo, id, subject, name, many)
  local path, responder = self:_path(pinfo, true, many)
  local open = self.open[path .. " " .. subject]
  if not open then
    return
  end
  local group, position = sight(open.answers, pinfo, name .. responder)
  group.request = group.request or open.requests[many and #open.requests or math.min(group.nth, #open.requests)]
  self.seen[id] = { exchange = open, group = group, position = position }
end

local function answer_of(record)
  local frame = record.group[record.position].frame
  local next_answer
  for _, group in ipairs(record.exchange.answers) do
    if group.request == record.group then
      return counterpart(record.position, group)
    end
    if not next_answer and group[1].frame > frame then
      next_answer = counterpart(record.position, group)
    end
  end
  return next_answer
end

--- A request: remembers it and shows what is known of its answer.
-- `subject` is what request and answer have in common beside their endpoints; `many` says that the request went to a
-- group whose members answer each by itself.
function Exchanges:request(pinfo, item, subject, name, many)
  if pinfo.in_error_pkt then
    return
  end
  local id = identifier(pinfo, subject, name)
  if not pinfo.visited and not self.seen[id] then
    self:_record_request(pinfo, id, subject, name, many)
  end
  local record = self.seen[id]
  if not record then
    return
  end
  local first = record.exchange.requests[1][1].frame
  if first ~= pinfo.number then
    item:add(self.fields.repeat_of, first):set_generated()
  end
  local answer = answer_of(record)
  if answer then
    item:add(self.fields.response_in, answer.frame):set_generated()
  end
end

--- An answer: finds its request and shows it with the time between.
function Exchanges:answer(pinfo, item, subject, name, many)
  if pinfo.in_error_pkt then
    return
  end
  local id = identifier(pinfo, subject, name)
  if not pinfo.visited and not self.seen[id] then
    self:_record_answer(pinfo, id, subject, name, many)
  end
  local record = self.seen[id]
  if not record then
    return
  end
  local own = record.group[record.position]
  local request = counterpart(record.position, record.group.request)
  item:add(self.fields.response_to, request.frame):set_generated()
  local nanoseconds = math.floor((own.time - request.time) * 1e9 + 0.5)
  local time = NSTime.new(math.floor(nanoseconds / 1e9), nanoseconds % 1000000000)
  item:add(self.fields.response_time, time):set_generated()
end

return exchange
