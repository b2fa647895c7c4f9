"""Labs for other emulators: the same network, daemons and addresses, as files that those read."""
