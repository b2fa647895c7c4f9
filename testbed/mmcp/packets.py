"""MMCP's packets as a lab tells them apart on their way: by the first octet of the datagram, the packet type [6.4, 8.1]."""

LJC = bytes([4])
USP = bytes([9])
HCT = bytes([11])
HTA = bytes([12])
HIC = bytes([13])
