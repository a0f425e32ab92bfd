"""Every process one can start: the Celery app and its life cycle, the command line, the embedded deployment."""
