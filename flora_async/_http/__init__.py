"""Between an operation and the wire: requests, retries, rate limits, transport, and what answers mean."""
