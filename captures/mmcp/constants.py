"""What several modules of this room go by."""

MMCP_PORT = 24793  # of every role unless a lab says otherwise [D M-1]
F_HAS_MEANING = frozenset({"SJC", "LJC", "ULC", "HIC", "HTA"})  # elsewhere sent 0 and ignored [8.1]
