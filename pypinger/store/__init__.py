"""Stores for states, deliveries and history."""
