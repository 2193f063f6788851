"""Steering: one rule set for TLS inspection bypasses and the points that enforce it.

This file must stay: without it an editable install would find a stale copy of
``_data`` instead of the checkout (see docs/decisions.md, Packaging).
"""
