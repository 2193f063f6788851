"""Bringing connections to the helper that know of no proxy, and letting them go again without a trace."""
