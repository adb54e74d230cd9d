"""What the CA remembers; the only place that speaks SQL."""
