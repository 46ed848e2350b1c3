"""Geometry on the sphere: HEALPix cells, proper motion, separations, the cross-match kernel. Arrays in, arrays out."""
