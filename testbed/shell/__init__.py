"""The console of a running lab: what it can be asked (commands), and what a person types into (client)."""
