"""JSON: the objects of the API, pages of history, and their OpenAPI description."""
