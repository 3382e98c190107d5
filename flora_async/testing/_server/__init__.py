"""The sockets of the local FLORA: its API, its storage host and its webhook deliveries."""
