"""A lab while it runs: its packets, its history and its ladder as they come."""
