"""What MMCP labs share: the session, how a node walks or stays, what roles must agree on; and its simulated world."""
