"""Bit accounting from shapes alone: `cogumi size`."""
