"""What others may read: the pages for Prometheus."""
