"""What people decide together: broken glass, reviews with a deadline, proposed baselines."""
