"""The state store: SQLAlchemy and nothing above it knows."""
