"""Magnitudes as fluxes, what dust takes of them, and the zero point of Gaia's parallaxes: arrays in, arrays out."""
