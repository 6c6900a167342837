"""Whether a picture of a landscape is right, and which numbers of it may be quoted."""
