"""The stores: what remembers states and undelivered alerts."""
