"""Requests and answers of the local FLORA: operations, validation, keys and idempotency."""
