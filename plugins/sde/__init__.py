"""Forward SDEs."""
