"""Landmark backends behind one interface of named points."""
