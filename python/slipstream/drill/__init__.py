"""Drills: the daemon killed and cut off as a process of its own, judged by the venue's log."""
