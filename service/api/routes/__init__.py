"""The ordinary endpoints: each decodes, makes one call, and renders."""
