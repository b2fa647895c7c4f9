"""The console of a running lab: what it can be asked (commands), who answers (server), and what a person types into (client)."""
