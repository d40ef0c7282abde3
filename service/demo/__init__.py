"""A real model server behind the gate, a camera that degrades, and what the monitor makes of it."""
