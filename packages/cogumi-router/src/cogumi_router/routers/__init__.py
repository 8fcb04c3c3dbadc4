"""Components that decide: keep the base's answer or escalate."""
