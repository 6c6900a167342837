"""Other libraries, each called as its documentation says, in an environment of its own."""
