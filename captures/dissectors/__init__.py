"""Message layouts as the judge reads them: one module per protocol, each with constants of its own."""
