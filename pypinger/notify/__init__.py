"""The channels: one module each, found by the name of its section in the ini file."""
