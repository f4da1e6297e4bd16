"""Who calls: clients, their API keys, and the check at the door."""
