-- What Wireshark gives its Lua scripts.
std = "lua52"
read_globals = {
  "ByteArray", "Dissector", "DissectorTable", "ENC_UTF_8", "NSTime", "Pref", "Proto", "ProtoExpert", "ProtoField", "Struct",
  "base", "dissect_tcp_pdus", "expert", "frametype",
}
