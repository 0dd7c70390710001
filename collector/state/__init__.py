"""How everything is now. Pure: the clock is passed in, no I/O."""
