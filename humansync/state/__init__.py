"""What all hosts share through Redis: leases, the rate budget, cursors. Nothing in it that cannot be rebuilt."""
