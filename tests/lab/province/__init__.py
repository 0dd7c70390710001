"""A province in a box that reports: real agents, real centre, real servers, and faults to put in.

plan.py says which offices there are, folder.py what the collector is told of them, services.py what
stands in the data centre, raising.py brings all of it up, faults.py breaks it and mends it, and
pages.py holds what came of it at the webhook. `make lab` is __main__.py.
"""
