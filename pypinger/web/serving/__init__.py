"""The HTTP server below the routes: connections, admission of requests, negotiation, the stream of changes."""
