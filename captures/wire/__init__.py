"""From bytes to what protocols are made of: link layer, IP, TCP connections put together, RTP streams."""
