"""A Human API to run against: seedable, fast, and as badly behaved as asked."""
