"""Opt-in clips of what was heard: only without speech, only encrypted, only for a while, never sent."""
