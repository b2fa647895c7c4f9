"""Where MMCP's messages are found."""

MMCP_PORT = 24793  # of every role unless a lab says otherwise [D M-1]
