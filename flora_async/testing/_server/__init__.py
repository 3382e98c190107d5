"""The servers of the local FLORA: the API, the storage host and webhook deliveries."""
