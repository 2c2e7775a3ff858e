"""Statistics: intervals, pooled values and paired tests for clips grouped by speaker."""
