"""What a token costs and a stream takes, over the number of streams."""
