"""Sans-IO state machines: decide what follows from an event. No clock, no socket, no log."""
