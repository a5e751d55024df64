"""One call of the program at a time, by the rule table: what both executors share."""
