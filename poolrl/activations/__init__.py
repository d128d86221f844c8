"""What every layer of a network computes while its agent imitates clips, in a file."""
