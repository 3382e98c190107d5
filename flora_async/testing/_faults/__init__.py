"""What can go wrong with an answer of the local FLORA."""
