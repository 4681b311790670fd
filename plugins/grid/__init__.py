"""Time grids."""
