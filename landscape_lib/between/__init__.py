"""What lies between two trained models: how one is aligned with the other."""
