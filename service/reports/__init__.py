"""Reports about drift, made from rows in processes of their own; and signed bundles of an incident's evidence."""
