"""The register: importing this package makes every task known by name."""

from tasks import plan, repair, sync

__all__ = ["plan", "repair", "sync"]
