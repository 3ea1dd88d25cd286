"""Configuration: the ini file, from text to settings or to the list of everything that is wrong with it."""
