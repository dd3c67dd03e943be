"""Completion streams as server-sent events, which every browser can follow."""
