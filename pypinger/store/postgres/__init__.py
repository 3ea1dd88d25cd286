"""The store that several instances share: PostgreSQL (contract, section 8, "Several machines")."""
