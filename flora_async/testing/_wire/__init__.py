"""HTTP as FLORA speaks it: operations, requests, validation, answers, key spelling and idempotency."""
