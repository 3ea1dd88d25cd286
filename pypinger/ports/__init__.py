"""
The ports: Protocols between the core and the adapters, and the few values that cross them; no logic.

An adapter implements a port and knows no other adapter; :mod:`pypinger.service` puts them together. ``tests/contracts``
holds one suite a port, which every implementation passes.
"""
