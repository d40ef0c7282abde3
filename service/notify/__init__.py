"""State changes to messages, messages to channels."""
