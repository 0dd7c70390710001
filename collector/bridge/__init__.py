"""The conference bridge: who may load it and when, and the reflector that stands beside it."""
