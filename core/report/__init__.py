"""One page about runs: an HTML file that needs nothing beside it."""

from .page import report_page
from .reading import Recorded

__all__ = ["Recorded", "report_page"]
