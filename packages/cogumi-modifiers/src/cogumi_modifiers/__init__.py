"""Trainers, benchmarks and domain modifiers for Cogumi: everything that trains and grades."""

import logging

# bitsandbytes advises on import to install a package that nothing here needs; this must stand before anything imports it.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
