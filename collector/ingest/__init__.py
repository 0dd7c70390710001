"""The way of a push: access, decode, clock, journal."""
