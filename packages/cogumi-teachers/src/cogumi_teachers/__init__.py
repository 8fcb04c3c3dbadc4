"""Sources, teachers, filters and dedupers for Cogumi: everything that makes data."""
