"""A simulated catalogue of eclipsing binaries: Gaia, Pan-STARRS and 2MASS photometry with catalogue temperatures."""
