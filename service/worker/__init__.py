"""The loop that reads the log and folds it, and the loop that delivers messages."""
