"""MSMP before the judge (ISO/IEC 24792)."""
