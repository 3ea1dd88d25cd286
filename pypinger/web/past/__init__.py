"""Pages of incidents and of deliveries, with filters: ``/incidents`` and ``/deliveries``."""
