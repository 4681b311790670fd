"""The registry of plugins: what a plugin declares, how plugins are found, and which component a name means."""

from .hook import API_VERSION, OLDEST_API, hookimpl
from .registry import Registry
from .source import Provided, RegistryError, Source

__all__ = ["API_VERSION", "OLDEST_API", "Provided", "Registry", "RegistryError", "Source", "hookimpl"]
