"""The web server: pages for people and JSON for programs."""
