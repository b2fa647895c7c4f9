"""MMCP before the judge: its messages, who is who, what its rules are, in X.604.1 terms."""
