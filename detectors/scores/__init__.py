"""Pure functions event -> number that make something visible as a column. One file, one score."""
