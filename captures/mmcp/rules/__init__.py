"""The rules of MMCP: those that know who is who, and those of any capture (``wire``)."""
