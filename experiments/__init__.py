"""The experiments that ship with scoresde, as TOML files."""
