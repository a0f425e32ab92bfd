"""The register: importing this package makes every task known by name."""

from tasks import audit, plan, repair, sync

__all__ = ["audit", "plan", "repair", "sync"]
