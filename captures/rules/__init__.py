"""The judge: the language of rules, the operators, the engine, the verdicts, and packs of rules for general protocols."""
