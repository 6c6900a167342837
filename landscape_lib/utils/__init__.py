"""What the way through needs beside the mathematics: files, journals, signals, progress."""
