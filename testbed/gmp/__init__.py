"""GMP's labs: what they share."""
