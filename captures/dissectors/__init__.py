"""What the dissectors of several protocols share, and the messages that belong to no room: IGMP, MLD, PIM."""
