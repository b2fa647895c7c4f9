"""GMP's rules: what a message must hold, who may be told what, and what must follow."""
