"""Rule packs: rules about a protocol that need no knowledge of who is who, for any capture."""
