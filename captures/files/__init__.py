"""Capture files: pcap and pcapng read, written and merged."""
