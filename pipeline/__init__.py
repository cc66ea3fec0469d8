"""Who does the work, where and when."""
