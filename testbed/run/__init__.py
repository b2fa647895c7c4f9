"""One run of a lab: from the empty sandbox to the result."""
