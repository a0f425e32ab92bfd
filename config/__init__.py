"""Values only: what the environment says, and what Celery and logging make of it. Importing it opens nothing."""
