-- Which ports a protocol is looked for on, as preferences that can be changed while a capture is open.

local ports = {}

--- Binds dissectors to ports. Each binding has `preference` (its key), `title`, `default` (a port or a range as
-- Wireshark writes it, "" for none), `dissectors` ("udp.port" or "tcp.port") and `handler`, a Proto or Dissector.
function ports.bind(protocol, bindings)
  for _, binding in ipairs(bindings) do
    local help = "Ports where it is looked for, such as 5000,6000-6010"
    protocol.prefs[binding.preference] = Pref.range(binding.title, binding.default, help, 65535)
    binding.bound = ""
  end
  local function rebind()
    for _, binding in ipairs(bindings) do
      local wanted = protocol.prefs[binding.preference]
      if wanted ~= binding.bound then
        local dissectors = DissectorTable.get(binding.dissectors)
        if binding.bound ~= "" then
          dissectors:remove(binding.bound, binding.handler)
        end
        if wanted ~= "" then
          dissectors:add(wanted, binding.handler)
        end
        binding.bound = wanted
      end
    end
  end
  protocol.prefs_changed = rebind
  rebind()
end

return ports
