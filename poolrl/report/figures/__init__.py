"""Figures of a pool, one module each; ``registry`` lists them and ``output`` writes their files."""
