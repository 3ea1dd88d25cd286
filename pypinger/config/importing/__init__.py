"""
Migration: the checks of other monitors, and crontabs, as ini sections to paste (contract, section 9).

:mod:`.healthchecks` and :mod:`.crontab` read what is imported, :mod:`.sections` writes it. No module here reads a file.
"""
