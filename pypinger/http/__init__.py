"""The HTTP client: made for polling endpoints that may be slow, broken or hostile. It knows of no verdicts."""
