"""What runs pieces of work beside each other: processes on this machine. A cluster engine is a plugin's.

What the work is, and how it was cut, is known to the stages.
"""
