"""The built-in components: the table of contents."""
