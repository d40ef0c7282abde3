"""May traffic go to this version? Answered from memory."""
